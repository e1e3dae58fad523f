//! `cargo xtask dist`: what a person downloads, laid into `binaries/`.

mod contents;
mod deb;
mod host;
mod ship;

use std::{fs, path::Path, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    builders::{Build, Builder},
    files, project,
    release::{self, Release, Source},
    report, source,
    targets::Selection,
};

pub(crate) use host::lay_down as lay_down_host;
pub(crate) use ship::Common;

/// Build, check and pack the release program for every platform, into binaries/
#[derive(Debug, Args)]
pub(crate) struct Dist {
    #[command(flatten)]
    pub(crate) selection: Selection,

    /// What links it [default: cross, for Linux, where it is set up; else zig]
    #[arg(long, value_enum)]
    pub(crate) builder: Option<Builder>,

    /// Only the bare program for this machine, which the tests and benchmarks take; on Linux the static one
    #[arg(long, conflicts_with_all = ["target", "folder", "builder"])]
    pub(crate) host: bool,
}

impl Dist {
    pub(crate) fn run(self) -> Result<()> {
        let sh = project::shell()?;
        if self.host {
            lay_down_host(&sh)?;
            return Ok(());
        }
        let (targets, folder) = (self.selection.targets(), self.selection.folder());
        let steps = targets.len() + 2;
        report::step(1, steps, "man pages and completions");
        let common = common(Build::here(&sh))?;
        if common.source.modified {
            println!("The tree has changes that are not committed: nobody can build these files again.");
        }
        // Nothing is laid into binaries/ before everything is there.
        let stage = project::target_dir().join("dist").join("stage");
        let _ = fs::remove_dir_all(&stage);
        fs::create_dir_all(&stage).with_context(|| format!("cannot make {}", stage.display()))?;
        let mut release = Release::read(&folder).unwrap_or_else(|_| Release::empty());
        release.version = project::VERSION.to_owned();
        let mut rows = Vec::new();
        for (index, target) in targets.iter().enumerate() {
            report::step(index + 2, steps, target.triple);
            let started = Instant::now();
            let builder = self.builder.unwrap_or_else(|| Builder::usual(&common.build, target.triple));
            let shipped = common.ship(target, builder, &stage)?;
            let (program, archive) = (shipped.program.sum.bytes, shipped.archive.bytes);
            rows.push([
                shipped.archive.file.clone(),
                report::megabytes(program),
                report::megabytes(archive),
                report::duration(started.elapsed()),
            ]);
            release.put(shipped);
        }
        let now = source::of(&sh, project::root())?;
        ensure!(
            now == common.source,
            "the tree was changed while it was built; run `cargo xtask dist` again"
        );
        report::step(steps, steps, &project::shown(&folder));
        lay_down(&stage, &folder, &release)?;
        print!("\n{}", report::table(["file", "program", "archive", "time"], &rows));
        Ok(())
    }
}

/// What is the same for all platforms, from the tree of `build`.
///
/// # Errors
/// This machine's own program does not build or run, or the tree is no clone.
fn common(build: Build<'_>) -> Result<Common<'_>> {
    let source = source::of(build.sh, &build.source)?;
    common_of(build, source)
}

/// The same, from sources of which everything is known.
///
/// # Errors
/// This machine's own program does not build or run.
pub(crate) fn common_of(build: Build<'_>, source: Source) -> Result<Common<'_>> {
    let (triple, builder) = host::triple_and_builder(build.sh)?;
    let program = build.run(&triple, builder)?;
    let contents = contents::common(&build.source, &program)?;
    Ok(Common { build, source, contents })
}

/// Moves finished files to where people find them, each whole, and the list of them last.
fn lay_down(stage: &Path, folder: &Path, release: &Release) -> Result<()> {
    let mut names: Vec<_> = fs::read_dir(stage)?.flatten().map(|file| file.file_name()).collect();
    names.sort();
    for name in names {
        let data = fs::read(stage.join(&name))?;
        files::replace(&folder.join(&name), &data, false)?;
    }
    files::replace(&folder.join(release::FILE), release.to_text()?.as_bytes(), false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_the_files_is_written_last() {
        let (stage, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(stage.path().join("a.tar.gz"), "new").unwrap();
        // Where a finished file should go lies a folder with something in it: laying down fails half way.
        fs::create_dir_all(folder.path().join("a.tar.gz/kept")).unwrap();
        assert!(lay_down(stage.path(), folder.path(), &Release::empty()).is_err());
        assert!(!folder.path().join(release::FILE).exists());
        fs::remove_dir_all(folder.path().join("a.tar.gz")).unwrap();
        lay_down(stage.path(), folder.path(), &Release::empty()).unwrap();
        assert_eq!(fs::read(folder.path().join("a.tar.gz")).unwrap(), b"new");
        assert_eq!(Release::read(folder.path()).unwrap(), Release::empty());
    }
}
