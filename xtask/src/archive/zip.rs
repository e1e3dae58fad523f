//! `.zip`, without a folder: Windows makes one when it unpacks.

use std::io::{Cursor, Read, Write};

use anyhow::{Context, Result, ensure};
use zip::{CompressionMethod, DateTime, System, ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::Entry;
use crate::date::Date;

pub(super) fn pack(entries: &[Entry], seconds: u64) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for entry in entries {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(9))
            .last_modified_time(moment(seconds)?)
            .system(System::Unix)
            .unix_permissions(if entry.executable { 0o755 } else { 0o644 });
        zip.start_file(entry.path.as_str(), options)?;
        zip.write_all(&entry.data)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// Times in a zip have no zone; that of ours is UTC.
fn moment(seconds: u64) -> Result<DateTime> {
    let Date { year, month, day, hour, minute, second, .. } = Date::of(seconds);
    let year = year.try_into().context("the year does not fit")?;
    // A zip knows no time before its own.
    Ok(DateTime::from_date_and_time(year, month, day, hour, minute, second).unwrap_or_default())
}

pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<Entry>> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).context("it is not a sound zip file")?;
    let mut entries = Vec::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index)?;
        let path = file.name().context("a path is not UTF-8")?.into_owned();
        ensure!(file.is_file(), "{path} is not a regular file");
        let executable = file.unix_mode().unwrap_or(0) & 0o111 != 0;
        let mut data = Vec::new();
        file.read_to_end(&mut data).with_context(|| format!("{path} is damaged"))?;
        entries.push(Entry { path, data, executable });
    }
    Ok(entries)
}
