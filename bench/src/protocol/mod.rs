//! The protocols of message servers, at the level of bytes: the same work said in each.

mod mqtt;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Result, ensure};

/// No single exchange takes this long unless something is broken.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Version 1 of the relay's, raw delivery.
    Relay,
    /// The NATS client protocol; the name is the subject its holder subscribes to.
    Nats,
    /// MQTT 3.1.1, quality of service 0; the name is the topic.
    Mqtt,
}

impl Protocol {
    /// Asks to be reached under `name`, without waiting for the proof; [`Self::confirm`] does.
    pub(crate) fn open(self, mut stream: TcpStream, name: &str) -> Result<TcpStream> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let request = match self {
            // Version 1 does not answer a registration, so a message to itself is the proof.
            Self::Relay => format!("{name}|{name}|1|!").into_bytes(),
            Self::Nats => {
                let options = r#"{"verbose":false,"pedantic":false,"lang":"rust","version":"0"}"#;
                format!("CONNECT {options}\r\nSUB {name} 1\r\nPING\r\n").into_bytes()
            }
            Self::Mqtt => mqtt::registration(name),
        };
        stream.write_all(&request)?;
        Ok(stream)
    }

    /// Waits for the proof that the client can be reached.
    pub(crate) fn confirm(self, stream: &mut TcpStream) -> Result<()> {
        let proof: &[u8] = match self {
            Self::Relay => b"!",
            Self::Nats => b"PONG\r\n",
            Self::Mqtt => mqtt::PROOF,
        };
        let mut seen = Vec::new();
        while !seen.ends_with(proof) {
            let mut byte = [0];
            ensure!(stream.read(&mut byte)? == 1, "the server ended a connection while registering");
            seen.push(byte[0]);
        }
        Ok(())
    }

    /// Connects and is certain to be reached under `name`.
    pub(crate) fn register(self, address: SocketAddr, name: &str) -> Result<TcpStream> {
        let mut stream = self.open(TcpStream::connect(address)?, name)?;
        self.confirm(&mut stream)?;
        Ok(stream)
    }

    /// Appends one message to `name` as a client sends it.
    pub(crate) fn push_message(self, out: &mut Vec<u8>, name: &str, payload: &[u8]) {
        let header = match self {
            Self::Relay => format!("{name}|{}|", payload.len()).into_bytes(),
            Self::Nats => format!("PUB {name} {}\r\n", payload.len()).into_bytes(),
            Self::Mqtt => mqtt::publish_header(name, payload.len()),
        };
        out.extend_from_slice(&header);
        out.extend_from_slice(payload);
        if self == Self::Nats {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// One message to `name` as a client sends it.
    pub(crate) fn message(self, name: &str, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.push_message(&mut out, name, payload);
        out
    }

    /// How many bytes arrive for one message of `size` bytes sent to `name`.
    pub(crate) fn delivered(self, name: &str, size: usize) -> usize {
        match self {
            Self::Relay => size,
            Self::Nats => format!("MSG {name} 1 {size}\r\n\r\n").len() + size,
            Self::Mqtt => mqtt::publish_header(name, size).len() + size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_say_the_same() {
        assert_eq!(Protocol::Relay.message("b", b"hello"), b"b|5|hello");
        assert_eq!(Protocol::Nats.message("b", b"hello"), b"PUB b 5\r\nhello\r\n");
        assert_eq!(Protocol::Mqtt.message("b", b"hello"), b"\x30\x08\x00\x01bhello");
        assert_eq!(Protocol::Mqtt.delivered("b", 5), b"\x30\x08\x00\x01bhello".len());
        assert_eq!(Protocol::Nats.delivered("b", 5), b"MSG b 1 5\r\nhello\r\n".len());
    }
}
