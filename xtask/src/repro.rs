//! `cargo xtask repro`: the published files, built again elsewhere, are the same bits.

use std::{fs, path::Path, process::ExitCode};

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
        let targets = self.selection.targets();
        let (mut rows, mut differing) = (Vec::new(), 0);
        for (index, target) in targets.iter().enumerate() {
            report::step(index + 1, targets.len(), target.triple);
            let shipped = release.shipped(target.triple)?;
            let difference = rebuild(&sh, target, shipped, self.builder)?;
            differing += usize::from(difference.is_some());
            rows.push([target.triple.to_owned(), difference.unwrap_or_else(|| "the same bits".to_owned())]);
        }
        print!("\n{}\n", report::table(["target", "built again"], &rows));
        println!("{} the same, {differing} different", targets.len() - differing);
        Ok(if differing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Builds and packs again, and says how that differs from what was shipped, if it does.
fn rebuild(
    sh: &Shell,
    target: &Target,
    shipped: &Shipped,
    builder: Option<Builder>,
) -> Result<Option<String>> {
    let source = &shipped.source;
    ensure!(!source.modified, "{} was built from a tree with changes that are not committed", target.triple);
    let folder = project::target_dir().join("repro");
    // Of another length than the tree's own, so that a path in the program would move everything behind it.
    let tree = folder.join(format!("sources-of-{}", source.commit));
    check_out(sh, source, &tree)?;
    let build = Build { sh, source: tree, target_dir: folder.join("build") };
    let common = dist::common_of(build, source.clone())?;
    let stage = folder.join("stage");
    fs::create_dir_all(&stage)?;
    let named = &shipped.made_with.builder;
    let builder = builder.or_else(|| Builder::of_version(named));
    let builder =
        builder.with_context(|| format!("{} was made with {named}; choose a --builder", target.triple))?;
    let again = common.ship(target, builder, &stage)?;
    Ok(if again.archive == shipped.archive {
        None
    } else if again.program.sum == shipped.program.sum {
        Some("DIFFERENT: the same program, packed differently".to_owned())
    } else if again.made_with != shipped.made_with {
        let MadeWith { compiler, builder, .. } = &shipped.made_with;
        Some(format!("DIFFERENT: it was made with {compiler} and {builder}"))
    } else {
        let kept = project::shown(&stage.join(&again.archive.file));
        Some(format!("DIFFERENT: compare {kept} with the published one"))
    })
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
