//! What the two ends of a transfer say to each other, as messages: `relay send --transfer` and `relay recv --transfer`.
//!
//! Each message is [`TAG`], a byte that says which one it is, and what belongs to it. Both ends know where a transfer begins and ends, and
//! the sender knows that the receiver has it all. Nobody takes a part for the whole.

/// What a message of a transfer begins with. No text does.
const TAG: &[u8; 16] = b"\0relay-transfer\0";

/// What a message with a piece of the data begins with.
pub const DATA_PREFIX: &[u8; 17] = b"\0relay-transfer\0d";

/// One message of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// The sender wants to begin, with so many bytes if it knows.
    Begin(Option<u64>),
    /// A piece of the data.
    Data(&'a [u8]),
    /// That was all: so many bytes.
    End(u64),
    /// Nothing; whether it can be delivered shows whether the other end is there.
    Probe,
    /// The receiver waits for the data.
    Ready,
    /// The receiver has written so many bytes, and those were all.
    Received(u64),
    /// The receiver does not want it.
    Refused(Refusal),
    /// A later version of this program has more to say.
    Unknown,
}

/// Why a receiver does not want a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It waits for single messages.
    NotWanted,
    /// It takes what somebody else sends.
    Busy,
    /// What came is no whole transfer.
    Broken,
    /// It cannot write what came.
    Unwritten,
}

impl<'a> Part<'a> {
    /// What a payload says; `None` when it is a message of its own.
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let (kind, rest) = payload.strip_prefix(TAG)?.split_first()?;
        let number = || std::str::from_utf8(rest).ok().and_then(|text| text.parse().ok());
        let part = match kind {
            b'b' => Some(Self::Begin(number())),
            b'd' => Some(Self::Data(rest)),
            b'e' => number().map(Self::End),
            b'?' => Some(Self::Probe),
            b'r' => Some(Self::Ready),
            b'k' => number().map(Self::Received),
            b'n' => Refusal::ALL.into_iter().find(|why| why.word().as_bytes() == rest).map(Self::Refused),
            _ => None,
        };
        Some(part.unwrap_or(Self::Unknown))
    }

    /// The payload that says it.
    pub fn payload(&self) -> Vec<u8> {
        let number = |number: &u64| number.to_string().into_bytes();
        let (kind, rest) = match self {
            Self::Begin(total) => (b'b', total.as_ref().map(number).unwrap_or_default()),
            Self::Data(bytes) => (b'd', bytes.to_vec()),
            Self::End(bytes) => (b'e', number(bytes)),
            Self::Probe | Self::Unknown => (b'?', Vec::new()),
            Self::Ready => (b'r', Vec::new()),
            Self::Received(bytes) => (b'k', number(bytes)),
            Self::Refused(why) => (b'n', why.word().as_bytes().to_vec()),
        };
        [TAG, &[kind][..], &rest].concat()
    }

    /// Whether it comes from a sender, who wants an answer.
    pub fn is_from_sender(&self) -> bool {
        matches!(self, Self::Begin(_) | Self::Data(_) | Self::End(_) | Self::Probe)
    }
}

impl Refusal {
    const ALL: [Self; 4] = [Self::NotWanted, Self::Busy, Self::Broken, Self::Unwritten];

    fn word(self) -> &'static str {
        match self {
            Self::NotWanted => "not-wanted",
            Self::Busy => "busy",
            Self::Broken => "broken",
            Self::Unwritten => "unwritten",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_read_as_it_was_written() {
        let mut parts = vec![
            Part::Begin(None),
            Part::Begin(Some(0)),
            Part::Begin(Some(u64::MAX)),
            Part::Data(b""),
            Part::Data(b"\0relay-transfer\0e0"),
            Part::End(7),
            Part::Probe,
            Part::Ready,
            Part::Received(7),
        ];
        parts.extend(Refusal::ALL.map(Part::Refused));
        for part in parts {
            assert_eq!(Part::parse(&part.payload()), Some(part));
        }
        assert_eq!(Part::Data(b"").payload(), DATA_PREFIX);
    }

    #[test]
    fn other_messages_are_none_and_what_is_not_known_is_called_that() {
        for payload in [&b""[..], b"hello", TAG, b"\0relay-transfer", b"x\0relay-transfer\0d"] {
            assert_eq!(Part::parse(payload), None, "{}", payload.escape_ascii());
        }
        for rest in ["z", "e", "e-1", "ex", "k18446744073709551616", "nfor-fun", "n"] {
            let payload = [TAG, rest.as_bytes()].concat();
            assert_eq!(Part::parse(&payload), Some(Part::Unknown), "{rest}");
        }
    }
}
