//! `cargo xtask repro`: the published files, built again elsewhere, are the same bits.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use xshell::{Shell, cmd};

use crate::{
    builders::{Build, Builder},
    dist, project,
    release::{MadeWith, Release, Shipped, Source},
    report,
    targets::{Selection, Target},
};

/// Build the files in binaries/ again from their commit, in another folder, and compare bit for bit
#[derive(Debug, Args)]
pub(crate) struct Repro {
    #[command(flatten)]
    selection: Selection,

    /// What links it [default: what the published file was made with]
    #[arg(long, value_enum)]
    builder: Option<Builder>,
}

impl Repro {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let sh = project::shell()?;
        let release = Release::read(&self.selection.folder())?;
        let mut published = Vec::new();
        for target in self.selection.targets() {
            let shipped = release.shipped(target.triple)?;
            let triple = target.triple;
            ensure!(
                !shipped.source.modified,
                "{triple} was built from a tree with changes that are not committed"
            );
            let named = &shipped.made_with.builder;
            let builder = self.builder.or_else(|| Builder::of_version(named));
            let builder =
                builder.with_context(|| format!("{triple} was made with {named}; choose a --builder"))?;
            published.push((shipped, (target, builder)));
        }
        let (mut rows, mut differing) = (Vec::new(), 0);
        // Mostly all are of one commit.
        for of_commit in published.chunk_by(|(one, _), (next, _)| one.source == next.source) {
            let (shipped, wanted): (Vec<&Shipped>, Vec<_>) = of_commit.iter().copied().unzip();
            for (shipped, again) in shipped.iter().zip(rebuild(&sh, &shipped[0].source, &wanted)?) {
                let difference = difference(shipped, &again);
                differing += usize::from(difference.is_some());
                rows.push([shipped.triple.clone(), difference.unwrap_or_else(|| "the same bits".to_owned())]);
            }
        }
        print!("\n{}\n", report::table(["target", "built again"], &rows));
        println!("{} the same, {differing} different", rows.len() - differing);
        Ok(if differing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Where it is built again.
fn folder() -> PathBuf {
    project::target_dir().join("repro")
}

/// Builds and packs again, from the files of the commit.
fn rebuild(sh: &Shell, source: &Source, wanted: &[(&Target, Builder)]) -> Result<Vec<Shipped>> {
    // Of another length than the tree's own, so that a path in the program would move everything behind it.
    let tree = folder().join(format!("sources-of-{}", source.commit));
    check_out(sh, source, &tree)?;
    let build = Build { sh, source: tree, target_dir: folder().join("build") };
    fs::create_dir_all(stage())?;
    let again = dist::ship(build, source.clone(), wanted, &stage())?;
    Ok(again.into_iter().map(|(shipped, _)| shipped).collect())
}

fn stage() -> PathBuf {
    folder().join("stage")
}

/// How what was built again differs from what was shipped, if it does.
fn difference(shipped: &Shipped, again: &Shipped) -> Option<String> {
    if again.archive == shipped.archive {
        None
    } else if again.program.sum == shipped.program.sum {
        Some("DIFFERENT: the same program, packed differently".to_owned())
    } else {
        let kept = project::shown(&stage().join(&again.archive.file));
        let MadeWith { compiler, builder, .. } = &shipped.made_with;
        let others = match again.made_with == shipped.made_with {
            true => String::new(),
            false => format!(", which was made with {compiler} and {builder}"),
        };
        Some(format!("DIFFERENT: compare {kept} with the published one{others}"))
    }
}

/// The files of the commit, and nothing else, in `tree`.
fn check_out(sh: &Shell, source: &Source, tree: &Path) -> Result<()> {
    if tree.join("Cargo.lock").is_file() {
        return Ok(());
    }
    let partial = tree.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial)?;
    let (commit, packed) = (&source.commit, partial.with_extension("tar"));
    cmd!(sh, "git archive --format=tar --output={packed} {commit}")
        .quiet()
        .run()
        .with_context(|| format!("the commit {commit} is not in this clone; fetch it"))?;
    tar::Archive::new(fs::File::open(&packed)?).unpack(&partial)?;
    fs::remove_file(packed)?;
    fs::rename(partial, tree)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::{Sum, tests::shipped};

    #[test]
    fn a_difference_says_what_to_compare_and_what_else_was_different() {
        let mut published = shipped("s390x-unknown-linux-musl", b"one");
        published.made_with.builder = "cargo-zigbuild==0.1".to_owned();
        assert_eq!(difference(&published, &published), None);
        let mut again = shipped("s390x-unknown-linux-musl", b"other");
        again.made_with = published.made_with.clone();
        assert!(difference(&published, &again).unwrap().contains("packed differently"));
        again.program.sum = Sum::of("relay", b"another program");
        let said = difference(&published, &again).unwrap();
        assert!(said.contains(&again.archive.file) && !said.contains(&published.made_with.builder), "{said}");
        again.made_with.builder = "another".to_owned();
        let said = difference(&published, &again).unwrap();
        assert!(said.contains(&again.archive.file) && said.contains(&published.made_with.builder), "{said}");
    }
}
