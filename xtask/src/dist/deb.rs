//! Debian packages, the same bits whenever and by whomever they are made.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result};
use tar::{Builder, EntryType, Header};

use crate::{
    archive::{Entry, gzip},
    date::Date,
    project,
    targets::Target,
};

/// What is in the package besides what the archive has too: the path in the repository, and on the system.
const OWN: &[(&str, &str)] = &[
    ("packaging/tcp-relay.service", "usr/lib/systemd/system/tcp-relay.service"),
    ("packaging/tcp-relay.default", "etc/default/tcp-relay"),
    ("packaging/debian/lintian-overrides", "usr/share/lintian/overrides/tcp-relay"),
];

/// What dpkg runs before and after.
const SCRIPTS: &[&str] = &["postinst", "postrm", "prerm"];

const MAINTAINER: &str = "The relay maintainers <maintainers@users.noreply.github.com>";

/// Files that the administrator may change, which an update leaves alone.
const CONFFILES: &str = "/etc/default/tcp-relay\n";

/// The file name of the package for `target`, if there is one.
pub(super) fn file_name(target: &Target) -> Option<String> {
    Some(format!("{}_{}-1_{}.deb", project::PACKAGE, project::VERSION, target.debian?))
}

/// The package with `contents`, which are those of the archive; `source` is the tree they come from.
///
/// # Errors
/// A file of the tree is missing.
pub(super) fn pack(target: &Target, contents: &[Entry], source: &Path, seconds: u64) -> Result<Vec<u8>> {
    let architecture = target.debian.context("Debian does not know this platform")?;
    let mut files: Vec<Entry> =
        contents.iter().filter_map(|entry| placed(entry).transpose()).collect::<Result<_>>()?;
    let read = |from: &str| fs::read(source.join(from)).with_context(|| format!("{from} is missing"));
    for (from, to) in OWN {
        files.push(Entry { path: (*to).to_owned(), data: read(from)?, executable: false });
    }
    let changes = format!("usr/share/doc/{}/changelog.Debian.gz", project::PACKAGE);
    let data = gzip(changelog(seconds).as_bytes())?;
    files.push(Entry { path: changes, data, executable: false });
    let kibibytes = files.iter().map(|file| file.data.len().div_ceil(1024)).sum::<usize>();
    let control = control(architecture, kibibytes);
    let small =
        |path: &str, text: &str| Entry { path: path.to_owned(), data: text.into(), executable: false };
    let mut control = vec![small("control", &control), small("conffiles", CONFFILES)];
    for script in SCRIPTS {
        let data = read(&format!("packaging/debian/{script}"))?;
        control.push(Entry { path: (*script).to_owned(), data, executable: true });
    }
    let control = tree(control, seconds)?;
    let data = tree(files, seconds)?;
    let mut package = b"!<arch>\n".to_vec();
    for (name, data) in
        [("debian-binary", b"2.0\n".as_slice()), ("control.tar.gz", &control), ("data.tar.gz", &data)]
    {
        let header = format!("{name:<16}{seconds:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, "100644", data.len());
        package.extend_from_slice(header.as_bytes());
        package.extend_from_slice(data);
        if data.len() % 2 == 1 {
            package.push(b'\n');
        }
    }
    Ok(package)
}

/// A file of the archive where Debian has such files; none for what Debian has no use for.
fn placed(entry: &Entry) -> Result<Option<Entry>> {
    let name = entry.path.rsplit('/').next().unwrap_or_default();
    let (path, is_compressed) = match entry.path.as_str() {
        project::PROGRAM => (format!("usr/bin/{name}"), false),
        "README.md" => (format!("usr/share/doc/{}/README.md", project::PACKAGE), false),
        "CHANGELOG.md" => (format!("usr/share/doc/{}/changelog.gz", project::PACKAGE), true),
        "LICENSE-MIT" => (format!("usr/share/doc/{}/copyright", project::PACKAGE), false),
        "completions/relay.bash" => ("usr/share/bash-completion/completions/relay".to_owned(), false),
        "completions/relay.fish" => ("usr/share/fish/vendor_completions.d/relay.fish".to_owned(), false),
        "completions/_relay" => ("usr/share/zsh/vendor-completions/_relay".to_owned(), false),
        path if path.starts_with("man/") => (format!("usr/share/man/man1/{name}.gz"), true),
        _ => return Ok(None),
    };
    let data = if is_compressed { gzip(&entry.data)? } else { entry.data.clone() };
    Ok(Some(Entry { path, data, executable: entry.executable }))
}

/// Debian's own list of changes: those of the package, which are those of the program.
fn changelog(seconds: u64) -> String {
    format!(
        "{} ({}-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- {MAINTAINER}  {}\n",
        project::PACKAGE,
        project::VERSION,
        Date::of(seconds).rfc_2822(),
    )
}

fn control(architecture: &str, kibibytes: usize) -> String {
    format!(
        "Package: {}\nVersion: {}-1\nSection: net\nPriority: optional\nArchitecture: {architecture}\nInstalled-Size: {kibibytes}\n\
         Maintainer: {MAINTAINER}\nHomepage: {}\n\
         Description: relay by which devices that cannot reach each other talk by name\n \
         Devices behind different routers connect to a relay, register a name, and send\n \
         each other data by that name. This package has the program and a service,\n \
         tcp-relay, which is not started before its administrator enables it.\n",
        project::PACKAGE,
        project::VERSION,
        project::REPOSITORY,
    )
}

/// A compressed tar with the folders that the files are in, as dpkg wants it.
fn tree(mut files: Vec<Entry>, seconds: u64) -> Result<Vec<u8>> {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let folders: BTreeSet<String> = files
        .iter()
        .flat_map(|file| file.path.match_indices('/').map(|(at, _)| file.path[..=at].to_owned()))
        .chain([String::new()])
        .collect();
    let mut tar = Builder::new(Vec::new());
    let mut append = |path: &str, kind: EntryType, mode: u32, data: &[u8]| -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(mode);
        header.set_mtime(seconds);
        header.set_uid(0);
        header.set_gid(0);
        header.set_username("root")?;
        header.set_groupname("root")?;
        // The leading "./" is what dpkg's own packages have; set_path would drop it.
        let name = format!("./{path}");
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        Ok(tar.append(&header, data)?)
    };
    for folder in &folders {
        append(folder, EntryType::Directory, 0o755, &[])?;
    }
    for file in &files {
        append(&file.path, EntryType::Regular, if file.executable { 0o755 } else { 0o644 }, &file.data)?;
    }
    gzip(&tar.into_inner()?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::targets;

    fn package() -> Vec<u8> {
        let entry = |path: &str, executable| Entry { path: path.into(), data: b"text".to_vec(), executable };
        let contents =
            [entry("relay", true), entry("man/relay.1", false), entry("completions/_relay.ps1", false)];
        let target = targets::find("aarch64-unknown-linux-musl").unwrap();
        pack(target, &contents, project::root(), 1_760_000_000).unwrap()
    }

    #[test]
    fn a_package_is_the_same_bits_each_time() {
        assert_eq!(package(), package());
        let target = targets::find("aarch64-unknown-linux-musl").unwrap();
        assert_eq!(file_name(target), Some(format!("tcp-relay_{}-1_arm64.deb", project::VERSION)));
        assert_eq!(file_name(targets::find("aarch64-apple-darwin").unwrap()), None);
    }

    #[test]
    fn dpkg_reads_the_package() {
        if crate::e2e::in_path("dpkg-deb").is_none() {
            return println!("not run: needs dpkg-deb");
        }
        let file = tempfile::NamedTempFile::with_suffix(".deb").unwrap();
        fs::write(file.path(), package()).unwrap();
        let dpkg = |option: &str| {
            let output = Command::new("dpkg-deb").arg(option).arg(file.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let listed = dpkg("--contents");
        let has = |mode: &str, path: &str| {
            listed
                .lines()
                .any(|line| line.starts_with(mode) && line.contains("root/root") && line.ends_with(path))
        };
        assert!(has("-rwxr-xr-x", " ./usr/bin/relay"), "{listed}");
        assert!(has("-rw-r--r--", " ./usr/lib/systemd/system/tcp-relay.service"), "{listed}");
        assert!(has("-rw-r--r--", " ./usr/share/man/man1/relay.1.gz"), "{listed}");
        assert!(has("drwxr-xr-x", " ./usr/bin/"), "{listed}");
        assert!(!listed.contains("ps1"), "{listed}");
        let about = dpkg("--info");
        assert!(about.contains("Architecture: arm64") && about.contains("conffiles"), "{about}");
        assert!(SCRIPTS.iter().all(|script| about.contains(script)), "{about}");
    }

    #[test]
    fn the_time_of_the_package_is_the_commits() {
        let text = changelog(1_760_000_000);
        assert!(
            text.ends_with(" <maintainers@users.noreply.github.com>  Thu, 09 Oct 2025 08:53:20 +0000\n"),
            "{text}"
        );
    }
}
