//! The directory that uploads go to. A file appears under its name complete or not at all, and replaces another only when that is
//! wanted.

use std::{
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::{fs::File, io::AsyncWriteExt};

use super::{
    name::{PARTIAL_PREFIX, plain_name},
    stale::{self, claim},
};

/// How much is written before it is brought to the disk: a confirmation that waits for a whole file on a slow disk would come after its
/// sender has given up, while one that waits for so much is in time.
const UNSYNCED_BYTES_MAX: u64 = 8 << 20;

/// Where uploads go and which are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The directory; nothing outside it is written.
    pub directory: PathBuf,
    /// Whether an upload replaces a file of the same name.
    pub overwrite: bool,
    /// The largest file in bytes.
    pub size_max: u64,
}

/// Why an upload was not kept; the text is what its sender is told.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The name is taken.
    #[error("{0} exists already; use another name, or start the server with --overwrite")]
    Exists(String),
    /// More than the server takes.
    #[error("the file has {size} bytes and at most {limit} are taken (--max-size)")]
    TooLarge {
        /// The announced size in bytes.
        size: u64,
        /// The most that is taken, in bytes.
        limit: u64,
    },
    /// The name goes on for too long.
    #[error(
        "no end of the name in the first {0} bytes; send the name, a line feed, 8 bytes of size, the data"
    )]
    EndlessName(usize),
    /// The file system can neither rename without replacing nor link.
    #[error(
        "the server cannot store {0} without risking another file of that name: its file system has neither a rename that replaces \
         nothing nor hard links; start it with --overwrite, or with --into on another disk"
    )]
    NoSafeRename(String),
    /// The disk is full, or the name is a directory, or the system reported something else.
    #[error("the server cannot store {name}: {source}")]
    Disk {
        /// The plain name.
        name: String,
        /// What the system reported.
        source: io::Error,
    },
}

/// A file that is complete and under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The plain name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes in hexadecimal.
    pub sha256: String,
}

/// An upload under way. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Partial {
    name: String,
    overwrite: bool,
    directory: PathBuf,
    place: NamedTempFile,
    file: File,
    hash: Sha256,
    size: u64,
    /// Bytes that a loss of power would still take.
    unsynced: u64,
}

impl Folder {
    /// Removes what servers that were killed have left of uploads here. Those of servers that still run are left alone.
    ///
    /// # Errors
    /// What the system reports about the directory.
    pub fn remove_stale(&self) -> io::Result<()> {
        stale::remove(&self.directory)
    }

    /// Begins an upload of `size` bytes under the name that `sent_name` is reduced to.
    ///
    /// # Errors
    /// [`UploadError`], before the data is asked for wherever that can be known.
    pub(super) fn begin(&self, sent_name: &[u8], size: u64) -> Result<Partial, UploadError> {
        let name = plain_name(sent_name);
        if size > self.size_max {
            return Err(UploadError::TooLarge { size, limit: self.size_max });
        }
        // Not the last word, which is the publishing's, but the sender need not send all the data to learn it.
        if !self.overwrite && self.directory.join(&name).symlink_metadata().is_ok() {
            return Err(UploadError::Exists(name));
        }
        let open = || {
            let place = claimed(&self.directory)?;
            let file = File::from_std(place.as_file().try_clone()?);
            Ok((place, file))
        };
        let (place, file) = open().map_err(|source| UploadError::Disk { name: name.clone(), source })?;
        Ok(Partial {
            name,
            overwrite: self.overwrite,
            directory: self.directory.clone(),
            place,
            file,
            hash: Sha256::new(),
            size: 0,
            unsynced: 0,
        })
    }
}

/// A file for an upload under way, marked as one.
fn claimed(directory: &Path) -> io::Result<NamedTempFile> {
    loop {
        let place = builder().tempfile_in(directory)?;
        // Between the two steps a server that starts in the same directory can take it for one that nobody wants.
        if claim(place.as_file())? {
            return Ok(place);
        }
    }
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL_PREFIX);
    // As for any file that a program makes, the user's umask decides who may read it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

