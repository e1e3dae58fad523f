//! Both ends of a tunnel, and services to put behind it.

use std::{
    ffi::OsStr,
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::{DEADLINE, Process, Relay, Socket, announced, command};

/// `relay expose`.
pub struct Exposer {
    /// The process, for tests that look at its log or end it.
    pub process: Process,
}

impl Exposer {
    /// Exposes the service at `address` under `name`; it is reached when this returns.
    pub fn start(relay: &Relay, name: &str, address: SocketAddr) -> Self {
        Self::with(relay, [name, &address.to_string()])
    }

    /// `relay expose` with these arguments; its first service is reached when this returns.
    pub fn with<A: AsRef<OsStr>>(relay: &Relay, args: impl IntoIterator<Item = A>) -> Self {
        let exposer = Self { process: Process::spawn(expose_command(relay.address(), args)) };
        exposer.process.expect_stdout(" is reached ");
        exposer
    }

    /// Waits until the service is reached, and gives its public address.
    pub fn public(&self, name: &str) -> SocketAddr {
        let what = format!("the public address of {name}");
        self.process.wait_stdout(&what, |text| announcements(text, name).last()?.1)
    }

    /// Waits until the service has been announced so many times.
    pub fn announced(&self, name: &str, times: usize) {
        let what = format!("{times} announcements of {name}");
        self.process.wait_stdout(&what, |text| (announcements(text, name).len() >= times).then_some(()));
    }

    /// Waits for a line of the log that has all these words.
    pub fn logged(&self, words: &[&str]) {
        logged(&self.process, words);
    }
}

/// Each finished line that says how the service is reached, and the public address in it.
fn announcements<'a>(text: &'a str, name: &str) -> Vec<(&'a str, Option<SocketAddr>)> {
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let with = format!(" with: relay forward {name} ");
    let of_service = lines.filter(|line| line.contains(" is reached ") && line.contains(&with));
    of_service
        .map(|line| {
            let public = line.split(" is reached at ").nth(1).and_then(|rest| rest.split(' ').next());
            (line, public.and_then(|public| public.parse().ok()))
        })
        .collect()
}

/// `relay expose` with these arguments, to be spawned.
pub fn expose_command<A: AsRef<OsStr>>(relay: SocketAddr, args: impl IntoIterator<Item = A>) -> Command {
    let mut command = command(["expose", "--relay", &relay.to_string()]);
    command.args(args);
    command
}

/// `relay forward` with a local port.
pub struct Forwarder {
    /// The process, for tests that look at its log or end it.
    pub process: Process,
    address: SocketAddr,
}

impl Forwarder {
    /// A free local port that leads to `name`.
    pub fn start(relay: &Relay, name: &str) -> Self {
        Self::with(relay, name, &[])
    }

    /// The same with options.
    pub fn with(relay: &Relay, name: &str, options: &[&str]) -> Self {
        Self::to(relay.address(), name, options)
    }

    /// The same with a relay that need not be there.
    pub fn to(relay: SocketAddr, name: &str, options: &[&str]) -> Self {
        let mut command = command(["forward", name, "127.0.0.1:0", "--relay", &relay.to_string()]);
        command.args(options);
        let process = Process::spawn(command);
        let address = process.wait_stdout("the announcement of the address", announced);
        Self { process, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A visitor.
    pub fn connect(&self) -> Socket {
        Socket::connect(self.address)
    }

    /// Waits for a line of the log that has all these words.
    pub fn logged(&self, words: &[&str]) {
        logged(&self.process, words);
    }
}

fn logged(process: &Process, words: &[&str]) {
    process.wait_stderr(&format!("{words:?} in one line"), |log| {
        log.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
    });
}

/// A service whose connections the test takes one by one.
pub struct Service(TcpListener);

impl Service {
    /// Listens on a free port of 127.0.0.1.
    pub fn start() -> Self {
        Self::at(([127, 0, 0, 1], 0).into())
    }

    /// Listens there.
    pub fn at(address: SocketAddr) -> Self {
        Self::on(TcpListener::bind(address).unwrap())
    }

    /// Takes the connections of a listener.
    pub fn on(listener: TcpListener) -> Self {
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next connection.
    pub fn accept(&self) -> Socket {
        let deadline = Instant::now() + *DEADLINE;
        loop {
            match self.0.accept() {
                Ok((stream, _)) => return socket(stream),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    assert!(Instant::now() < deadline, "no connection came");
                    // A listener has no wait with a deadline on every system.
                    thread::park_timeout(Duration::from_millis(2));
                }
                Err(error) => panic!("cannot accept: {error}"),
            }
        }
    }
}

fn socket(stream: TcpStream) -> Socket {
    stream.set_nonblocking(false).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(*DEADLINE)).unwrap();
    stream.set_write_timeout(Some(*DEADLINE)).unwrap();
    Socket(stream)
}

/// A service with a thread for each connection; it lives as long as the tests do.
pub fn service(serve: impl Fn(Socket) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || serve(socket(stream)));
        }
    });
    address
}

/// A service that answers with what it receives, and ends when the visitor does.
pub fn echo() -> SocketAddr {
    service(|socket| {
        // A visitor that breaks off is the business of the test.
        let _ = std::io::copy(&mut &socket.0, &mut &socket.0);
    })
}

/// So many consecutive ports that nobody has: below those that systems give to outgoing connections, and each handed out once.
pub fn free_ports(count: u16) -> std::ops::RangeInclusive<u16> {
    const FIRST: u16 = 20_000;
    const PORTS: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Other suites run on the same machine.
    let start = (std::process::id() as u16).wrapping_mul(389) % PORTS;
    loop {
        let at = NEXT.fetch_add(count, Relaxed).wrapping_add(start) % PORTS;
        let first = FIRST + at.min(PORTS - count);
        let ports = first..=first + count - 1;
        if ports.clone().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return ports;
        }
    }
}

/// A relay that gives away so many public ports.
pub fn public_relay(count: u16, options: &[&str]) -> (Relay, std::ops::RangeInclusive<u16>) {
    let ports = free_ports(count);
    let range = format!("{}-{}", ports.start(), ports.end());
    (Relay::with(&[&["--public-ports", &range], options].concat()), ports)
}
