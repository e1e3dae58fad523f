//! What proves that a connection belongs to the exposer of a service.

use std::fmt::{self, Write};

/// 128 bits cannot be guessed through a network.
const KEY_BYTES: usize = 16;

/// The secret of one control session. Never logged.
pub(super) struct Key([u8; KEY_BYTES]);

impl Key {
    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// The system has none.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// As it travels: in hexadecimal.
    pub(super) fn text(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Whether `text` is this key; takes the same time however much of it is right.
    pub(super) fn is(&self, text: &str) -> bool {
        let own = self.text();
        let difference = own.bytes().zip(text.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        own.len() == text.len() && difference == 0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_itself_and_nothing_else() {
        let (key, other) = (Key::random().unwrap(), Key::random().unwrap());
        assert!(key.is(&key.text()) && !key.is(&other.text()));
        let upper = key.text().to_uppercase();
        assert!(upper == key.text() || !key.is(&upper), "capital letters are other letters");
        assert!(!key.is("") && !key.is(&key.text()[1..]) && !key.is(&(key.text() + "0")));
        assert!(!format!("{key:?}").contains(&key.text()));
    }
}
