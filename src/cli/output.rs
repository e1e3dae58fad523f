//! Where received data goes.

use std::{
    fs::{self, File},
    io::{self, Write, stdout},
    path::{Path, PathBuf},
};

/// Standard output, or a file that appears under its name only when it is complete.
pub(super) enum Output {
    Standard,
    File { file: File, part: PathBuf, path: PathBuf },
}

impl Output {
    /// A file; until [`Self::finish`] it stands beside `path` under another name.
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is not a file name"))?;
        let mut part_name = name.to_os_string();
        part_name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(part_name);
        Ok(Self::File { file: File::create_new(&part)?, part, path: path.to_owned() })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Standard => stdout().lock().write_all(bytes).and_then(|()| stdout().flush()),
            Self::File { file, .. } => file.write_all(bytes),
        }
    }

    /// Puts the complete file in its place.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Standard => stdout().flush().or_else(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Ok(()),
                _ => Err(error),
            }),
            Self::File { file, part, path } => {
                file.sync_all()?;
                fs::rename(part, path)
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Self::File { part, .. } = self {
            // After a rename there is nothing left to remove.
            let _ = fs::remove_file(part);
        }
    }
}
