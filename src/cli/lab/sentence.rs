//! What failed, in one sentence with the next thing to check, and an exit code for each cause.

use std::{io, path::Path};

use crate::{
    cli::Failure,
    lab::{ClientError, PeerError, ServiceError},
    net::{DialError, ListenError},
};

/// The table in the help. The constants below are the same.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  failed in another way than those below
   2  wrong usage
   3  the host name was not found
   4  the connection was refused
   5  connecting timed out
   6  the host or its network is unreachable
   7  connected, but no answer in time, or none that ends, or nothing was taken in time
   8  the other side closed the connection too early
   9  the other side reset the connection
  10  the answer is not what the protocol says, or too large
  11  the server does not want the file
  12  a file or directory of this machine cannot be used
  13  the address to listen on cannot be used";

const NOT_FOUND: u8 = 3;
const REFUSED: u8 = 4;
const TIMED_OUT: u8 = 5;
const UNREACHABLE: u8 = 6;
const SILENT: u8 = 7;
const CLOSED: u8 = 8;
const RESET: u8 = 9;
const BAD_ANSWER: u8 = 10;
const DECLINED: u8 = 11;
const FILE: u8 = 12;
const LISTEN: u8 = 13;

/// About a name that only mDNS knows.
const MDNS_ADVICE: &str = "names in .local need mDNS, which this program does not speak: use the IP address, or add the name to \
                           the hosts file of this machine.";

/// Of a client.
pub(super) fn client(error: ClientError) -> Failure {
    let (next, code) = match &error {
        ClientError::Dial(error) => dial_advice(error),
        ClientError::Peer(error) => peer_advice(error),
        ClientError::Refused(_) => ("do what it says and send the file again.", DECLINED),
        ClientError::File(_) => ("check the path and who may read it.", FILE),
        ClientError::Output(_) => ("check where it leads.", FILE),
    };
    Failure::new(format!("{error}; {next}")).with_code(code)
}

fn dial_advice(error: &DialError) -> (&'static str, u8) {
    match error {
        error if error.needs_mdns() => (MDNS_ADVICE, NOT_FOUND),
        DialError::NotFound(host) if host.contains('%') => (
            "check the name of the interface behind the %, which this machine does not have (on Windows it is a number).",
            NOT_FOUND,
        ),
        DialError::NotFound(_) => {
            ("check the spelling, use the IP address, or check this machine's DNS.", NOT_FOUND)
        }
        DialError::NoNameServer(_) => {
            ("check this machine's network and its DNS, or use the IP address.", NOT_FOUND)
        }
        DialError::Refused(_) => (
            "nothing listens on that port there: start the server, and check the port and the address it listens on.",
            REFUSED,
        ),
        DialError::TimedOut(..) => {
            ("check that the machine is on and that no firewall on the way drops the connection.", TIMED_OUT)
        }
        DialError::Unreachable(..) => (
            "check the address, this machine's network, and that both are on networks that meet.",
            UNREACHABLE,
        ),
        DialError::NoInterface(_) => {
            ("add the one of this machine that leads there, such as fe80::1%eth0.", UNREACHABLE)
        }
        // The connection was made and torn down again before this end had noticed the former.
        DialError::NoLocalPort(_) => ("end some, or widen the system's range of local ports.", 1),
        DialError::Other(_, error) if error.kind() == io::ErrorKind::ConnectionReset => {
            ("the server crashed or gave up: look at its log.", RESET)
        }
        DialError::Other(..) => ("check the address and this machine's network.", 1),
    }
}

fn peer_advice(error: &PeerError) -> (&'static str, u8) {
    match error {
        PeerError::Silent(_) => (
            "check that it is the right port, that it understands what was sent (some wait for the end of a line), or allow more \
             with --timeout.",
            SILENT,
        ),
        PeerError::Stalled(_) => {
            ("the server hangs or has stopped reading: look at it, or allow more with --timeout.", SILENT)
        }
        PeerError::Unfinished(..) => (
            "check that it is the right port and look at the server, which comes to no end, or allow more with --timeout where the \
             network is slow.",
            SILENT,
        ),
        PeerError::Closed(_) => {
            ("look at the server's log, and check that it speaks what this client does.", CLOSED)
        }
        PeerError::Reset => ("the server crashed or gave up: look at its log.", RESET),
        PeerError::TooLarge { .. } => {
            ("check that the server speaks this protocol, or allow more with --max-bytes.", BAD_ANSWER)
        }
        PeerError::Malformed(_) => ("check that the server speaks this protocol.", BAD_ANSWER),
        PeerError::Io(_) => ("try again, and look at the server's log.", 1),
    }
}

/// A line about an attempt that is repeated.
pub(super) fn retry(error: &DialError, next: u32, of: u32, delay: std::time::Duration) -> String {
    format!("{error}; trying again in {delay:?} ({next} of {of}).")
}

/// Of a server's one connection.
pub(super) fn service(error: ServiceError) -> Failure {
    Failure::new(format!("{error}; that was the one connection of --once."))
}

/// Of an address to listen on.
pub(super) fn listen(error: ListenError) -> Failure {
    Failure::new(error.to_string()).with_code(LISTEN)
}

/// Of the directory for uploads.
pub(super) fn directory(path: &Path, error: &io::Error) -> Failure {
    let sentence =
        format!("cannot use the directory {}: {error}; choose another with --into.", path.display());
    Failure::new(sentence).with_code(FILE)
}

/// Of a file that is to be sent.
pub(super) fn file(path: &Path, why: impl std::fmt::Display) -> Failure {
    let sentence = format!("cannot send {}: {why}; check the path and who may read it.", path.display());
    Failure::new(sentence).with_code(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Target;

    #[test]
    fn a_reset_is_one_whenever_it_comes() {
        let error = io::Error::from(io::ErrorKind::ConnectionReset);
        let early = client(DialError::Other(Target::new("h", 1), error).into());
        assert_eq!(early, Failure::new(early.to_string()).with_code(RESET));
        let late = client(PeerError::Reset.into());
        assert_eq!(late, Failure::new(late.to_string()).with_code(RESET));
    }
}
