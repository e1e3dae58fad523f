//! Sizes in bytes, as people write and read them.

use std::{fmt, str::FromStr};

/// A size in bytes: read as `65536`, `64KiB`, `64K` or `1.5 MB`, shown as `64.0 KiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) u64);

/// What a thousand of a unit, or 1024 of it, is called.
const PREFIXES: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(bytes) = text.parse() {
            return Ok(Self(bytes));
        }
        let wrong = || format!("`{text}` is not a size such as 65536, 64KiB or 1.5MB");
        let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
        let unit = bytes_of(unit.trim_start()).ok_or_else(wrong)?;
        if let Ok(number) = number.parse::<u64>() {
            return Ok(Self(number.saturating_mul(unit)));
        }
        let number: f64 = number.parse().map_err(|_| wrong())?;
        // The cast saturates.
        Ok(Self((number * unit as f64) as u64))
    }
}

/// The bytes of a unit: `B`, `K` or `KB`, `Ki` or `KiB`, and so on, in capital or small letters.
fn bytes_of(unit: &str) -> Option<u64> {
    if unit.eq_ignore_ascii_case("b") {
        return Some(1);
    }
    let mut letters = unit.chars().map(|c| c.to_ascii_lowercase());
    let prefix = letters.next()?;
    let exponent = (1..).zip(PREFIXES).find(|(_, known)| known.eq_ignore_ascii_case(&prefix))?.0;
    let base: u64 = match (letters.next(), letters.next(), letters.next()) {
        (None | Some('b'), None, None) => 1000,
        (Some('i'), None | Some('b'), None) => 1024,
        _ => return None,
    };
    Some(base.pow(exponent))
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without floating point: logarithms and their tables would be larger than all that is here.
        let exponent = self.0.checked_ilog2().unwrap_or(0) / 10;
        let Some(prefix) = exponent.checked_sub(1).and_then(|at| PREFIXES.get(at as usize)) else {
            return write!(f, "{} B", self.0);
        };
        let tenths = (u128::from(self.0) * 10 + (1 << (10 * exponent - 1))) >> (10 * exponent);
        write!(f, "{}.{} {prefix}iB", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65536),
            ("0B", 0),
            ("7 b", 7),
            ("64KiB", 64 << 10),
            ("64 ki", 64 << 10),
            ("2k", 2000),
            ("1MB", 1_000_000),
            ("1.5MiB", 3 << 19),
            (".5 kb", 500),
            ("3gIb", 3 << 30),
            ("1EiB", 1 << 60),
            ("9007199254740993B", 9_007_199_254_740_993),
            ("99999999999999999999B", u64::MAX),
            ("100EB", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in
            ["", "B", "KiB", "-1", "1.5", "1..5MB", "1XB", "1KiBs", "1Kb b", "1kbi", "1 ", "ä", "1ä", "1e3"]
        {
            let error = text.parse::<ByteSize>().unwrap_err();
            assert!(error.contains("64KiB"), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_shown_with_a_decimal_place() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1500, "1.5 KiB"),
            (1_000_000, "976.6 KiB"),
            ((1 << 20) - 1, "1024.0 KiB"),
            (1 << 20, "1.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
