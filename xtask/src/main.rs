//! `cargo xtask`: builds, tests, benchmarks and releases relay. `cargo xtask --help` lists the commands.

fn main() {}
