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

    /// What links it
    #[arg(long, value_enum, default_value_t = Builder::Zig)]
    builder: Builder,
}

impl BuildPrograms {
    pub(crate) fn run(self) -> Result<()> {
        let sh = project::shell()?;
        let targets = self.selection.targets();
        let mut rows = Vec::new();
        for (index, target) in targets.iter().enumerate() {
            report::step(index + 1, targets.len(), target.triple);
            let started = Instant::now();
            let program = Build::here(&sh).run(target.triple, self.builder)?;
            let size = report::megabytes(fs::metadata(&program)?.len());
            let took = report::duration(started.elapsed());
            rows.push([target.triple.to_owned(), size, took, project::shown(&program)]);
        }
        print!("\n{}", report::table(["target", "size", "time", "file"], &rows));
        Ok(())
    }
}
