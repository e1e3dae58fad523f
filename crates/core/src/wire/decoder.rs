//! What a client receives in frames: version 2, or version 1 from a relay with framed delivery.

use super::control::CONTROL_BYTES_MAX;
use super::header::{HeaderError, parse_header};

/// One whole frame from the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Who sent it; empty for the relay itself.
    pub sender: Vec<u8>,
    /// The message, or the JSON of a control frame.
    pub payload: Vec<u8>,
}

/// Why what the relay sent cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A malformed header.
    #[error("the relay sent {0}")]
    Header(#[from] HeaderError),
    /// A frame over the decoder's limit.
    #[error("the relay announced a message of {0} bytes")]
    TooLarge(u64),
}

/// Puts frames together from bytes that come in any split. Memory grows with what arrived, never with what was announced.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the next frame starts in `buffer`.
    start: usize,
    payload_bytes_max: u64,
}

impl Decoder {
    /// A decoder that refuses frames with a payload of more than `payload_bytes_max`.
    pub fn new(payload_bytes_max: u64) -> Self {
        Self { buffer: Vec::new(), start: 0, payload_bytes_max }
    }

    /// Adds received bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next whole frame, or `None` until more bytes are fed.
    ///
    /// # Errors
    /// [`DecodeError`]; nothing after it can be understood.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        let rest = &self.buffer[self.start..];
        let Some(header) = parse_header(rest)? else { return Ok(None) };
        // The relay's own words are short.
        let most = if header.name_bytes == 0 { CONTROL_BYTES_MAX } else { u64::MAX };
        if header.length > self.payload_bytes_max.min(most) {
            return Err(DecodeError::TooLarge(header.length));
        }
        let body = &rest[header.header_bytes..];
        let Some(payload) = usize::try_from(header.length).ok().and_then(|length| body.get(..length)) else {
            return Ok(None);
        };
        let frame = Frame { sender: rest[..header.name_bytes].to_vec(), payload: payload.to_vec() };
        self.start += header.header_bytes + payload.len();
        Ok(Some(frame))
    }

    /// What was fed and belongs to no frame that was taken.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.buffer.drain(..self.start);
        self.buffer
    }

    /// What was fed and may still become a header, when that is all there is.
    pub fn unfinished_header(&self) -> Option<&[u8]> {
        let rest = &self.buffer[self.start..];
        (!rest.is_empty() && parse_header(rest) == Ok(None)).then_some(rest)
    }

    /// Whether an unfinished frame waits for more bytes.
    pub fn is_inside_frame(&self) -> bool {
        self.start < self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_in_pieces(bytes: &[u8], cuts: &[usize]) -> Vec<Frame> {
        let mut decoder = Decoder::new(1000);
        let mut frames = Vec::new();
        let mut from = 0;
        for cut in cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]) {
            if cut >= from {
                decoder.feed(&bytes[from..cut]);
                from = cut;
            }
            while let Some(frame) = decoder.next_frame().unwrap() {
                frames.push(frame);
            }
        }
        assert!(!decoder.is_inside_frame());
        frames
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            frames in proptest::collection::vec(("[^|]{0,20}", proptest::collection::vec(any::<u8>(), 0..50)), 0..8),
            mut cuts in proptest::collection::vec(any::<usize>(), 0..20),
        ) {
            let frames: Vec<_> = frames.into_iter().map(|(s, payload)| Frame { sender: s.into_bytes(), payload }).collect();
            let mut bytes = Vec::new();
            for frame in &frames {
                super::super::encode_header(&mut bytes, &frame.sender, frame.payload.len() as u64);
                bytes.extend_from_slice(&frame.payload);
            }
            for cut in &mut cuts { *cut %= bytes.len() + 1; }
            cuts.sort_unstable();
            prop_assert_eq!(decode_in_pieces(&bytes, &cuts), frames);
        }
    }

    #[test]
    fn a_header_is_unfinished_until_its_last_byte() {
        let mut decoder = Decoder::new(10);
        assert_eq!(decoder.unfinished_header(), None);
        decoder.feed(b"a|1");
        assert_eq!(decoder.unfinished_header(), Some(&b"a|1"[..]));
        decoder.feed(b"|");
        assert_eq!(decoder.unfinished_header(), None);
        decoder.feed(b"xb");
        assert!(decoder.next_frame().unwrap().is_some());
        assert_eq!(decoder.unfinished_header(), Some(&b"b"[..]));
        decoder.feed(b"|x");
        assert_eq!(decoder.unfinished_header(), None);
    }

    #[test]
    fn a_control_frame_has_a_limit_of_its_own() {
        for (length, fits) in
            [(CONTROL_BYTES_MAX - 1, true), (CONTROL_BYTES_MAX, true), (CONTROL_BYTES_MAX + 1, false)]
        {
            let mut decoder = Decoder::new(u64::MAX);
            decoder.feed(format!("|{length}|").as_bytes());
            assert_eq!(decoder.next_frame().is_ok(), fits, "{length}");
        }
    }

    #[test]
    fn an_announced_length_over_the_limit_is_refused_at_once() {
        let mut decoder = Decoder::new(10);
        decoder.feed(b"a|11|");
        assert_eq!(decoder.next_frame(), Err(DecodeError::TooLarge(11)));
    }
}
