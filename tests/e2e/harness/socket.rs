//! A plain TCP socket, as any program has it.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use super::DEADLINE;

/// A blocking socket whose every wait has the deadline.
pub struct Socket(pub TcpStream);

impl Socket {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream =
            TcpStream::connect(address).unwrap_or_else(|e| panic!("cannot connect to {address}: {e}"));
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(*DEADLINE)).unwrap();
        stream.set_write_timeout(Some(*DEADLINE)).unwrap();
        Self(stream)
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("the other side takes what is sent");
    }

    /// Sends one version 1 frame.
    pub fn send_to(&mut self, dest: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) {
        self.send(frame(dest.as_ref(), payload.as_ref()));
    }

    /// Sends the same message until nothing more is taken for a while, and says how many bytes of it were; a frame may be cut.
    pub fn flood(&mut self, dest: &str, payload: &[u8]) -> usize {
        let message = frame(dest.as_bytes(), payload);
        let paused = super::scaled(300);
        self.0.set_write_timeout(Some(paused)).unwrap();
        let mut sent = 0;
        loop {
            match self.0.write(&message[sent % message.len()..]) {
                Ok(n) => sent += n,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("{error} while flooding"),
            }
        }
        self.0.set_write_timeout(Some(*DEADLINE)).unwrap();
        sent
    }

    /// Sends the name, then a message to itself, and waits for it: version 1 gives no other sign of a registration.
    pub fn register(&mut self, name: &[u8]) {
        self.send([name, b"|"].concat());
        self.sync(name);
    }

    /// Waits until the relay has handled everything sent so far.
    pub fn sync(&mut self, name: &[u8]) {
        self.send_to(name, b"sync");
        // Delivery may be framed; both forms end in the payload.
        let mut seen = Vec::new();
        while !seen.ends_with(b"sync") {
            let mut byte = [0];
            let n = self.0.read(&mut byte).expect("the message to itself arrives");
            assert_ne!(n, 0, "disconnected while registering as {}; got {:?}", name.escape_ascii(), seen);
            seen.push(byte[0]);
        }
    }

    /// Receives exactly these bytes next.
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let wanted = bytes.as_ref();
        let mut got = Vec::new();
        while got.len() < wanted.len() {
            let mut piece = vec![0; wanted.len() - got.len()];
            match self.0.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => got.extend_from_slice(&piece[..n]),
                // A read with a deadline ends so when the machine was suspended meanwhile.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    panic!("{error} while waiting for {}; got {}", wanted.escape_ascii(), got.escape_ascii())
                }
            }
        }
        assert_eq!(got.escape_ascii().to_string(), wanted.escape_ascii().to_string());
    }

    /// Receives `n` bytes.
    pub fn receive(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.0.read_exact(&mut bytes).expect("so many bytes arrive");
        bytes
    }

    /// Receives one control frame of version 2 and gives its JSON.
    pub fn control(&mut self) -> serde_json::Value {
        let mut header = self.receive(1);
        assert_eq!(header, b"|", "a control frame comes next");
        while header.len() < 2 || header.last() != Some(&b'|') {
            header.extend(self.receive(1));
        }
        let length = std::str::from_utf8(&header[1..header.len() - 1]).unwrap().parse().unwrap();
        serde_json::from_slice(&self.receive(length)).expect("a control frame is JSON")
    }

    /// Receives everything until the other side ends the connection, by closing or by a reset.
    pub fn receive_all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => bytes,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => bytes,
            Err(error) => panic!("{error} while waiting for the end; got {}", bytes.escape_ascii()),
        }
    }

    /// Receives everything until the other side ends the connection in order.
    pub fn receive_whole(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).expect("the end comes in order");
        bytes
    }

    /// The other side ends the connection and sends nothing before.
    pub fn expect_closed(&mut self) {
        let rest = self.receive_all();
        assert!(rest.is_empty(), "expected the end, got {}", rest.escape_ascii());
    }

    /// Ends the sending side.
    pub fn shutdown_write(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes with a reset, as a crashed or impatient program does.
    #[cfg(unix)]
    pub fn reset(self) {
        socket2::SockRef::from(&self.0).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}

/// `{name}|{length}|{payload}`.
pub fn frame(name: &[u8], payload: &[u8]) -> Vec<u8> {
    [name, format!("|{}|", payload.len()).as_bytes(), payload].concat()
}
