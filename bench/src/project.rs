//! The project as the bench sees it.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Result;
use xshell::Shell;

/// The repository's root folder.
pub(crate) fn root() -> &'static Path {
    // The bench stands directly below the root.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
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

/// The cargo that runs this, so that peers are built with the same toolchain.
pub(crate) fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}
