//! The compiler as a builder sees it: which standard libraries it has, and how to get one that it has not.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use xshell::{Shell, cmd};

/// Set to anything, it keeps rustup from being called: for machines whose toolchain must stay as it is.
const NO_RUSTUP: &str = "RELAY_NO_RUSTUP";

/// Where the standard library of a target comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Std {
    /// It is installed.
    Prebuilt,
    /// It is compiled along with the program, from the sources beside the compiler.
    FromSource,
}

impl Std {
    /// Where that of `triple` comes from, if nothing has to be fetched for it.
    ///
    /// # Errors
    /// rustc does not run.
    pub(crate) fn known(sh: &Shell, triple: &str) -> Result<Option<Self>> {
        let sysroot = sysroot(sh)?;
        Ok(if is_prebuilt(&sysroot, triple) {
            Some(Self::Prebuilt)
        } else if sources(&sysroot).join("library/std/Cargo.toml").is_file() {
            Some(Self::FromSource)
        } else {
            None
        })
    }

    /// Where that of `triple` comes from. One that is installed is taken before one that has to be compiled, and the toolchain is
    /// changed only where there is no other way.
    ///
    /// # Errors
    /// There is neither, and rustup is missing, forbidden or fails.
    pub(crate) fn of(sh: &Shell, triple: &str) -> Result<Self> {
        if let Some(known) = Self::known(sh, triple)? {
            return Ok(known);
        }
        let sysroot = sysroot(sh)?;
        let missing = format!("the standard library for {triple} is not installed");
        if env::var_os(NO_RUSTUP).is_some() {
            bail!(
                "{missing}, nor are its sources, and {NO_RUSTUP} forbids to call rustup; put the sources into {}",
                sources(&sysroot).display()
            );
        }
        println!("{missing}; running `rustup target add {triple}`");
        cmd!(sh, "rustup target add {triple}").quiet().run().with_context(|| {
            format!("{missing}; run `rustup target add {triple}` or `rustup component add rust-src`")
        })?;
        ensure!(
            is_prebuilt(&sysroot, triple),
            "{missing} although rustup says so: another rustc comes first in PATH"
        );
        Ok(Self::Prebuilt)
    }
}

/// Where the compiler lives.
///
/// # Errors
/// rustc does not run.
pub(crate) fn sysroot(sh: &Shell) -> Result<PathBuf> {
    Ok(cmd!(sh, "rustc --print sysroot").quiet().read()?.into())
}

/// Where the sources of the standard library are, if they are.
pub(crate) fn sources(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust")
}

fn is_prebuilt(sysroot: &Path, triple: &str) -> bool {
    let Ok(files) = sysroot.join("lib/rustlib").join(triple).join("lib").read_dir() else { return false };
    files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_host_has_its_standard_library_and_nobody_else_is_asked() {
        let sh = crate::project::shell().unwrap();
        let host = crate::project::host_triple(&sh).unwrap();
        assert_eq!(Std::of(&sh, &host).unwrap(), Std::Prebuilt);
    }

    #[test]
    fn a_folder_without_the_library_itself_is_not_a_standard_library() {
        let sysroot = tempfile::tempdir().unwrap();
        let lib = sysroot.path().join("lib/rustlib/x/lib");
        fs::create_dir_all(&lib).unwrap();
        fs::write(lib.join("libcore-1.rlib"), "").unwrap();
        assert!(!is_prebuilt(sysroot.path(), "x"));
        fs::write(lib.join("libstd-1.rlib"), "").unwrap();
        assert!(is_prebuilt(sysroot.path(), "x"));
        assert!(!is_prebuilt(sysroot.path(), "y"));
    }
}
