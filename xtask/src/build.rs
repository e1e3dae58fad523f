//! `cargo xtask build`: the bare programs, for those who want to try one.

use std::{fs, time::Instant};

use anyhow::Result;
use clap::Args;

use crate::{
    builders::{Build, Builder},
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
        let mut rows = Vec::new();
        for (index, target) in targets.iter().enumerate() {
            report::step(index + 1, targets.len(), target.triple);
            let started = Instant::now();
            let build = Build::here(&sh);
            let builder = self.builder.unwrap_or_else(|| Builder::usual(&build, target.triple));
            let program = build.run(target.triple, builder)?;
            let size = report::megabytes(fs::metadata(&program)?.len());
            let took = report::duration(started.elapsed());
            rows.push([target.triple.to_owned(), size, took, project::shown(&program)]);
        }
        print!("\n{}", report::table(["target", "size", "time", "file"], &rows));
        Ok(())
    }
}
