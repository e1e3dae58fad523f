//! Which sources these are.

use std::{env, path::Path};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::release::Source;

/// The commit that the tree at `folder` has checked out. `SOURCE_DATE_EPOCH` replaces its time.
///
/// # Errors
/// It is no clone, or git is missing.
pub(crate) fn of(sh: &Shell, folder: &Path) -> Result<Source> {
    let git = |arguments: &[&str]| cmd!(sh, "git -C {folder}").args(arguments).quiet().ignore_stderr().read();
    let commit = git(&["rev-parse", "HEAD"])
        .context("git does not know this folder; a release is built from a clone")?;
    let seconds = match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().context("SOURCE_DATE_EPOCH is not a number of seconds")?,
        Err(_) => git(&["log", "-1", "--format=%ct"])?.parse()?,
    };
    // Finished files do not make other finished files.
    let changes = git(&["status", "--porcelain", "--", ".", ":!binaries"])?;
    Ok(Source { commit, seconds, modified: !changes.is_empty() })
}
