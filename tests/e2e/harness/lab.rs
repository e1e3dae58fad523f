//! Practice servers, and servers and clients in plain Python to try them against.

use std::{ffi::OsStr, net::SocketAddr};

use super::{Process, Socket, announced, command, python};

/// A server of `relay lab` on a free port of 127.0.0.1, or the proxy.
pub struct LabServer {
    /// The process, for tests that look at its log or end it.
    pub process: Process,
    address: SocketAddr,
}

impl LabServer {
    /// `relay lab serve MODE`, with options.
    pub fn start(mode: &str, options: &[&str]) -> Self {
        Self::with(["serve", mode, "127.0.0.1", "0"].iter().chain(options))
    }

    /// `relay lab proxy` to `target`, with options.
    pub fn proxy(target: SocketAddr, options: &[&str]) -> Self {
        Self::with(["proxy", "0", &target.to_string()].iter().chain(options))
    }

    /// `relay lab` with any arguments that start a server.
    pub fn with<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let mut command = command(["lab"]);
        command.args(args);
        Self::spawn(command)
    }

    /// A command that starts a server.
    pub fn spawn(command: std::process::Command) -> Self {
        let process = Process::spawn(command);
        let address = process.wait_stdout("the announcement of the address", announced);
        Self { process, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port as an argument.
    pub fn port(&self) -> String {
        self.address.port().to_string()
    }

    /// A plain connection.
    pub fn connect(&self) -> Socket {
        Socket::connect(self.address)
    }
}

/// A server of `tests/e2e/python/lab_server.py`.
pub struct PythonServer {
    /// The process, for tests that look at what it received.
    pub process: Process,
    address: SocketAddr,
}

impl PythonServer {
    /// The server of that name.
    pub fn start(mode: &str) -> Self {
        Self::with(&[mode])
    }

    /// The server with the arguments that it takes.
    pub fn with(args: &[&str]) -> Self {
        let process = Process::spawn(python("tests/e2e/python/lab_server.py", args));
        let address = process.wait_stdout("the announcement of the address", announced);
        Self { process, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port as an argument.
    pub fn port(&self) -> String {
        self.address.port().to_string()
    }
}

/// Runs a test written in Python to its end; it fails with what the script says.
pub fn run_python<A: AsRef<OsStr>>(script: &str, args: impl IntoIterator<Item = A>) -> Process {
    let mut process = Process::spawn(python(script, args));
    process.expect_exit(0);
    process
}
