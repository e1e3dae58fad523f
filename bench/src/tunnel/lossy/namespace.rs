//! A machine of its own as far as the network goes, without a name: nothing is left of it when this program and those it started have ended.

use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd},
    process::Command,
    thread,
};

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// A network namespace; gone with the last socket, device and process in it.
#[derive(Debug)]
pub(in crate::tunnel) struct Namespace(File);

impl Namespace {
    /// An empty one.
    ///
    /// # Errors
    /// The system has none, or the user must not make them.
    pub(super) fn new() -> Result<Self> {
        // A thread belongs to one namespace: this one is spent on it.
        on_a_thread(|| {
            // SAFETY: only `UnshareFlags::FILES` would be dangerous: it takes descriptors away from other threads.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.context("cannot make a network namespace")?;
            Ok(Self(File::open("/proc/thread-self/ns/net")?))
        })
    }

    /// Does this there. Sockets and processes that are made on the way stay there for good.
    ///
    /// # Errors
    /// Those of `act`.
    pub(in crate::tunnel) fn run<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_a_thread(|| {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
                .context("cannot enter a network namespace")?;
            act()
        })
    }

    /// Runs `ip` or another program there; the arguments have no spaces.
    ///
    /// # Errors
    /// It fails.
    pub(super) fn command(&self, line: &str) -> Result<()> {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        let output = self.run(move || command.output().with_context(|| format!("cannot run `{line}`")))?;
        ensure!(output.status.success(), "`{line}`: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// How other programs name it while this one runs.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

fn on_a_thread<T: Send>(act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(act).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
