//! The project as the other commands see it: where it stands, what it is called, which machine this is.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

/// The name of the program, without the `.exe` that Windows wants.
pub(crate) const PROGRAM: &str = "relay";
/// The name of the package, with which every published file begins.
pub(crate) const PACKAGE: &str = "tcp-relay";
/// The version of everything in the workspace.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The public address, from Cargo.toml.
pub(crate) const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// The repository's root folder.
pub(crate) fn root() -> &'static Path {
    // xtask stands directly below the root.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where finished files are laid down.
pub(crate) fn binaries() -> PathBuf {
    root().join("binaries")
}

/// The build folder. Nothing in it is worth keeping.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A path as people know it: below the root folder, where it is there.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// A shell in the root folder.
///
/// # Errors
/// The folder is gone.
pub(crate) fn shell() -> Result<Shell> {
    let sh = Shell::new()?;
    sh.change_dir(root());
    Ok(sh)
}

/// The cargo that runs this task, so that every step uses the same toolchain.
pub(crate) fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
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
