//! What must be true of the files of one platform.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use super::program::{self, Folders};
use crate::{
    archive::{self, Entry},
    checksum, project,
    release::{Shipped, Sum},
    targets::Target,
};

/// What every archive has beside the program.
pub(super) const EXPECTED: &[&str] = &[
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "completions/_relay",
    "completions/_relay.ps1",
    "completions/relay.bash",
    "completions/relay.fish",
    "man/relay-serve.1",
    "man/relay.1",
];

/// Everything that is wrong with the files of `target` in `folder`; nothing, if they may be published.
pub(crate) fn check(target: &Target, shipped: &Shipped, folder: &Path, folders: &Folders) -> Vec<String> {
    let mut problems = Vec::new();
    let mut note = |what: &str, result: Result<()>| {
        if let Err(error) = result {
            problems.push(format!("{what}: {error:#}"));
        }
    };
    for sum in shipped.files.iter().chain([&shipped.archive]) {
        note(&sum.file, read(folder, sum).map(drop));
    }
    note(&shipped.archive.file, checksum_file(folder, &shipped.archive));
    note(&shipped.archive.file, entries(target, shipped, folder).map(drop));
    match program_of(target, shipped, folder) {
        Ok(program) => {
            let (facts, found) = program::check(target, &program, folders);
            problems.extend(found.into_iter().map(|problem| format!("the program: {problem}")));
            if facts.is_some_and(|facts| facts != shipped.program.facts) {
                problems.push("the program is not what release.json says".to_owned());
            }
        }
        // Told above.
        Err(_) if !problems.is_empty() => {}
        Err(error) => problems.push(format!("{error:#}")),
    }
    problems
}

/// The program in the archive, once the archive is the one that release.json knows.
///
/// # Errors
/// It is not, or holds no such program.
pub(crate) fn program_of(target: &Target, shipped: &Shipped, folder: &Path) -> Result<Vec<u8>> {
    let name = project::program_file(target.triple);
    let program = entries(target, shipped, folder)?.into_iter().find(|entry| entry.path == name);
    let program = program.with_context(|| format!("there is no {name} in {}", shipped.archive.file))?;
    ensure!(program.executable, "{name} may not be run");
    ensure!(
        Sum::of(name, &program.data) == shipped.program.sum,
        "the program is not the one in release.json"
    );
    Ok(program.data)
}

fn entries(target: &Target, shipped: &Shipped, folder: &Path) -> Result<Vec<Entry>> {
    ensure!(shipped.archive.file == target.archive_file(), "it should be called {}", target.archive_file());
    let packed = read(folder, &shipped.archive)?;
    let entries = archive::unpack(target.archive, &target.folder(), &packed)?;
    for path in EXPECTED {
        let found = entries.iter().find(|entry| entry.path == *path);
        let found = found.with_context(|| format!("there is no {path} in it"))?;
        ensure!(!found.data.is_empty(), "{path} is empty");
    }
    Ok(entries)
}

fn read(folder: &Path, sum: &Sum) -> Result<Vec<u8>> {
    let data = fs::read(folder.join(&sum.file)).context("it is missing")?;
    ensure!(Sum::of(&sum.file, &data) == *sum, "it is not the file that release.json knows");
    Ok(data)
}

fn checksum_file(folder: &Path, archive: &Sum) -> Result<()> {
    let line = fs::read_to_string(folder.join(format!("{}.sha256", archive.file)))
        .context("it has no checksum file")?;
    checksum::check(&line, &archive.file, &fs::read(folder.join(&archive.file))?)
}
