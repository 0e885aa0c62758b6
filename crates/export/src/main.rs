//! The `export` program.

fn main() {}
