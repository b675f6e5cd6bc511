//! bt-runtime
