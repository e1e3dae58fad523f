//! Names: what is one, how it is registered in version 1, and how it is shown.

use std::fmt::{self, Write};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// A name by which a client is reached: 1 to [`NAME_BYTES_MAX`] bytes without `|`, not necessarily UTF-8.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

/// Why bytes are not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// No byte at all.
    #[error("the name is empty")]
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes.
    #[error("the name is longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// The separator of the protocol.
    #[error("the name contains `|`")]
    Separator,
}

impl Name {
    /// Takes the bytes as a name.
    ///
    /// # Errors
    /// [`BadName`] says which rule they break.
    pub fn new(bytes: &[u8]) -> Result<Self, BadName> {
        check(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// The bytes as they travel.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::str::FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        Self::new(text.as_bytes())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.0).fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.0).fmt(f)
    }
}

/// A name of version 2: one that JSON can hold.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TextName(Box<str>);

impl TextName {
    /// Takes the text as a name.
    ///
    /// # Errors
    /// [`BadName`] says which rule it breaks.
    pub fn new(text: &str) -> Result<Self, BadName> {
        check(text.as_bytes())?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes as they travel in front of messages.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<TextName> for Name {
    fn from(name: TextName) -> Self {
        Self(name.0.into_boxed_bytes())
    }
}

impl std::str::FromStr for TextName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        Self::new(text)
    }
}

impl Serialize for TextName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TextName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(D::Error::custom)
    }
}

impl fmt::Display for TextName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.as_bytes()).fmt(f)
    }
}

impl fmt::Debug for TextName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.as_bytes()).fmt(f)
    }
}

fn check(bytes: &[u8]) -> Result<(), BadName> {
    match bytes.len() {
        0 => Err(BadName::Empty),
        1..=NAME_BYTES_MAX if bytes.contains(&b'|') => Err(BadName::Separator),
        1..=NAME_BYTES_MAX => Ok(()),
        _ => Err(BadName::TooLong),
    }
}

/// The first thing a version 1 client sends, `{name}|`: the name, or `None` when its end has not arrived yet.
///
/// # Errors
/// [`BadName`]; an endless name is known to be one after 256 bytes.
pub fn parse_registration(input: &[u8]) -> Result<Option<&[u8]>, BadName> {
    match memchr::memchr(b'|', &input[..input.len().min(NAME_BYTES_MAX + 1)]) {
        Some(0) => Err(BadName::Empty),
        Some(end) => Ok(Some(&input[..end])),
        None if input.len() > NAME_BYTES_MAX => Err(BadName::TooLong),
        None => Ok(None),
    }
}

/// Shows bytes that came from a peer so that they can neither end the line nor steer the terminal: printable Unicode as it is, the
/// rest escaped.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                // Bidirectional controls are printable to Rust, but reorder the rest of the line on a terminal.
                if matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                    write!(f, "{}", c.escape_unicode())?;
                } else if c == '\'' || c == '"' {
                    f.write_char(c)?;
                } else {
                    write!(f, "{}", c.escape_debug())?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_to_255_bytes_and_no_separator() {
        assert_eq!(Name::new(b""), Err(BadName::Empty));
        assert!(Name::new(&[0xff; 255]).is_ok());
        assert_eq!(Name::new(&[b'a'; 256]), Err(BadName::TooLong));
        assert_eq!(Name::new(b"a|b"), Err(BadName::Separator));
    }

    #[test]
    fn a_name_of_version_2_is_a_text_under_the_same_rules() {
        assert_eq!(TextName::new(""), Err(BadName::Empty));
        assert_eq!(TextName::new("a|b"), Err(BadName::Separator));
        // 255 bytes, however few characters those are.
        assert!(TextName::new(&"é".repeat(127)).is_ok());
        assert_eq!(TextName::new(&"é".repeat(128)), Err(BadName::TooLong));
        let name = TextName::new("é").unwrap();
        assert_eq!(Name::from(name.clone()), Name::new("é".as_bytes()).unwrap());
        assert_eq!(serde_json::to_string(&name).unwrap(), r#""é""#);
        assert_eq!(serde_json::from_str::<TextName>(r#""\u00e9""#).unwrap(), name);
        assert!(serde_json::from_str::<TextName>(r#""a|b""#).is_err());
    }

    #[test]
    fn a_registration_ends_at_its_separator() {
        assert_eq!(parse_registration(b"dev"), Ok(None));
        assert_eq!(parse_registration(b"dev|x|1|y"), Ok(Some(&b"dev"[..])));
        assert_eq!(parse_registration(b"|"), Err(BadName::Empty));
        assert_eq!(parse_registration(&[b'a'; 255]), Ok(None));
        assert_eq!(parse_registration(&[b'a'; 256]), Err(BadName::TooLong));
        let longest = [&[b'a'; 255][..], b"|"].concat();
        assert_eq!(parse_registration(&longest), Ok(Some(&longest[..255])));
    }

    #[test]
    fn what_could_steer_a_terminal_is_escaped() {
        let shown = Escaped("é \u{1b}[2J\n\u{202e}\u{7f}'".as_bytes()).to_string();
        assert_eq!(shown, "é \\u{1b}[2J\\n\\u{202e}\\u{7f}'");
        assert_eq!(Escaped(b"a\xff\x00").to_string(), "a\\xff\\0");
    }
}
