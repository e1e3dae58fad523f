//! `cargo xtask dist`: what a person downloads, laid into `binaries/`.

mod contents;
mod deb;
mod host;
mod ship;

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    builders::{Build, Builder},
    files, project,
    release::{self, Release},
    report, source,
    targets::Selection,
};

pub(crate) use host::{lay_down as lay_down_host, program as host_program};
pub(crate) use ship::ship;

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
        let build = Build::here(&sh);
        let source = source::of(&sh, &build.source)?;
        if source.modified {
            println!("The tree has changes that are not committed: nobody can build these files again.");
        }
        // Nothing is laid into binaries/ before everything is there.
        let stage = project::target_dir().join("dist").join("stage");
        let _ = fs::remove_dir_all(&stage);
        fs::create_dir_all(&stage).with_context(|| format!("cannot make {}", stage.display()))?;
        let mut release = Release::read(&folder).unwrap_or_else(|_| Release::empty());
        release.version = project::VERSION.to_owned();
        let builder = |triple| self.builder.unwrap_or_else(|| Builder::usual(&build, triple));
        let wanted: Vec<_> = targets.iter().map(|&target| (target, builder(target.triple))).collect();
        let mut rows = Vec::new();
        for (shipped, took) in ship(build, source.clone(), &wanted, &stage)? {
            let (program, archive) = (shipped.program.sum.bytes, shipped.archive.bytes);
            rows.push([
                shipped.archive.file.clone(),
                report::megabytes(program),
                report::megabytes(archive),
                report::duration(took),
            ]);
            release.put(shipped);
        }
        let now = source::of(&sh, project::root())?;
        ensure!(now == source, "the tree was changed while it was built; run `cargo xtask dist` again");
        lay_down(&stage, &folder, &release)?;
        print!("\n{}", report::table(["file", "program", "archive", "time"], &rows));
        Ok(())
    }
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
