//! System calls of running processes: steadier than rates, which depend on who else uses the machine.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// What counts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Counter {
    /// `perf stat`: the counted processes run as fast as ever.
    Perf,
    /// `strace -c`: it slows the counted processes down, so it looks at a short run of its own.
    Strace,
    /// Nothing here can, and why.
    Nothing(String),
}

/// How long they are counted.
const SPAN: Duration = Duration::from_millis(250);

impl Counter {
    /// What works on this machine.
    pub(crate) fn detect() -> Self {
        if perf(&[std::process::id()], Duration::from_millis(20)).is_ok() {
            return Self::Perf;
        }
        let Ok(mut sleep) = Command::new("sleep").arg("5").spawn() else {
            return Self::Nothing("there is no sleep".to_owned());
        };
        let works = strace(&[sleep.id()], Duration::from_millis(100)).is_ok();
        let _ = sleep.kill().and_then(|()| sleep.wait());
        if works {
            return Self::Strace;
        }
        Self::Nothing(
            "neither perf nor strace may look at other processes (apt install linux-perf strace; run as root)"
                .to_owned(),
        )
    }

    pub(crate) fn in_words(&self) -> &str {
        match self {
            Self::Perf => "counted by perf",
            Self::Strace => "counted by strace, in short runs of their own",
            Self::Nothing(reason) => reason,
        }
    }

    /// The system calls of these processes for each of `units`, which grow meanwhile. Not a number where nothing can count, where
    /// there are no processes, and where nothing was done.
    ///
    /// # Errors
    /// The counter worked before and fails now.
    pub(crate) fn per_unit(&self, processes: &[u32], units: impl Fn() -> f64) -> Result<f64> {
        if processes.is_empty() || matches!(self, Self::Nothing(_)) {
            return Ok(f64::NAN);
        }
        let before = (Instant::now(), units());
        let calls = match self {
            Self::Perf => perf(processes, SPAN)?,
            _ => strace(processes, SPAN)?,
        };
        let done = units() - before.1;
        // The counter takes a while to begin and to end; both rates are those of the same load.
        let rate = done / before.0.elapsed().as_secs_f64();
        Ok(if done > 0.0 { calls as f64 / SPAN.as_secs_f64() / rate } else { f64::NAN })
    }
}

fn list(processes: &[u32]) -> String {
    processes.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

fn perf(processes: &[u32], span: Duration) -> Result<u64> {
    let output = Command::new("perf")
        .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &list(processes), "--timeout"])
        .arg(span.as_millis().to_string())
        .stdin(Stdio::null())
        .output()
        .context("perf does not run")?;
    let text = String::from_utf8_lossy(&output.stderr);
    parse_perf(&text).with_context(|| format!("perf does not count: {}", text.trim()))
}

/// The count in `1234,,raw_syscalls:sys_enter,...`.
fn parse_perf(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains("raw_syscalls:sys_enter"))?;
    match line.split(',').next()? {
        // Nobody made any.
        "<not counted>" => Some(0),
        count => count.parse().ok(),
    }
}

fn strace(processes: &[u32], span: Duration) -> Result<u64> {
    let summary = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("strace");
    command.args(["-c", "-f", "-q", "-o"]).arg(summary.path());
    for process in processes {
        command.args(["-p", &process.to_string()]);
    }
    let mut strace = command.stderr(Stdio::null()).spawn().context("strace does not run")?;
    thread::sleep(span);
    ensure!(strace.try_wait()?.is_none(), "strace may not look at other processes");
    if let Some(id) = i32::try_from(strace.id()).ok().and_then(Pid::from_raw) {
        kill_process(id, Signal::INT)?;
    }
    strace.wait()?;
    parse_strace(&fs::read_to_string(summary.path())?).context("strace does not count")
}

/// The calls in the line of the total: what ends where their heading does. Other columns may be empty.
fn parse_strace(text: &str) -> Option<u64> {
    let Some(total) = text.lines().find(|line| line.ends_with("total")) else {
        return text.trim().is_empty().then_some(0);
    };
    let end = text.lines().find_map(|line| Some(line.find(" calls")? + " calls".len()))?;
    total.get(..end)?.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_perf_is_read() {
        assert_eq!(parse_perf("4711,,raw_syscalls:sys_enter,250000,100.00,,\n"), Some(4711));
        assert_eq!(parse_perf("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n"), Some(0));
        assert_eq!(parse_perf("<not supported>,,raw_syscalls:sys_enter,0,100.00,,\n"), None);
        assert_eq!(parse_perf("Error:\nNo permission\n"), None);
    }

    #[test]
    fn the_total_of_strace_is_read() {
        let text = |total: &str| {
            let heading = "% time     seconds  usecs/call     calls    errors syscall";
            let rule = "------ ----------- ----------- --------- --------- ----------------";
            let read = " 60.00    0.000300           3       100           read";
            format!("{heading}\n{rule}\n{read}\n{rule}\n{total}\n")
        };
        let new = "100.00    0.000500           2       211        11 total";
        assert_eq!(parse_strace(&text(new)), Some(211));
        let without_errors = "100.00    0.000500           2       211           total";
        assert_eq!(parse_strace(&text(without_errors)), Some(211));
        let old = "100.00    0.000500                   211        11 total";
        assert_eq!(parse_strace(&text(old)), Some(211));
        assert_eq!(parse_strace(""), Some(0));
        assert_eq!(parse_strace("strace: no permission"), None);
    }
}
