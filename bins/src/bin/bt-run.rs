//! bt-run
fn main() {}
