//! The program for this machine.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use xshell::Shell;

use crate::{builders, files, project, report};

/// Builds the release program and puts it at `binaries/TRIPLE/relay`, where the tests take it from. cargo knows whether anything
/// changed; nothing is written when nothing did.
///
/// # Errors
/// It does not build or cannot be written; the last good file stays.
pub(crate) fn lay_down(sh: &Shell) -> Result<PathBuf> {
    let triple = project::host_triple(sh)?;
    let built = builders::cargo(sh, &triple)?;
    let program = fs::read(&built).with_context(|| format!("the build left no {}", built.display()))?;
    let file = project::binaries().join(&triple).join(project::program_file(&triple));
    let replaced = files::replace(&file, &program, true)?;
    let shown = file.strip_prefix(project::root()).unwrap_or(&file).display();
    let state = if replaced { "new" } else { "unchanged" };
    println!("{shown}  {}  {state}", report::megabytes(program.len() as u64));
    Ok(file)
}
