//! The ways to build the program. Each takes a platform and prepares a job that leaves a finished program, built from the locked
//! dependencies, without a path of this machine in it; the jobs of several platforms run at the same time.

mod cargo;
mod cross;
mod flags;
mod jobs;
mod zig;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use xshell::{Cmd, Shell, cmd};

pub(crate) use jobs::Built;
use jobs::Job;

use crate::{
    dependencies::Dependencies,
    files, project,
    toolchain::Std,
    tools::{ZIG, ZIGBUILD},
};

/// What links the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Builder {
    /// cargo-zigbuild: for every platform, on any machine
    Zig,
    /// cross: cargo in a container, for Linux; packaging/cross/make-image makes the image
    Cross,
    /// Plain cargo with the linker of this system
    Cargo,
}

impl Builder {
    /// The one for `triple` where nobody chose: cross where all that it needs is there, else zig, which can be had everywhere.
    pub(crate) fn usual(build: &Build<'_>, triple: &str) -> Self {
        if cross::ready(build, triple).is_ok() { Self::Cross } else { Self::Zig }
    }

    /// The one whose [`version`](Self::version) a release names.
    pub(crate) fn of_version(version: &str) -> Option<Self> {
        [Self::Zig, Self::Cross, Self::Cargo]
            .into_iter()
            .find(|builder| version.split('=').next() == builder.version().split('=').next())
    }

    /// Its name, with the versions of what is not the compiler's.
    pub(crate) fn version(self) -> String {
        match self {
            Self::Zig => format!("{ZIGBUILD} {ZIG}"),
            Self::Cross => format!("cross {ZIGBUILD} {ZIG}"),
            Self::Cargo => "cargo".to_owned(),
        }
    }
}

/// What is built from where.
#[derive(Debug)]
pub(crate) struct Build<'a> {
    pub(crate) sh: &'a Shell,
    /// The root folder of the sources.
    pub(crate) source: PathBuf,
    /// Where compiled things go. Each builder has a folder of its own in it, what another one compiles has other flags; and each
    /// platform one in that, because cargo lets only one build at a time into a folder.
    pub(crate) target_dir: PathBuf,
}

impl<'a> Build<'a> {
    /// Of the tree that this task belongs to.
    pub(crate) fn here(sh: &'a Shell) -> Self {
        Self { sh, source: project::root().to_owned(), target_dir: project::target_dir().join("dist") }
    }

    /// Builds the program for each of these platforms, as many at a time as there are processors: most of a build is the linker's
    /// work, which is done by one. Gives them in the same order.
    ///
    /// # Errors
    /// A tool or a standard library cannot be had, or the program does not compile.
    pub(crate) fn programs<'t>(
        &self,
        wanted: impl IntoIterator<Item = (&'t str, Builder)>,
    ) -> Result<Vec<Built>> {
        let wanted = wanted.into_iter();
        let jobs = wanted.map(|(triple, builder)| self.prepare(triple, builder)).collect::<Result<_>>()?;
        let compiler = flags::rustc_version(self.sh)?;
        let built = jobs::run(jobs);
        ensure!(
            flags::rustc_version(self.sh)? == compiler,
            "the build has replaced the compiler, which was:\n{compiler}\nPut that one back before anything else is built"
        );
        built
    }

    /// Fetches whatever is needed, one after the other, so that nothing but compilers runs at the same time.
    fn prepare(&self, triple: &str, builder: Builder) -> Result<Job> {
        self.list_dependencies(triple)?;
        match builder {
            Builder::Zig => zig::prepare(self, triple),
            Builder::Cross => cross::prepare(self, triple),
            Builder::Cargo => cargo::prepare(self, triple),
        }
    }

    /// Where the list of what the program is built from lies; the program takes it in.
    fn list_of_dependencies(&self, triple: &str) -> PathBuf {
        self.target_dir.join("auditable").join(triple)
    }

    fn list_dependencies(&self, triple: &str) -> Result<()> {
        let list = Dependencies::of(self.sh, &self.source, triple)?.auditable()?;
        files::replace(&self.list_of_dependencies(triple), &list, false)?;
        Ok(())
    }

    /// Runs cargo, or what stands in for it, as every builder does.
    fn cargo(&self, program: &Path, subcommand: &str, triple: &str, target_dir: &Path, std: Std) -> Cmd<'a> {
        let command = cmd!(self.sh, "{program} {subcommand}")
            .args(["--manifest-path".into(), self.source.join("Cargo.toml")])
            .args(self.arguments(triple, target_dir, std))
            .env("RELAY_AUDITABLE", self.list_of_dependencies(triple))
            .quiet();
        match std {
            Std::Prebuilt => command,
            // Not a feature of stable compilers yet; the variable says that we know.
            Std::FromSource => command.env("RUSTC_BOOTSTRAP", "1"),
        }
    }

    /// What every builder tells cargo.
    fn arguments(&self, triple: &str, target_dir: &Path, std: Std) -> Vec<OsString> {
        let mut words =
            vec!["--release", "--locked", "--package", project::PACKAGE, "--bin", project::PROGRAM];
        if std == Std::FromSource {
            // The feature leaves out what reads debug information to print a backtrace: the program carries none.
            words.extend(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"]);
        }
        words.extend(["--target", triple, "--target-dir"]);
        words.into_iter().map(OsString::from).chain([target_dir.into()]).collect()
    }
}

/// Where cargo leaves the program of `triple`.
fn program(target_dir: &Path, triple: &str) -> PathBuf {
    target_dir.join(triple).join("release").join(project::program_file(triple))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_says_which_builder_made_it_whatever_the_versions_were() {
        for builder in [Builder::Zig, Builder::Cross, Builder::Cargo] {
            assert_eq!(Builder::of_version(&builder.version()), Some(builder));
        }
        assert_eq!(Builder::of_version("cargo-zigbuild==0.1 ziglang==0.2"), Some(Builder::Zig));
        assert_eq!(Builder::of_version("make"), None);
    }
}
