//! Peers that come from crates.io, in a folder of the benchmark's own below `target/`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use xshell::cmd;

use crate::project;

/// A program on crates.io; its version stands where it is named and nowhere else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crate {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) program: &'static str,
    /// With the dependencies of its own lock file; newer ones where those no longer compile.
    pub(super) is_locked: bool,
    /// Features to build instead of the default ones.
    pub(super) features: Option<&'static str>,
}

impl Crate {
    /// The program, built in release mode when it is not there yet.
    ///
    /// # Errors
    /// It cannot be fetched or built.
    pub(super) fn install(&self) -> Result<PathBuf> {
        let sh = project::shell()?;
        let Self { name, version, program, .. } = self;
        let root = project::target_dir().join("tools").join("crates").join(format!("{name}-{version}"));
        let file = root.join("bin").join(program);
        if !file.is_file() {
            println!("Building {name} {version} in {}", root.display());
            let (cargo, build) = (project::cargo(), root.join("build"));
            let locked = self.is_locked.then_some("--locked");
            let features =
                self.features.map_or(vec![], |list| vec!["--no-default-features", "--features", list]);
            cmd!(
                sh,
                "{cargo} install --quiet {locked...} --root {root} --target-dir {build} --version {version} {features...} {name}"
            )
            .quiet()
            .run()?;
            sh.remove_path(build)?;
        }
        ensure!(file.is_file(), "{name} {version} brought no {}", file.display());
        Ok(file)
    }
}
