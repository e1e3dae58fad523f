//! Archives that are the same bits whenever and by whomever they are made: entries sorted, one time for all, no owner.

mod tar_gz;
mod zip;

use anyhow::{Context, Result, ensure};

pub(crate) use tar_gz::gzip;

use crate::targets::Archive;

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its path below the archive's folder, with `/`.
    pub(crate) path: String,
    pub(crate) data: Vec<u8>,
    /// Whether it may be run.
    pub(crate) executable: bool,
}

/// Packs `entries`. `folder` is the one folder of a `.tar.gz`; a `.zip` has none.
///
/// # Errors
/// A path is too long for the format.
pub(crate) fn pack(kind: Archive, folder: &str, mut entries: Vec<Entry>, seconds: u64) -> Result<Vec<u8>> {
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    match kind {
        Archive::TarGz => tar_gz::pack(folder, &entries, seconds),
        Archive::Zip => zip::pack(&entries, seconds),
    }
}

/// Everything in an archive made by [`pack`], sorted.
///
/// # Errors
/// It is damaged, or holds what has no place in one of ours: links, paths that lead elsewhere, files outside `folder`.
pub(crate) fn unpack(kind: Archive, folder: &str, bytes: &[u8]) -> Result<Vec<Entry>> {
    let entries = match kind {
        Archive::TarGz => tar_gz::unpack(folder, bytes)?,
        Archive::Zip => zip::unpack(bytes)?,
    };
    for entry in &entries {
        check(&entry.path)?;
    }
    Ok(entries)
}

fn check(path: &str) -> Result<()> {
    let is_plain =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', ':']);
    ensure!(path.split('/').all(is_plain), "the path {path:?} leads out of the archive");
    Ok(())
}

/// The path of an entry below the archive's one folder.
fn below(folder: &str, path: &str) -> Result<String> {
    let rest = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
    Ok(rest.with_context(|| format!("{path:?} is not in {folder}/"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let entry =
            |path: &str, executable| Entry { path: path.into(), data: path.repeat(99).into(), executable };
        vec![entry("relay", true), entry("README.md", false), entry("man/relay.1", false)]
    }

    #[test]
    fn what_was_packed_is_unpacked_and_the_order_of_the_files_does_not_matter() {
        for kind in [Archive::TarGz, Archive::Zip] {
            let mut reversed = entries();
            reversed.reverse();
            let packed = pack(kind, "it", entries(), 1_760_000_000).unwrap();
            assert_eq!(packed, pack(kind, "it", reversed, 1_760_000_000).unwrap());
            assert_ne!(packed, pack(kind, "it", entries(), 1_770_000_000).unwrap());
            let mut sorted = entries();
            sorted.sort_by(|a, b| a.path.cmp(&b.path));
            assert_eq!(unpack(kind, "it", &packed).unwrap(), sorted);
        }
    }

    #[test]
    fn a_damaged_archive_is_refused() {
        for kind in [Archive::TarGz, Archive::Zip] {
            let mut packed = pack(kind, "it", entries(), 1_760_000_000).unwrap();
            let middle = packed.len() / 3;
            packed[middle] ^= 0x55;
            assert!(unpack(kind, "it", &packed).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for path in ["../relay", "a/../../b", "/etc/passwd", "C:relay", "a\\b", ""] {
            assert!(check(path).is_err(), "{path}");
        }
        let packed = pack(Archive::TarGz, "it", entries(), 0).unwrap();
        assert!(unpack(Archive::TarGz, "other", &packed).is_err());
    }
}
