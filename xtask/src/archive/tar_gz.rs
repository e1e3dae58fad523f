//! `.tar.gz`.

use std::io::{Read, Write};

use anyhow::{Context, Result, ensure};
use flate2::{Compression, GzBuilder, read::GzDecoder};
use tar::{Builder, EntryType, Header};

use super::{Entry, below};

pub(super) fn pack(folder: &str, entries: &[Entry], seconds: u64) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(entry.data.len() as u64);
        header.set_mode(if entry.executable { 0o755 } else { 0o644 });
        header.set_mtime(seconds);
        header.set_uid(0);
        header.set_gid(0);
        header.set_path(format!("{folder}/{}", entry.path))?;
        header.set_cksum();
        tar.append(&header, entry.data.as_slice())?;
    }
    gzip(&tar.into_inner()?)
}

/// Compressed, without a time or a name in the header.
pub(crate) fn gzip(data: &[u8]) -> Result<Vec<u8>> {
    // 255 is "unknown": the system it was compressed on is nobody's business.
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    gzip.write_all(data)?;
    Ok(gzip.finish()?)
}

pub(super) fn unpack(folder: &str, bytes: &[u8]) -> Result<Vec<Entry>> {
    let mut tar = Vec::new();
    // To its end, where the checksum is.
    GzDecoder::new(bytes).read_to_end(&mut tar).context("it is not a sound gzip file")?;
    let mut entries = Vec::new();
    for entry in tar::Archive::new(tar.as_slice()).entries()? {
        let mut entry = entry?;
        let path = String::from_utf8(entry.path_bytes().into_owned()).context("a path is not UTF-8")?;
        ensure!(entry.header().entry_type() == EntryType::Regular, "{path} is not a regular file");
        let executable = entry.header().mode()? & 0o111 != 0;
        let mut data = Vec::new();
        entry.read_to_end(&mut data)?;
        entries.push(Entry { path: below(folder, &path)?, data, executable });
    }
    Ok(entries)
}
