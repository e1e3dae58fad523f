//! What rustc is told beyond the release profile.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::Build;
use crate::toolchain;

/// Separates flags in `CARGO_ENCODED_RUSTFLAGS`, the one source of flags that overrides every other and allows spaces in a path.
const SEPARATOR: &str = "\x1f";

/// The flags of every build. With them no path of this machine gets into the program: neither into panic messages nor anywhere else. A build in
/// another folder, by another user, gives the same bits.
///
/// # Errors
/// rustc does not run, or the dependencies cannot be fetched.
pub(super) fn common(build: &Build<'_>) -> Result<Vec<String>> {
    let sh = build.sh;
    let manifest = build.source.join("Cargo.toml");
    let cargo = crate::project::cargo();
    // The folders of the dependencies have to be there to be named.
    cmd!(sh, "{cargo} fetch --locked --quiet --manifest-path {manifest}").quiet().run()?;
    let sysroot = toolchain::sysroot(sh)?;
    let home = cargo_home()?;
    // Later entries win in rustc, so the more special ones come last.
    let mut replacements = vec![(home.clone(), "/cargo".to_owned())];
    // Their names say which registry or mirror was asked.
    replacements.extend(registries()?.into_iter().map(|folder| (folder, "/cargo".to_owned())));
    replacements.push((toolchain::sources(&sysroot), format!("/rustc/{}", rustc_commit(sh)?)));
    replacements.push((build.source.clone(), "/relay".to_owned()));
    let mut flags: Vec<_> = replacements
        .iter()
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
        .collect();
    // The program takes in the list that RELAY_AUDITABLE names.
    flags.push("--cfg=auditable".to_owned());
    Ok(flags)
}

/// All flags in the form of `CARGO_ENCODED_RUSTFLAGS`.
pub(super) fn encode(flags: &[String]) -> String {
    flags.join(SEPARATOR)
}

/// All that the compiler says of itself.
pub(super) fn rustc_version(sh: &Shell) -> Result<String> {
    Ok(cmd!(sh, "rustc -vV").quiet().read()?)
}

pub(super) fn rustc_commit(sh: &Shell) -> Result<String> {
    let version = rustc_version(sh)?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
    Ok(commit.unwrap_or("unknown").to_owned())
}

/// The folders in which cargo keeps the sources of dependencies, one for each registry.
pub(super) fn registries() -> Result<Vec<PathBuf>> {
    let folders = fs::read_dir(cargo_home()?.join("registry/src")).into_iter().flatten().flatten();
    Ok(folders.map(|folder| folder.path()).collect())
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
        let sh = crate::project::shell().unwrap();
        let build = Build { source: "/some/where".into(), ..Build::here(&sh) };
        let flags = common(&Build::here(&sh)).unwrap();
        assert!(flags.len() >= 4, "{flags:?}");
        let (last, folders) = flags.split_last().unwrap();
        assert_eq!(last, "--cfg=auditable");
        assert!(folders.iter().all(|flag| flag.starts_with("--remap-path-prefix=")), "{flags:?}");
        assert!(folders.last().unwrap().ends_with("=/relay"), "{flags:?}");
        // A registry's own name is not in what takes its place.
        assert!(flags.iter().any(|flag| flag.contains("registry") && flag.ends_with("=/cargo")), "{flags:?}");
        assert_eq!(encode(&flags).split(SEPARATOR).count(), flags.len());
        assert_eq!(build.source.join("x"), PathBuf::from("/some/where/x"));
    }
}
