//! What is in an archive: the program, and what a person or a system wants beside it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{archive::Entry, project};

/// Files of the repository that every archive has.
const DOCUMENTS: &[&str] = &["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// Shells, and what each calls the file with the completions.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "completions/relay.bash"),
    ("elvish", "completions/relay.elv"),
    ("fish", "completions/relay.fish"),
    ("powershell", "completions/_relay.ps1"),
    ("zsh", "completions/_relay"),
];

/// What is the same on every platform: documents of the tree at `source`, and man pages and completions written by `program`,
/// which runs on this machine.
///
/// # Errors
/// A document is missing, or the program does not do what it says.
pub(crate) fn common(source: &Path, program: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for name in DOCUMENTS {
        let data = fs::read(source.join(name)).with_context(|| format!("{name} is missing"))?;
        entries.push(file(*name, data));
    }
    for (shell, path) in COMPLETIONS {
        entries.push(file(*path, output(program, &["completions", shell])?));
    }
    let pages = tempfile::tempdir()?;
    output(program, &["man", &pages.path().to_string_lossy()])?;
    for page in fs::read_dir(pages.path())? {
        let page = page?;
        let name = page.file_name().to_string_lossy().into_owned();
        entries.push(file(format!("man/{name}"), fs::read(page.path())?));
    }
    Ok(entries)
}

/// All that goes into the archive of `triple`.
pub(crate) fn with_program(common: &[Entry], triple: &str, program: Vec<u8>) -> Vec<Entry> {
    let program = Entry { path: project::program_file(triple), data: program, executable: true };
    common.iter().cloned().chain([program]).collect()
}

fn file(path: impl Into<String>, data: Vec<u8>) -> Entry {
    Entry { path: path.into(), data, executable: false }
}

fn output(program: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    // How wide the terminal of whoever builds is must not show.
    command.args(arguments).env_remove("COLUMNS").stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{} {}` failed: {complaint}", program.display(), arguments.join(" "));
    Ok(output.stdout)
}
