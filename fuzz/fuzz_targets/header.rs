//! Headers and registrations against a slow reference that follows the words of docs/protocol.md.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tcp_relay::wire::{BadName, Header, encode_header, parse_header, parse_registration};

/// `Some(None)`: not complete yet; `None`: can never be a header.
fn reference(input: &[u8]) -> Option<Option<Header>> {
    let Some(name_bytes) = input.iter().position(|byte| *byte == b'|') else {
        return (input.len() <= 255).then_some(None);
    };
    if name_bytes > 255 {
        return None;
    }
    let rest = &input[name_bytes + 1..];
    let end = rest.iter().position(|byte| *byte == b'|');
    let digits = &rest[..end.unwrap_or(rest.len())];
    let text = std::str::from_utf8(digits).ok()?;
    if text.len() > 20 || !text.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    if text.is_empty() {
        return if end.is_some() { None } else { Some(None) };
    }
    let length = u64::try_from(text.parse::<u128>().ok()?).ok()?;
    Some(end.map(|end| Header { name_bytes, header_bytes: name_bytes + 1 + end + 1, length }))
}

fuzz_target!(|input: &[u8]| {
    let parsed = parse_header(input);
    assert_eq!(parsed.ok(), reference(input));
    if let Ok(Some(header)) = parsed {
        let mut encoded = Vec::new();
        encode_header(&mut encoded, &input[..header.name_bytes], header.length);
        let again = parse_header(&encoded).unwrap().unwrap();
        assert_eq!((again.name_bytes, again.length), (header.name_bytes, header.length));
        assert_eq!(again.header_bytes, encoded.len());
    }

    let end = input.iter().position(|byte| *byte == b'|');
    match parse_registration(input) {
        Ok(Some(name)) => assert_eq!((Some(name.len()), name), (end, &input[..name.len()])),
        Ok(None) => assert!(end.is_none() && input.len() <= 255),
        Err(BadName::Empty) => assert_eq!(end, Some(0)),
        Err(BadName::TooLong) => assert!(end.is_none_or(|end| end > 255) && input.len() > 255),
        Err(BadName::Separator) => panic!("a registration ends at its separator"),
    }
});
