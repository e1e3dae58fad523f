//! `cargo xtask sign`: a minisign signature beside every archive.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{files, project, release::Release, targets::Selection};

/// The secret key itself, as the release pipeline holds it.
const KEY: &str = "MINISIGN_KEY";

/// Sign the finished archives with minisign
#[derive(Debug, Args)]
pub(crate) struct Sign {
    #[command(flatten)]
    selection: Selection,

    /// The secret key [default: the one in the variable MINISIGN_KEY]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Sign {
    pub(crate) fn run(self) -> Result<()> {
        let folder = self.selection.folder();
        let release = Release::read(&folder)?;
        let temporary = tempfile::tempdir()?;
        let key = match self.key {
            Some(file) => file,
            None => {
                let key = env::var(KEY).ok().filter(|key| !key.is_empty());
                let key = key.with_context(|| format!("no key: give --key FILE or set {KEY}"))?;
                let file = temporary.path().join("key");
                files::replace(&file, key.as_bytes(), false)?;
                file
            }
        };
        for target in self.selection.targets() {
            let file = &release.shipped(target.triple)?.archive.file;
            let comment = format!("{file}, {} {}", project::PACKAGE, release.version);
            sign(&folder.join(file), &key, &comment)?;
            println!("{file}.minisig");
        }
        Ok(())
    }
}

/// Writes `FILE.minisig`, whose comment is signed too: no other file can be passed off as this one.
fn sign(file: &Path, key: &Path, comment: &str) -> Result<()> {
    let mut command = Command::new("minisign");
    command.arg("-S").arg("-s").arg(key).arg("-m").arg(file).args(["-t", comment]);
    let output = command.output().context("minisign is not installed; `apt install minisign` does it")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "minisign did not sign {}: {said}", project::shown(file));
    ensure!(fs::metadata(signature_of(file)).is_ok(), "minisign left no signature");
    Ok(())
}

fn signature_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_signed(file: &Path, public: &Path) -> bool {
        let mut command = Command::new("minisign");
        command.arg("-V").arg("-p").arg(public).arg("-m").arg(file);
        command.output().unwrap().status.success()
    }

    #[test]
    fn a_signature_fits_its_file_and_its_key_and_no_other() {
        if crate::e2e::in_path("minisign").is_none() {
            return println!("not run: needs minisign");
        }
        let folder = tempfile::tempdir().unwrap();
        let [file, secret, public, other] =
            ["file", "key", "key.pub", "other.pub"].map(|name| folder.path().join(name));
        fs::write(&file, "archive").unwrap();
        for (public, secret) in [(&other, &secret), (&public, &secret)] {
            let mut command = Command::new("minisign");
            // -W: a key that is held by the pipeline has no password that someone could type.
            command.args(["-G", "-f", "-W", "-p"]).arg(public).arg("-s").arg(secret);
            assert!(command.output().unwrap().status.success());
        }
        sign(&file, &secret, "archive, tcp-relay 0").unwrap();
        assert!(is_signed(&file, &public));
        assert!(!is_signed(&file, &other));
        fs::write(&file, "Archive").unwrap();
        assert!(!is_signed(&file, &public));
        assert!(sign(&file, &folder.path().join("no key"), "").is_err());
    }
}
