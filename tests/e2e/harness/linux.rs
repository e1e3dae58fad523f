//! What Linux tells about a process from outside: its memory, its threads, its processor time, the options of its sockets.

use std::{fs, net::SocketAddr, process::Command, time::Duration};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// A figure of `/proc/PID/status`, such as `VmRSS`, in bytes.
pub fn memory(pid: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).expect("the figure is there");
    kilobytes.parse::<u64>().unwrap() << 10
}

/// How many threads the process has.
pub fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs").count()
}

/// Processor time the process has used so far.
pub fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The second field is the name in brackets, which may contain anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// How often threads of the process gave way to other programs while they had something to do.
pub fn yields(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let statuses = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
    let counts = statuses.filter_map(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    });
    counts.sum()
}

/// The process's own end of its connection with `client`: the very socket, so that its options can be read.
pub fn socket_of(pid: u32, client: SocketAddr) -> socket2::Socket {
    let handle = pidfd_open(Pid::from_raw(pid as i32).unwrap(), PidfdFlags::empty()).unwrap();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let number = entry.unwrap().file_name().to_str().unwrap().parse().unwrap();
        let Ok(fd) = pidfd_getfd(&handle, number, PidfdGetfdFlags::empty()) else { continue };
        let socket = socket2::Socket::from(fd);
        if socket.peer_addr().is_ok_and(|address| address.as_socket() == Some(client)) {
            return socket;
        }
    }
    panic!("the process has no connection with {client}");
}

/// The backlog of the socket that listens on `address`.
pub fn backlog(address: SocketAddr) -> u32 {
    let output = Command::new("ss").args(["-Hltn", "src", &address.to_string()]).output().expect("`ss` runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let column = text.split_whitespace().nth(2).unwrap_or_else(|| panic!("no listener in {text:?}"));
    column.parse().unwrap()
}

/// Whether this process may do anything.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
