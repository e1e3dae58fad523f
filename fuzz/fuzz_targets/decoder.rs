//! The decoder gives the same frames, and the same error, for any split of the bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tcp_relay::wire::{DecodeError, Decoder, Frame};

const PAYLOAD_BYTES_MAX: u64 = 4096;

/// The frames, how it ended, and whether it ended inside a frame.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<DecodeError>, bool) {
    let mut decoder = Decoder::new(PAYLOAD_BYTES_MAX);
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error), true),
            }
        }
    }
    (frames, None, decoder.is_inside_frame())
}

/// Splits `bytes` in pieces whose sizes are taken from `sizes`, again and again.
fn split<'a>(mut bytes: &'a [u8], sizes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let size = sizes.next().map_or(1, |size| usize::from(*size).max(1)).min(bytes.len());
        let (piece, rest) = bytes.split_at(size);
        bytes = rest;
        Some(piece)
    })
}

// The first byte says how many after it are sizes of pieces; the rest is what the relay sent.
fuzz_target!(|input: &[u8]| {
    let Some((&sizes, rest)) = input.split_first() else { return };
    let (sizes, bytes) = rest.split_at(usize::from(sizes).min(rest.len()));
    let whole = decode(std::iter::once(bytes));
    assert_eq!(decode(split(bytes, sizes)), whole);
    assert_eq!(decode(bytes.chunks(1)), whole);
    let (frames, error, is_inside) = whole;
    // Nothing is invented and nothing is lost: what was decoded is what the input starts with, up to leading zeros of lengths.
    let payloads: usize = frames.iter().map(|frame| frame.sender.len() + frame.payload.len() + 3).sum();
    assert!(payloads <= bytes.len());
    assert!(frames.iter().all(|frame| frame.payload.len() as u64 <= PAYLOAD_BYTES_MAX));
    assert!(error.is_some() || is_inside || payloads > 0 || bytes.is_empty());
});
