//! Uploads that a killed server has left unfinished, told apart from those of servers that still run.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use tracing::{info, warn};

use super::name::PARTIAL_PREFIX;

/// Removes the unfinished uploads in `directory` that no program holds open. Their names are kept free of anything else by
/// [`plain_name`](super::plain_name).
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_ours = entry.file_name().to_string_lossy().starts_with(PARTIAL_PREFIX);
        if !is_ours || !entry.file_type()?.is_file() {
            continue;
        }
        let path = entry.path();
        match remove_unheld(&path) {
            Ok(true) => info!(path = %path.display(), "removed what a killed server has left"),
            Ok(false) => {}
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot remove what a killed server has left")
            }
        }
    }
    Ok(())
}

/// A lock says that an upload is under way: it ends with its process, however that ends.
#[cfg(unix)]
fn remove_unheld(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::OpenOptionsExt;
    // A link put there meanwhile must not be followed, nor a pipe waited for.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options().read(true).write(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if !lock(&file)? {
        return Ok(false);
    }
    fs::remove_file(path)?;
    Ok(true)
}

/// Opening it for oneself alone fails as long as anybody has it open.
#[cfg(windows)]
fn remove_unheld(path: &Path) -> io::Result<bool> {
    use std::os::windows::fs::OpenOptionsExt;
    const SHARING_VIOLATION: i32 = 32;
    match File::options().read(true).write(true).share_mode(0).open(path) {
        Ok(file) => drop(file),
        Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => return Ok(false),
        Err(error) => return Err(error),
    }
    fs::remove_file(path)?;
    Ok(true)
}

/// Marks a new file as an upload under way; `false` when it was removed meanwhile. A file system without locks takes uploads too, and
/// nothing is ever removed there.
#[cfg(unix)]
pub(super) fn claim(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(lock(file).unwrap_or(true) && file.metadata()?.nlink() > 0)
}

/// That it is open says all.
#[cfg(windows)]
pub(super) fn claim(_file: &File) -> io::Result<bool> {
    Ok(true)
}

/// Whether the lock was to be had.
#[cfg(unix)]
fn lock(file: &File) -> io::Result<bool> {
    use rustix::{
        fs::{FlockOperation, flock},
        io::Errno,
    };
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_and_what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(format!("{PARTIAL_PREFIX}{name}"));
        fs::write(path("left"), "x").unwrap();
        fs::write(dir.path().join("upload"), "x").unwrap();
        fs::create_dir(path("dir")).unwrap();
        let held = File::create(path("held")).unwrap();
        assert!(claim(&held).unwrap());
        remove(dir.path()).unwrap();
        assert!(path("held").exists() && path("dir").exists() && dir.path().join("upload").exists());
        assert!(!path("left").exists());
        drop(held);
        remove(dir.path()).unwrap();
        assert!(!path("held").exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_was_removed_meanwhile_is_not_claimed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = File::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!claim(&file).unwrap());
    }
}
