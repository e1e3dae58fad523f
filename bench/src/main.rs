//! `cargo xtask bench`. Everything is in the library, which is empty where this cannot run.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    relay_bench::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("bench: the bench reads /proc; run it on Linux");
    ExitCode::FAILURE
}
