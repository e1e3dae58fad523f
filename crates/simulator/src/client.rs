//! A simulated client: what it sends, and whether what it receives is right.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
};

use name_relay_core::{driver::Framing, wire::parse_header};

/// Names that clients register and send to. Few, so that they meet.
pub const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "nobody"];

/// How a client behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// It reads all there is.
    Reads,
    /// It reads a few bytes at a time.
    ReadsSlowly,
    /// It never reads.
    NeverReads,
}

/// The network between a client and the relay, and the client behind it.
#[derive(Debug)]
pub struct Client {
    /// Its number, which its messages carry.
    pub id: usize,
    /// How it receives.
    pub framing: Framing,
    /// How it reads.
    pub habit: Habit,
    /// Bytes on their way to the relay.
    pub outgoing: RefCell<VecDeque<u8>>,
    /// Bytes that have arrived at the relay and were not read.
    pub arrived: RefCell<VecDeque<u8>>,
    /// It sends nothing more.
    pub finished: Cell<bool>,
    /// Its connection is broken.
    pub broken: Cell<bool>,
    /// Bytes that its receiving side accepts until it reads again.
    pub window: Cell<usize>,
    /// What it received and has not yet understood.
    received: RefCell<Vec<u8>>,
    /// The last message of each sender.
    last: RefCell<BTreeMap<usize, u64>>,
    /// Whole messages that it received.
    pub messages: Cell<u64>,
    /// Messages that it sent, besides those of no bytes.
    pub sent: Cell<u64>,
}

/// Bytes that the systems on the way to a client take without its reading.
pub const WINDOW: usize = 48;

impl Client {
    /// A client that has sent nothing yet.
    pub fn new(id: usize, framing: Framing, habit: Habit) -> Self {
        Self {
            id,
            framing,
            habit,
            outgoing: RefCell::default(),
            arrived: RefCell::default(),
            finished: Cell::new(false),
            broken: Cell::new(false),
            window: Cell::new(WINDOW),
            received: RefCell::default(),
            last: RefCell::default(),
            messages: Cell::new(0),
            sent: Cell::new(0),
        }
    }

    /// Writes a message that every recipient takes, to a name that `random` chooses, also from a crowd, for [`Client::outgoing`].
    pub fn compose_ordinary(&self, random: &mut fastrand::Rng, crowd: usize) {
        let to = name(random, crowd);
        self.message(&mut self.outgoing.borrow_mut(), &to, random.usize(0..70));
    }

    /// Writes a message, or several, or something odd, to names that `random` chooses, for [`Client::outgoing`].
    pub fn compose(&self, random: &mut fastrand::Rng, crowd: usize) {
        let mut outgoing = self.outgoing.borrow_mut();
        match random.u8(0..10) {
            // Nothing to each name in turn, as in one segment.
            0 => {
                NAMES.iter().for_each(|name| outgoing.extend(format!("{name}|0|").bytes()));
                (0..crowd).for_each(|n| outgoing.extend(format!("x{n}|0|").bytes()));
            }
            1 if self.framing == Framing::Session => outgoing.extend(b"|10|{\"ping\":7}"),
            // Messages of no bytes to names that nobody has: each is answered.
            2 if self.framing == Framing::Session => {
                (0..6).for_each(|n| outgoing.extend(format!("nobody{n}|0|").bytes()));
            }
            _ => {
                let to = name(random, crowd);
                let sizes = [0, 1, 9, 30, 31, 32, 33, 60, 150];
                self.message(&mut outgoing, &to, sizes[random.usize(0..sizes.len())]);
            }
        }
    }

    /// `{to}|{n}|[id#number:filling]`: a message says whose it is, which one, and where it ends.
    fn message(&self, outgoing: &mut VecDeque<u8>, to: &str, filling: usize) {
        self.sent.set(self.sent.get() + 1);
        let payload = format!("[{}#{}:{}]", self.id, self.sent.get(), "x".repeat(filling));
        outgoing.extend(format!("{to}|{}|{payload}", payload.len()).bytes());
    }

