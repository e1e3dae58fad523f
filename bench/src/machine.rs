//! The machine the figures come from, and the program they are about.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use xshell::cmd;

use crate::project;

/// A release build of this tree, which xtask makes.
///
/// # Errors
/// It does not build.
pub(super) fn build() -> Result<PathBuf> {
    let (Some(program), Some(xtask)) = (env::var_os("RELAY_BENCH_PROGRAM"), env::var_os("RELAY_BENCH_XTASK"))
    else {
        bail!("name the program with --program FILE, or run this as `cargo xtask bench`, which builds it");
    };
    let sh = project::shell()?;
    cmd!(sh, "{xtask} dist --host").quiet().run().context("the program does not build")?;
    Ok(program.into())
}

/// The command, the machine and the versions, in one paragraph.
///
/// # Errors
/// The machine does not say what it is.
pub(super) fn about(command: &str, peers: &str, rounds: u32) -> Result<String> {
    let sh = project::shell()?;
    let processor = fs::read_to_string("/proc/cpuinfo")?;
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let date = cmd!(sh, "date -u +%Y-%m-%d").quiet().read()?;
    let kernel = cmd!(sh, "uname -sr").quiet().read()?;
    let compiler = cmd!(sh, "rustc -V").quiet().read()?;
    let congestion = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control")?;
    let congestion = congestion.trim();
    let cores = std::thread::available_parallelism()?;
    Ok(format!(
        "`{command}` on {date}: {cores} cores ({}), {kernel} (congestion control {congestion}), {compiler}, {peers}. Medians of {rounds} rounds; the load generator runs \
         on the same cores.",
        processor.trim_start_matches([' ', '\t', ':']),
    ))
}

/// Thousands of sockets here and as many in the server.
pub(super) fn raise_descriptor_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}
