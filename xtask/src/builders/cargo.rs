//! Plain cargo, for the machine it runs on.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::flags;
use crate::project;

/// Builds the program for `triple`, whose std is installed, and gives its path.
///
/// # Errors
/// It does not compile.
pub(crate) fn build(sh: &Shell, triple: &str) -> Result<PathBuf> {
    let cargo = project::cargo();
    // A folder of its own: what other builders and the tests compile has other flags.
    let folder = project::target_dir().join("dist").join("cargo");
    let package = project::PACKAGE;
    let program = project::PROGRAM;
    cmd!(sh, "{cargo} build --release --locked --package {package} --bin {program}")
        .args(["--target", triple, "--target-dir"])
        .arg(&folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags::encode(&flags::remap(sh)?))
        .quiet()
        .run()
        .with_context(|| format!("{PROGRAM} does not build for {triple}", PROGRAM = project::PROGRAM))?;
    Ok(folder.join(triple).join("release").join(project::program_file(triple)))
}
