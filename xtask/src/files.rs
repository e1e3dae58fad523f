//! Files that are either the old ones or the new ones, never half of each.

use std::{fs, io::Write, path::Path};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

/// Puts `contents` at `path`, with the permissions of a program if `executable`. Until the very end the old file stays; a command
/// that is interrupted leaves it untouched. A file that has these contents already is left alone. Says whether it was replaced.
///
/// # Errors
/// The folder cannot be written to, or the old file cannot be replaced (on Windows: while it runs).
pub(crate) fn replace(path: &Path, contents: &[u8], executable: bool) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == contents) {
        return Ok(false);
    }
    let write = || -> Result<()> {
        let folder = path.parent().context("it has no folder")?;
        fs::create_dir_all(folder)?;
        let mut file = NamedTempFile::with_prefix_in(".partial-", folder)?;
        file.write_all(contents)?;
        set_mode(file.as_file(), executable)?;
        file.as_file().sync_all()?;
        // Only the reason is kept of the error: with it goes the file that found no place.
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

#[cfg(unix)]
fn set_mode(file: &fs::File, executable: bool) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
}

#[cfg(not(unix))]
fn set_mode(_: &fs::File, _: bool) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_by_other_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/relay");
        assert!(replace(&path, b"one", true).unwrap());
        assert!(!replace(&path, b"one", true).unwrap());
        assert!(replace(&path, b"two", true).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }

    #[test]
    fn a_replacement_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        // A folder cannot be replaced by a file: the last step fails after everything was written.
        let path = folder.path().join("relay");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "kept").unwrap();
        let error = replace(&path, b"new", true).unwrap_err();
        assert!(format!("{error:#}").contains("relay"), "{error:#}");
        assert_eq!(fs::read(path.join("inside")).unwrap(), b"kept");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_program_may_be_run_and_other_files_may_not() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        for (name, executable, mode) in [("relay", true, 0o755), ("notes", false, 0o644)] {
            let path = folder.path().join(name);
            replace(&path, b"x", executable).unwrap();
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
        }
    }
}
