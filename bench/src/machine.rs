//! The machine the figures come from, and the program they are about.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use xshell::cmd;

use crate::{project, run::Run, syscalls::Counter};

/// A release build of this tree, which xtask makes.
///
/// # Errors
/// It does not build.
pub(crate) fn build() -> Result<PathBuf> {
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
pub(crate) fn about(suite: &str, run: &Run, peers: &str, counter: &Counter) -> Result<String> {
    let sh = project::shell()?;
    let processor = fs::read_to_string("/proc/cpuinfo")?;
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let processor = processor.trim_start_matches([' ', '\t', ':']);
    let date = cmd!(sh, "date -u +%Y-%m-%d").quiet().read()?;
    let kernel = cmd!(sh, "uname -sr").quiet().read()?;
    let compiler = cmd!(sh, "rustc -V").quiet().read()?;
    let congestion = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control")?;
    let (congestion, rounds, counted) = (congestion.trim(), run.rounds(), counter.in_words());
    let cores = std::thread::available_parallelism()?;
    let quick = if run.quick { "A short run, whose figures mean little: " } else { "" };
    Ok(format!(
        "{quick}`cargo xtask bench {suite}` on {date}: {cores} cores ({processor}), {kernel} (congestion control {congestion}), {compiler}, \
         {peers}. Medians of up to {rounds} rounds; the load generator runs on the same cores. System calls: {counted}."
    ))
}

/// Thousands of sockets here and as many in the servers, which inherit it.
pub(crate) fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// How many descriptors a process may have.
pub(crate) fn descriptor_limit() -> usize {
    getrlimit(Resource::Nofile).maximum.and_then(|limit| limit.try_into().ok()).unwrap_or(usize::MAX)
}
