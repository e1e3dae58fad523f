//! Load generators of Debian's beside our own: each is run, and what it prints is read.

pub(crate) mod iperf3;
pub(crate) mod redis_benchmark;
pub(crate) mod wrk;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// Runs a program and returns what it printed.
///
/// # Errors
/// It does not run or fails.
fn printed(program: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    let output = command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} fails: {} {text}", program.display(), complaint.trim());
    Ok(text)
}
