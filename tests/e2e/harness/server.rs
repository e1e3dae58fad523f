//! A running relay.

use std::net::SocketAddr;

use super::{Process, Socket, command};

/// `relay serve` on a free port of 127.0.0.1.
pub struct Relay {
    /// The process, for tests that look at its log or end it.
    pub process: Process,
    address: SocketAddr,
}

impl Relay {
    /// A relay with its defaults.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A relay with further options.
    pub fn with(options: &[&str]) -> Self {
        Self::listening("127.0.0.1:0", options)
    }

    /// A relay that listens where the test says.
    pub fn listening(listen: &str, options: &[&str]) -> Self {
        let process = Process::spawn(command(["serve", "--listen", listen].iter().chain(options)));
        Self::from_process(process, announced)
    }

    /// A relay that was started in another way, once `announced` finds its address.
    pub fn from_process(process: Process, announced: impl Fn(&str) -> Option<SocketAddr>) -> Self {
        let address = process.wait_stdout("the announcement of the address", announced);
        Self { process, address }
    }

    /// Waits for a line of the log that has all these words.
    pub fn logged(&self, words: &[&str]) {
        self.process.wait_stderr(&format!("{words:?} in one line"), |log| {
            log.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
        });
    }

    /// Ends it and gives all that it logged.
    pub fn log_at_end(mut self) -> String {
        // A program that is killed loses the lines that wait to be written, and a container's are still on their way.
        #[cfg(unix)]
        if super::without_signals().is_none() {
            self.process.signal("TERM");
            self.process.wait();
            // What it says of its end is not what the tests ask for.
            let log = self.process.stderr();
            return log
                .lines()
                .filter(|line| {
                    ![" stopping ", " totals ", "\"stopping\"", "\"totals\""]
                        .iter()
                        .any(|end| line.contains(end))
                })
                .map(|line| format!("{line}\n"))
                .collect();
        }
        self.process.kill();
        self.process.wait();
        self.process.stderr()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port as an argument.
    pub fn port(&self) -> String {
        self.address.port().to_string()
    }

    /// A raw connection that has sent nothing yet.
    pub fn connect(&self) -> Socket {
        Socket::connect(self.address)
    }

    /// A version 1 client that is registered for certain (it has sent itself a message and received it).
    pub fn client(&self, name: impl AsRef<[u8]>) -> Socket {
        let mut socket = self.connect();
        socket.register(name.as_ref());
        socket
    }
}

/// The address in the announcement `Listening on ADDRESS…` that every server of the program prints on standard output.
pub fn announced(stdout: &str) -> Option<SocketAddr> {
    addresses(stdout).first().copied()
}

/// All addresses that were announced.
pub fn addresses(stdout: &str) -> Vec<SocketAddr> {
    // An unfinished line may end within the port.
    let lines = stdout.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let listening = lines.filter_map(|line| line.strip_prefix("Listening on "));
    listening.filter_map(|line| line.trim_end().split([' ', ',', ';']).next()?.parse().ok()).collect()
}
