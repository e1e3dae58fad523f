//! What received data is written to.

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Write, stdout},
    path::{Path, PathBuf},
};

use crate::lab::TerminalText;

/// Links that lead to links, at most: as many as Linux follows.
const LINKS_MAX: usize = 40;

/// Where the bytes go.
pub(super) enum Sink {
    /// Standard output.
    Standard(Option<TerminalText>),
    /// A device, a pipe or the like.
    InPlace(File, Option<TerminalText>),
    /// A regular file.
    Whole(Whole),
}

/// A regular file, which is there when all of it is.
pub(super) struct Whole {
    file: File,
    part: PathBuf,
    path: PathBuf,
}

impl Sink {
    /// Standard output. A terminal gets what could steer it escaped, unless `is_raw`.
    pub(super) fn standard(is_raw: bool) -> Self {
        Self::Standard(text_for(&stdout(), is_raw))
    }

    /// Something that is there and no regular file.
    pub(super) fn in_place(path: &Path, is_raw: bool) -> io::Result<Self> {
        let file = File::options().write(true).open(path)?;
        let text = text_for(&file, is_raw);
        Ok(Self::InPlace(file, text))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Standard(None) => put(&mut stdout().lock(), bytes),
            Self::Standard(Some(text)) => put(&mut stdout().lock(), text.push(bytes).as_bytes()),
            Self::InPlace(file, None) | Self::Whole(Whole { file, .. }) => file.write_all(bytes),
            Self::InPlace(file, Some(text)) => file.write_all(text.push(bytes).as_bytes()),
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(None) | Self::InPlace(_, None) => Ok(()),
            Self::Standard(Some(text)) => put(&mut stdout().lock(), text.finish().as_bytes()),
            Self::InPlace(file, Some(text)) => file.write_all(text.finish().as_bytes()),
            Self::Whole(whole) => whole.put_in_place(),
        }
    }
}

impl Whole {
    /// Makes a file beside the one that `path` leads to, if need be through links. It gets the mode and the owner of one that is there.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let path = followed(path)?;
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is not a file name"))?;
        let before = match fs::metadata(&path) {
            // Known now, and not when everything has arrived.
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => return Err(error),
            about => about.ok(),
        };
        let suffix = format!("{}.part", std::process::id());
        let mut long = name.to_os_string();
        long.push(format!(".{suffix}"));
        let mut part = path.with_file_name(long);
        let mut file = create_like(&part, before.as_ref());
        if file.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidFilename) {
            // The name alone fits, but nothing can be added to it.
            part = path.with_file_name(format!(".relay-{suffix}"));
            file = create_like(&part, before.as_ref());
        }
        Ok(Self { file: file?, part, path })
    }

    /// The file while it is not complete.
    pub(super) fn part(&self) -> &Path {
        &self.part
    }

    fn put_in_place(&self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.part, &self.path)
    }
}

/// Where a path leads: behind all links, also where nothing is there yet.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let is_link = fs::symlink_metadata(&path).is_ok_and(|about| about.is_symlink());
        if !is_link {
            return Ok(path);
        }
        // A relative link starts from its own folder; an absolute one replaces the path.
        let target = fs::read_link(&path)?;
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a link that leads in a circle"))
}

#[cfg(unix)]
fn create_like(part: &Path, before: Option<&fs::Metadata>) -> io::Result<File> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
    let Some(before) = before else { return File::create_new(part) };
    // Nobody else may open it before it has the mode of the other.
    let file = File::options().write(true).create_new(true).mode(0o600).open(part)?;
    // Only root gives files away; anybody else's file is then their own, as that of any program that replaces one.
    let _ = fchown(&file, Some(before.uid()), Some(before.gid()));
    let _ = file.set_permissions(before.permissions());
    Ok(file)
}

#[cfg(not(unix))]
fn create_like(part: &Path, _: Option<&fs::Metadata>) -> io::Result<File> {
    File::create_new(part)
}

fn text_for(out: &impl IsTerminal, is_raw: bool) -> Option<TerminalText> {
    (out.is_terminal() && !is_raw).then(TerminalText::default)
}

fn put(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes)?;
    out.flush()
}
