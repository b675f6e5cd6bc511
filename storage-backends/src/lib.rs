//! storage-backends