    /// Takes bytes from the relay, and checks every message that is complete.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn receive(&self, bytes: &[u8], has_left_inside: impl Fn(usize) -> bool) -> Result<(), String> {
        let mut received = self.received.borrow_mut();
        received.extend_from_slice(bytes);
        let mut at = 0;
        while at < received.len() {
            let rest = &received[at..];
            let used = match self.framing {
                Framing::Raw => self.raw(rest, &has_left_inside)?,
                Framing::Framed | Framing::Session => self.frame(rest)?,
            };
            if used == 0 {
                break;
            }
            at += used;
        }
        received.drain(..at);
        Ok(())
    }

    fn frame(&self, rest: &[u8]) -> Result<usize, String> {
        let header = parse_header(rest).map_err(|error| format!("no frame: {error}"))?;
        let Some(header) = header else { return Ok(0) };
        let end = header.header_bytes + header.length as usize;
        let Some(payload) = rest.get(header.header_bytes..end) else { return Ok(0) };
        let sender = &rest[..header.name_bytes];
        if sender.is_empty() {
            if self.framing != Framing::Session || payload.first() != Some(&b'{') {
                return Err(format!("a control frame that is none: {}", payload.escape_ascii()));
            }
        } else if !payload.is_empty() {
            if message_bytes(payload) != Some(payload.len()) {
                return Err(format!("a frame with {}", payload.escape_ascii()));
            }
            self.whole(payload)?;
        }
        Ok(end)
    }

    /// A message of raw delivery. One whose sender has left inside it ends where the next begins.
    fn raw(&self, rest: &[u8], has_left_inside: &impl Fn(usize) -> bool) -> Result<usize, String> {
        if rest[0] != b'[' {
            return Err(format!("bytes between messages: {}", rest.escape_ascii()));
        }
        if let Some(end) = message_bytes(rest) {
            self.whole(&rest[..end])?;
            return Ok(end);
        }
        let Some(next) = rest[1..].iter().position(|byte| *byte == b'[').map(|at| at + 1) else {
            return Ok(0);
        };
        let whose = number(&rest[1..next], b'#').map(|(id, _)| id as usize);
        if whose.is_none_or(has_left_inside) {
            return Ok(next);
        }
        Err(format!("a message inside another: {}", rest.escape_ascii()))
    }

    /// Messages of one sender come once and in order.
    fn whole(&self, message: &[u8]) -> Result<(), String> {
        let (id, rest) = number(&message[1..], b'#').ok_or("a message without a sender")?;
        let (which, _) = number(rest, b':').ok_or("a message without a number")?;
        let mut last = self.last.borrow_mut();
        let before = last.insert(id as usize, which).unwrap_or(0);
        if which <= before {
            return Err(format!("message {which} of client {id} came after its message {before}"));
        }
        self.messages.set(self.messages.get() + 1);
        Ok(())
    }
}

/// A name that clients send to; one of the crowd as often as one of the few.
fn name(random: &mut fastrand::Rng, crowd: usize) -> String {
    if crowd > 0 && random.bool() {
        format!("x{}", random.usize(0..crowd))
    } else {
        NAMES[random.usize(0..NAMES.len())].to_owned()
    }
}

/// How long the message at the start of `bytes` is, if it is whole and of one piece.
fn message_bytes(bytes: &[u8]) -> Option<usize> {
    let (_, rest) = number(bytes.strip_prefix(b"[")?, b'#')?;
    let (_, rest) = number(rest, b':')?;
    let filling = rest.iter().position(|byte| *byte != b'x')?;
    (rest[filling] == b']').then(|| bytes.len() - rest.len() + filling + 1)
}

/// The number in front of `end`, and what is behind that.
fn number(bytes: &[u8], end: u8) -> Option<(u64, &[u8])> {
    let at = bytes.iter().position(|byte| !byte.is_ascii_digit())?;
    let number = std::str::from_utf8(&bytes[..at]).ok()?.parse().ok()?;
    (bytes[at] == end).then(|| (number, &bytes[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receives(framing: Framing, bytes: &str) -> Result<u64, String> {
        let client = Client::new(0, framing, Habit::Reads);
        client.receive(bytes.as_bytes(), |id| id == 9)?;
        Ok(client.messages.get())
    }

    #[test]
    fn what_is_wrong_is_seen() {
        assert_eq!(receives(Framing::Raw, "[1#1:xx][1#2:][2#1:x"), Ok(2));
        assert_eq!(receives(Framing::Raw, "[9#1:xx[1#2:]"), Ok(1), "client 9 has left inside a message");
        assert!(receives(Framing::Raw, "[1#1:xx[1#2:]").is_err(), "interleaved");
        assert!(receives(Framing::Raw, "[1#2:][1#1:]").is_err(), "out of order");
        assert!(receives(Framing::Raw, "[1#1:][1#1:]").is_err(), "twice");
        assert!(receives(Framing::Raw, "[1#1:]x").is_err(), "something between");
        assert_eq!(receives(Framing::Framed, "a|7|[1#1:x]b|0|a|8|[1#2:xx"), Ok(1));
        assert!(receives(Framing::Framed, "a|6|[1#1:x]").is_err(), "cut off");
        assert!(receives(Framing::Framed, "|2|{}").is_err());
        assert_eq!(receives(Framing::Session, "|2|{}a|7|[1#1:x]"), Ok(1));
    }
}
