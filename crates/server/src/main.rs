//! ombra.
fn main() {}
