//! The project as the other commands see it: where it stands, what it is called, which machine this is.

use std::path::PathBuf;

use anyhow::{Context, Result};
pub(crate) use relay_task::project::{cargo, root, shell, shown, target_dir};
use xshell::{Shell, cmd};

/// The name of the program, without the `.exe` that Windows wants.
pub(crate) const PROGRAM: &str = "relay";
/// The name of the package, with which every published file begins.
pub(crate) const PACKAGE: &str = "tcp-relay";
/// The version of everything in the workspace.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The public address, from Cargo.toml.
pub(crate) const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// Where finished files are laid down.
pub(crate) fn binaries() -> PathBuf {
    root().join("binaries")
}

/// The triple of this machine.
///
/// # Errors
/// rustc does not run or does not say.
pub(crate) fn host_triple(sh: &Shell) -> Result<String> {
    let version = cmd!(sh, "rustc -vV").quiet().read()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// The file name of the program on the platform of `triple`.
pub(crate) fn program_file(triple: &str) -> String {
    if triple.contains("-windows-") { format!("{PROGRAM}.exe") } else { PROGRAM.to_owned() }
}
