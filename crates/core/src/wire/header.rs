//! The header of a frame: `{name}|{length}|`.

use super::name::NAME_BYTES_MAX;

/// The most digits a length can have: those of `u64::MAX`.
const LENGTH_DIGITS_MAX: usize = 20;

/// The longest header in bytes.
pub const HEADER_BYTES_MAX: usize = NAME_BYTES_MAX + 1 + LENGTH_DIGITS_MAX + 1;

/// A parsed header. The name is the first `name_bytes` of the input; the payload starts at `header_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Length of the name in bytes; 0 is the relay itself.
    pub name_bytes: usize,
    /// Length of the whole header in bytes, both separators included.
    pub header_bytes: usize,
    /// Length of the payload in bytes, as declared: nothing is ever allocated by it.
    pub length: u64,
}

/// Why bytes cannot be the start of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// 256 bytes without the separator that ends a name.
    #[error("a name longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong,
    /// Nothing between the separators.
    #[error("a length without digits")]
    NoDigits,
    /// A sign, a space, a letter: anything but a digit.
    #[error("a length with the byte 0x{0:02x} in it")]
    NotADigit(u8),
    /// More digits than any length has.
    #[error("a length of more than {LENGTH_DIGITS_MAX} digits")]
    TooManyDigits,
    /// Over `u64::MAX`.
    #[error("a length over 64 bits")]
    TooLarge,
}

/// Parses the header at the start of `input`; `None` when its end has not arrived yet. The answer for a longer input never
/// contradicts the one for a shorter: an error is reported with the first byte that makes it certain.
///
/// # Errors
/// [`HeaderError`] when no continuation can make a header of it.
#[inline]
pub fn parse_header(input: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some(name_bytes) = memchr::memchr(b'|', &input[..input.len().min(NAME_BYTES_MAX + 1)]) else {
        return if input.len() > NAME_BYTES_MAX { Err(HeaderError::NameTooLong) } else { Ok(None) };
    };
    let digits = &input[name_bytes + 1..];
    let mut length: u64 = 0;
    for (n, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' if n == LENGTH_DIGITS_MAX => return Err(HeaderError::TooManyDigits),
            b'0'..=b'9' => {
                let digit = u64::from(byte - b'0');
                let longer = length.checked_mul(10).and_then(|l| l.checked_add(digit));
                length = longer.ok_or(HeaderError::TooLarge)?;
            }
            b'|' if n == 0 => return Err(HeaderError::NoDigits),
            b'|' => return Ok(Some(Header { name_bytes, header_bytes: name_bytes + n + 2, length })),
            other => return Err(HeaderError::NotADigit(other)),
        }
    }
    Ok(None)
}

/// Appends `{name}|{length}|` to `out`.
#[inline]
pub fn encode_header(out: &mut Vec<u8>, name: &[u8], length: u64) {
    out.extend_from_slice(name);
    out.push(b'|');
    let mut digits = [0; LENGTH_DIGITS_MAX];
    let mut start = digits.len();
    let mut rest = length;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
    out.push(b'|');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_follow_the_grammar() {
        let length = |text: &str| parse_header(format!("a|{text}|").as_bytes()).map(|h| h.unwrap().length);
        assert_eq!(length("0"), Ok(0));
        assert_eq!(length("007"), Ok(7));
        assert_eq!(length("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(length("00000000000000000001"), Ok(1));
        assert_eq!(length("18446744073709551616"), Err(HeaderError::TooLarge));
        assert_eq!(length("99999999999999999999"), Err(HeaderError::TooLarge));
        assert_eq!(length("000000000000000000001"), Err(HeaderError::TooManyDigits));
        assert_eq!(length(""), Err(HeaderError::NoDigits));
        for (text, byte) in [("+5", b'+'), ("-5", b'-'), (" 5", b' '), ("5 ", b' '), ("5x", b'x'), ("5\0", 0)]
        {
            assert_eq!(length(text), Err(HeaderError::NotADigit(byte)), "{text:?}");
        }
    }

    #[test]
    fn an_endless_name_is_an_error_after_256_bytes() {
        assert_eq!(parse_header(&[b'n'; 255]), Ok(None));
        assert_eq!(parse_header(&[b'n'; 256]), Err(HeaderError::NameTooLong));
        let longest = [&[b'n'; 255][..], b"|18446744073709551615|"].concat();
        assert_eq!(longest.len(), HEADER_BYTES_MAX);
        assert_eq!(parse_header(&longest).unwrap().unwrap().header_bytes, HEADER_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_parsed(name in "[^|]{0,60}", length: u64) {
            let mut bytes = Vec::new();
            encode_header(&mut bytes, name.as_bytes(), length);
            let header = Header { name_bytes: name.len(), header_bytes: bytes.len(), length };
            prop_assert_eq!(parse_header(&bytes), Ok(Some(header)));
        }

        #[test]
        fn every_prefix_is_incomplete_or_already_wrong(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let whole = parse_header(&bytes);
            for cut in 0..bytes.len() {
                match parse_header(&bytes[..cut]) {
                    Ok(None) => {}
                    known => { prop_assert_eq!(known, whole); break; }
                }
            }
        }
    }
}
