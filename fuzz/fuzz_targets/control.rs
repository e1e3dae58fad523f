//! Control frames: no bytes make their parsers panic, and what was parsed survives encoding and parsing again.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use tcp_relay::wire::{
    Decoder, ErrorCode, FromClient, FromRelay, Hello, Registered, encode_control, parse_message,
};

/// Encodes as a frame and gives the JSON that a decoder takes from it.
fn travelled(message: &(impl serde::Serialize + Debug)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_control(&mut bytes, message);
    let mut decoder = Decoder::new(u64::MAX);
    decoder.feed(&bytes);
    let frame = decoder.next_frame().unwrap().unwrap();
    assert!(frame.sender.is_empty() && !decoder.is_inside_frame());
    frame.payload
}

fuzz_target!(|json: &[u8]| {
    if let Ok(Some(message)) = FromClient::parse(json) {
        assert_eq!(FromClient::parse(&travelled(&message)).unwrap(), Some(message));
    }
    if let Ok(Some(message)) = FromRelay::parse(json) {
        // A code of the future is forgotten, which is all that may change.
        let again = FromRelay::parse(&travelled(&message)).unwrap().unwrap();
        match &message {
            FromRelay::Error(notice) if notice.code == ErrorCode::Other => {
                assert!(matches!(again, FromRelay::Error(again) if again.message == notice.message));
            }
            _ => assert_eq!(again, message),
        }
    }
    if let Ok(hello) = Hello::parse(json) {
        assert_eq!(Hello::parse(&travelled(&hello)).unwrap(), hello);
    }
    if let Ok(answer) = parse_message::<Registered>(json) {
        assert_eq!(parse_message::<Registered>(&travelled(&answer)).unwrap(), answer);
    }
});