impl Partial {
    /// Adds bytes.
    ///
    /// # Errors
    /// [`UploadError::Disk`].
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        self.unsynced += bytes.len() as u64;
        let write = async {
            self.file.write_all(bytes).await?;
            if self.unsynced >= UNSYNCED_BYTES_MAX {
                self.unsynced = 0;
                self.file.flush().await?;
                self.file.sync_data().await?;
            }
            Ok(())
        };
        write.await.map_err(|source| disk(&self.name, source))
    }

    /// Gives the complete file its name. It is on the disk then, with its name where the system can say so.
    ///
    /// # Errors
    /// [`UploadError::Exists`] when another upload was faster, [`UploadError::Disk`].
    pub(super) async fn publish(mut self) -> Result<Stored, UploadError> {
        let sync = async {
            self.file.flush().await?;
            self.file.sync_all().await
        };
        sync.await.map_err(|source| disk(&self.name, source))?;
        drop(self.file);
        let target = self.directory.join(&self.name);
        let published =
            if self.overwrite { self.place.persist(&target) } else { self.place.persist_noclobber(&target) };
        match published {
            Ok(_) => {
                sync_directory(self.directory).await;
                Ok(Stored { name: self.name, size: self.size, sha256: hex(&self.hash.finalize()) })
            }
            Err(error) if !self.overwrite && error.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(UploadError::Exists(self.name))
            }
            Err(error) if !self.overwrite && is_unsupported(&error.error) => {
                Err(UploadError::NoSafeRename(self.name))
            }
            Err(error) => Err(disk(&self.name, error.error)),
        }
    }
}

/// Whether the error is that of a file system without hard links, which are what is left where the system has no rename that replaces
/// nothing: Linux says that they are not permitted, macOS that they are not supported.
fn is_unsupported(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let codes = [Errno::PERM, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::MLINK];
        codes.iter().any(|code| error.raw_os_error() == Some(code.raw_os_error()))
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::Unsupported
    }
}

/// Brings a new name in `directory` to the disk, where a directory can be opened for that. The file is under its name already, and some
/// file systems cannot do this, so a failure is no reason to tell its sender that it is not there.
async fn sync_directory(directory: PathBuf) {
    if cfg!(unix) {
        let _ = tokio::task::spawn_blocking(move || std::fs::File::open(directory)?.sync_all()).await;
    }
}

fn disk(name: &str, source: io::Error) -> UploadError {
    UploadError::Disk { name: name.to_owned(), source }
}

/// Lower-case hexadecimal.
pub(in crate::lab) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(overwrite: bool) -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder { directory: dir.path().to_owned(), overwrite, size_max: 100 };
        (dir, folder)
    }

    fn entries(dir: &tempfile::TempDir) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_file_appears_complete_or_not_at_all() {
        let (dir, folder) = folder(false);
        let mut upload = folder.begin(b"a.txt", 3).unwrap();
        upload.write(b"abc").await.unwrap();
        assert!(!dir.path().join("a.txt").exists());
        let stored = upload.publish().await.unwrap();
        assert_eq!(stored.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(fs::read(dir.path().join("a.txt")).unwrap(), b"abc");
        let mut given_up = folder.begin(b"b.txt", 3).unwrap();
        given_up.write(b"x").await.unwrap();
        drop(given_up);
        assert_eq!(entries(&dir), ["a.txt"]);
    }

    #[tokio::test]
    async fn an_existing_file_is_kept_even_from_a_faster_upload() {
        let (dir, folder) = folder(false);
        let slow = folder.begin(b"a", 0).unwrap();
        folder.begin(b"a", 0).unwrap().publish().await.unwrap();
        assert!(matches!(slow.publish().await, Err(UploadError::Exists(_))));
        assert!(matches!(folder.begin(b"x/a", 0), Err(UploadError::Exists(_))));
        assert_eq!(entries(&dir), ["a"]);
    }

    #[tokio::test]
    async fn an_existing_file_is_replaced_when_that_is_wanted() {
        let (dir, folder) = folder(true);
        for text in [b"old", b"new"] {
            let mut upload = folder.begin(b"a", 3).unwrap();
            upload.write(text).await.unwrap();
            upload.publish().await.unwrap();
        }
        assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"new");
        fs::create_dir(dir.path().join("taken")).unwrap();
        let ended = folder.begin(b"taken", 0).unwrap().publish().await;
        assert!(matches!(ended, Err(UploadError::Disk { .. })), "{ended:?}");
        assert_eq!(entries(&dir), ["a", "taken"]);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_leads_nowhere() {
        let (dir, keeping) = folder(false);
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().join("target");
        std::os::unix::fs::symlink(&target, dir.path().join("link")).unwrap();
        assert!(matches!(keeping.begin(b"link", 0), Err(UploadError::Exists(_))));
        let replacing = Folder { overwrite: true, ..keeping };
        replacing.begin(b"link", 0).unwrap().publish().await.unwrap();
        assert!(!target.exists());
    }
}
