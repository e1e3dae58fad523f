//! A server under measurement: started on a free loopback port, looked at through /proc, ended with the benchmark.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::protocol::Protocol;

/// How long a server may take to start.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// A running server; killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// What it speaks.
    pub(super) protocol: Protocol,
    /// Where it listens.
    pub(super) address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts `program` as a server of `protocol`.
    ///
    /// # Errors
    /// It does not start or does not listen in time.
    pub(super) fn start(program: &Path, protocol: Protocol) -> Result<Self> {
        match protocol {
            Protocol::Relay => Self::start_relay(program),
            Protocol::Nats => Self::start_nats(program),
        }
    }

    fn start_relay(program: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"]);
        let mut child = spawn(command.stdout(Stdio::piped()), program)?;
        let log = collect(child.stderr.take());
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address =
            line.strip_prefix("Listening on ").and_then(|rest| rest.split([';', ' ']).next()?.parse().ok());
        let Some(address) = address else {
            let _ = child.kill();
            bail!("{} did not say where it listens", program.display());
        };
        Ok(Self { child, protocol: Protocol::Relay, address, log })
    }

    fn start_nats(program: &Path) -> Result<Self> {
        // It cannot choose a port itself in a way that is easy to read back; ours is free again a moment before it takes it.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let port = address.port().to_string();
        let mut command = Command::new(program);
        command.args(["-a", "127.0.0.1", "-p", &port]);
        let mut child = spawn(command.stdout(Stdio::null()), program)?;
        let log = collect(child.stderr.take());
        let server = Self { child, protocol: Protocol::Nats, address, log };
        let deadline = Instant::now() + START_DEADLINE;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                bail!("nats-server does not listen: {}", server.log());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Everything it has logged.
    pub(super) fn log(&self) -> String {
        self.log.lock().map(|log| log.clone()).unwrap_or_default()
    }

    /// Resident memory in bytes.
    pub(super) fn resident(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The most resident memory it ever had, in bytes.
    pub(super) fn resident_peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix(field)).context("no such field in /proc")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024)
    }

    /// Processor time of all its threads so far, in nanoseconds.
    pub(super) fn cpu(&self) -> Result<u64> {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            total += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(total)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command, program: &Path) -> Result<Child> {
    let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
    child.with_context(|| format!("cannot start {}", program.display()))
}

fn collect(stderr: Option<impl Read + Send + 'static>) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let writer = Arc::clone(&log);
    if let Some(stderr) = stderr {
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Ok(mut log) = writer.lock() {
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        });
    }
    log
}
