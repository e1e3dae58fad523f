//! The program for this machine.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::Shell;

use crate::{
    builders::{Build, Builder},
    files, project, report, targets,
};

/// Builds the release program and puts it at `binaries/TRIPLE/relay`, where the tests take it from. On Linux that is the static
/// one which is published, so that what is tested and measured here is what people get. cargo knows whether anything changed;
/// nothing is written when nothing did.
///
/// # Errors
/// It does not build or cannot be written; the last good file stays.
pub(crate) fn lay_down(sh: &Shell) -> Result<PathBuf> {
    let (triple, builder) = triple_and_builder(sh)?;
    let built = Build::here(sh).programs([(triple.as_str(), builder)])?;
    let program = built.first().context("nothing was built")?.read()?;
    let file = place(&triple);
    let replaced = files::replace(&file, &program, true)?;
    let state = if replaced { "new" } else { "unchanged" };
    println!("{}  {}  {state}", project::shown(&file), report::megabytes(program.len() as u64));
    Ok(file)
}

/// Where [`lay_down`] puts the program.
///
/// # Errors
/// rustc does not run.
pub(crate) fn program(sh: &Shell) -> Result<PathBuf> {
    Ok(place(&triple_and_builder(sh)?.0))
}

fn place(triple: &str) -> PathBuf {
    project::binaries().join(triple).join(project::program_file(triple))
}

/// What runs on this machine, and what builds it.
///
/// # Errors
/// rustc does not run.
pub(super) fn triple_and_builder(sh: &Shell) -> Result<(String, Builder)> {
    let host = project::host_triple(sh)?;
    Ok(match targets::for_linux_host(&host) {
        Some(target) => (target.triple.to_owned(), Builder::Zig),
        None => (host, Builder::Cargo),
    })
}
