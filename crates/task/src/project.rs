//! The project as its tools see it: where it stands, and how they run programs.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Result;
use xshell::Shell;

/// The repository's root folder.
pub fn root() -> &'static Path {
    // This crate stands two folders below the root.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."))
}

/// The build folder. Nothing in it is worth keeping.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A path as people know it: below the root folder, where it is there.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// A shell in the root folder.
///
/// # Errors
/// The folder is gone.
pub fn shell() -> Result<Shell> {
    let sh = Shell::new()?;
    sh.change_dir(root());
    Ok(sh)
}

/// The cargo that runs this program, so that whatever it builds is built with the same toolchain.
pub fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_that_of_the_workspace() {
        assert!(root().join("crates/task/Cargo.toml").is_file(), "{}", root().display());
        assert_eq!(shown(&root().join("docs/lab.md")), Path::new("docs/lab.md").display().to_string());
    }
}
