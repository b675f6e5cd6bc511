//! Random draws that are the same on every machine.
//!
//! The standard library's logarithm may differ in its last digit from machine to machine, so draws that need one
//! take it from a fixed implementation (the `libm` crate).
