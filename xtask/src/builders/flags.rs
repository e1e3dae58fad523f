//! What rustc is told beyond the release profile.

use std::{env, path::PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::project;

/// Separates flags in `CARGO_ENCODED_RUSTFLAGS`, the one source of flags that overrides every other and allows spaces in a path.
const SEPARATOR: &str = "\x1f";

/// The flags with which no path of this machine gets into the program: neither into panic messages nor anywhere else. A build in
/// another folder, by another user, gives the same bits.
///
/// # Errors
/// rustc does not run.
pub(crate) fn remap(sh: &Shell) -> Result<Vec<String>> {
    let sysroot = cmd!(sh, "rustc --print sysroot").quiet().read()?;
    let commit = rustc_commit(sh)?;
    // Later entries win in rustc, so the more special ones come last.
    let replacements = [
        (cargo_home()?, "/cargo".to_owned()),
        (PathBuf::from(sysroot).join("lib/rustlib/src/rust"), format!("/rustc/{commit}")),
        (project::root().to_owned(), "/relay".to_owned()),
    ];
    Ok(replacements.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect())
}

/// All flags in the form of `CARGO_ENCODED_RUSTFLAGS`.
pub(crate) fn encode(flags: &[String]) -> String {
    flags.join(SEPARATOR)
}

fn rustc_commit(sh: &Shell) -> Result<String> {
    let version = cmd!(sh, "rustc -vV").quiet().read()?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
    Ok(commit.unwrap_or("unknown").to_owned())
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    Ok(env::home_dir().context("this user has no home folder; set CARGO_HOME")?.join(".cargo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_of_this_machine_that_rustc_sees_is_renamed() {
        let flags = remap(&project::shell().unwrap()).unwrap();
        assert_eq!(flags.len(), 3);
        assert!(flags[2].ends_with("=/relay"), "{flags:?}");
        assert!(flags.iter().all(|flag| flag.starts_with("--remap-path-prefix=")), "{flags:?}");
        assert_eq!(encode(&flags).split(SEPARATOR).count(), 3);
    }
}
