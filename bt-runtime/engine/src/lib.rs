//! bt-runtime/engine
