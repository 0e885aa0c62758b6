//! Every chore of this repository: setup, build, serve, test, tidy. Knows tools and processes; never models.

fn main() {}
