//! `cargo xtask build`: the bare programs, for those who want to try one.

use std::fs;

use anyhow::Result;
use clap::Args;

use crate::{
    builders::{Build, Builder, Built},
    project, report,
    targets::Selection,
};

/// Build the release program for other platforms
#[derive(Debug, Args)]
pub(crate) struct BuildPrograms {
    #[command(flatten)]
    selection: Selection,

    /// What links it [default: cross, for Linux, where it is set up; else zig]
    #[arg(long, value_enum)]
    builder: Option<Builder>,
}

impl BuildPrograms {
    pub(crate) fn run(self) -> Result<()> {
        let sh = project::shell()?;
        let targets = self.selection.targets();
        let build = Build::here(&sh);
        let builder = |triple| self.builder.unwrap_or_else(|| Builder::usual(&build, triple));
        let built = build.programs(targets.iter().map(|target| (target.triple, builder(target.triple))))?;
        let mut rows = Vec::new();
        for (target, Built { program, took }) in targets.iter().zip(built) {
            let size = report::megabytes(fs::metadata(&program)?.len());
            rows.push([target.triple.to_owned(), size, report::duration(took), project::shown(&program)]);
        }
        print!("\n{}", report::table(["target", "size", "time", "file"], &rows));
        Ok(())
    }
}
