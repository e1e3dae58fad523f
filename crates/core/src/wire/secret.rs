//! Secrets and what is shown of them: a token answers challenges, an owner's secret becomes a key for each name. Neither secret ever
//! travels. No socket and no randomness of its own, so that every case can be tried.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac, digest::CtOutput};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest secret, in bytes. Longer ones would be hashed first and be no better.
pub const SECRET_BYTES_MAX: usize = 1024;

/// From this length on a random secret cannot be guessed by whoever has seen an answer made with it.
pub const SECRET_BYTES_SAFE: usize = 16;

/// Bytes of a MAC, of a nonce and of an owner's key: what SHA-256 gives.
const MAC_BYTES: usize = 32;

/// What SHA-256 works on; keys are filled up to it (RFC 2104).
const BLOCK_BYTES: usize = 64;

/// Keeps what is made for one purpose from being of use for another.
const ANSWER_CONTEXT: &[u8] = b"relay hello 2\n";
const OWNER_CONTEXT: &[u8] = b"relay owner 2\n";

/// The relay asks for a proof of the token before it acts on the hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// 64 hexadecimal digits that no other connection gets.
    pub challenge: String,
}

/// The client's proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// See [`Secret::answer`].
    pub answer: String,
}

/// A secret that two sides share: 1 to [`SECRET_BYTES_MAX`] bytes. It is never shown.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

/// Why bytes are not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// More than [`SECRET_BYTES_MAX`] bytes.
    #[error("it is longer than {SECRET_BYTES_MAX} bytes")]
    TooLong,
    /// Most likely a file of something else.
    #[error("it has more than one line")]
    Lines,
}

impl Secret {
    /// Takes the bytes without the white space around them, such as the newline that ends a file.
    ///
    /// # Errors
    /// [`BadSecret`] says what is wrong with them.
    pub fn new(bytes: &[u8]) -> Result<Self, BadSecret> {
        let bytes = bytes.trim_ascii();
        match bytes.len() {
            0 => Err(BadSecret::Empty),
            1..=SECRET_BYTES_MAX if bytes.contains(&b'\n') => Err(BadSecret::Lines),
            1..=SECRET_BYTES_MAX => Ok(Self(bytes.into())),
            _ => Err(BadSecret::TooLong),
        }
    }

    /// Whether it is so short that it can be found by trying.
    pub fn is_short(&self) -> bool {
        self.0.len() < SECRET_BYTES_SAFE
    }

    /// The proof that the sender of `hello` (the JSON of its first frame, byte for byte) has this secret, as the answer to
    /// `challenge`, in hexadecimal.
    pub fn answer(&self, challenge: &str, hello: &[u8]) -> String {
        hex(&self.mac_of(challenge, hello).finalize().into_bytes())
    }

    /// Whether `answer` is that proof, compared in constant time.
    pub fn proves(&self, challenge: &str, hello: &[u8], answer: &str) -> bool {
        unhex(answer).is_some_and(|answer| self.mac_of(challenge, hello).verify_slice(&answer).is_ok())
    }

    /// What shows a relay that the same owner asks for `name` again. Of no use for any other name.
    pub fn owner_key(&self, name: &[u8]) -> OwnerKey {
        OwnerKey(self.mac(&[OWNER_CONTEXT, name]).finalize().into_bytes().into())
    }

    fn mac_of(&self, challenge: &str, hello: &[u8]) -> Hmac<Sha256> {
        self.mac(&[ANSWER_CONTEXT, challenge.as_bytes(), b"\n", hello])
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        // RFC 2104 fills a key up with zeros, and hashes one that is longer first.
        let mut block = [0; BLOCK_BYTES];
        if self.0.len() <= BLOCK_BYTES {
            block[..self.0.len()].copy_from_slice(&self.0);
        } else {
            block[..MAC_BYTES].copy_from_slice(&Sha256::digest(&self.0));
        }
        let mut mac = Hmac::new(&block.into());
        parts.iter().for_each(|part| mac.update(part));
        mac
    }
}

impl PartialEq for Secret {
    /// In constant time for secrets of any two values.
    fn eq(&self, other: &Self) -> bool {
        self.owner_key(b"") == other.owner_key(b"")
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Made of an owner's secret and a name: whoever registers the name with the same key as its holder takes it over. Compared in
/// constant time.
#[derive(Clone)]
pub struct OwnerKey([u8; MAC_BYTES]);

impl OwnerKey {
    /// Reads it as it stands in a hello: 64 hexadecimal digits in lower case.
    pub fn from_hex(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }

    /// As it stands in a hello.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }
}

impl PartialEq for OwnerKey {
    fn eq(&self, other: &Self) -> bool {
        let constant_time = |key: &Self| CtOutput::<Hmac<Sha256>>::new(key.0.into());
        constant_time(self) == constant_time(other)
    }
}

impl Eq for OwnerKey {}

impl fmt::Debug for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerKey")
    }
}

/// A challenge of random bytes.
pub fn encode_challenge(nonce: &[u8; MAC_BYTES]) -> Challenge {
    Challenge { challenge: hex(nonce) }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|n| char::from(DIGITS[usize::from(n)])).collect()
}

fn unhex(text: &str) -> Option<[u8; MAC_BYTES]> {
    let digits = <&[u8; 2 * MAC_BYTES]>::try_from(text.as_bytes()).ok()?;
    let mut bytes = [0; MAC_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        // One value has one form: upper case is none.
        let digit = |at: usize| {
            let digit = char::from(pair[at]);
            if digit.is_ascii_uppercase() { None } else { digit.to_digit(16) }
        };
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn macs_are_those_of_rfc_4231() {
        let mac = |key: &[u8], data: &[u8]| hex(&Secret(key.into()).mac(&[data]).finalize().into_bytes());
        assert_eq!(
            mac(&[0x0b; 20], b"Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            mac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn an_answer_holds_for_one_challenge_and_one_hello() {
        let token = secret("a token");
        let (challenge, hello) = ("c".repeat(64), br#"{"hello":2,"register":"a"}"#);
        let answer = token.answer(&challenge, hello);
        assert!(token.proves(&challenge, hello, &answer));
        assert!(!secret("b token").proves(&challenge, hello, &answer));
        assert!(!token.proves(&"d".repeat(64), hello, &answer));
        assert!(!token.proves(&challenge, br#"{"hello":2,"register":"b"}"#, &answer));
        for wrong in [
            "",
            "00",
            &answer[1..],
            &answer.to_uppercase(),
            &answer.replace(|c: char| c.is_ascii_digit(), "g"),
            &"é".repeat(32),
        ] {
            assert!(!token.proves(&challenge, hello, wrong), "{wrong}");
        }
    }

    #[test]
    fn an_owner_key_belongs_to_one_secret_and_one_name() {
        let key = secret("mine").owner_key(b"web");
        assert_eq!(OwnerKey::from_hex(&key.to_hex()), Some(key.clone()));
        assert_ne!(key, secret("mine").owner_key(b"ssh"));
        assert_ne!(key, secret("yours").owner_key(b"web"));
        assert_eq!(OwnerKey::from_hex("00"), None);
        assert_eq!(OwnerKey::from_hex(&key.to_hex().to_uppercase()), None);
    }

    #[test]
    fn secrets_lose_the_space_around_them_and_are_not_shown() {
        assert_eq!(secret(" s \r\n"), secret("s"));
        assert_ne!(secret("s"), secret("t"));
        assert_eq!(Secret::new(b" \n"), Err(BadSecret::Empty));
        assert_eq!(Secret::new(b"a\nb"), Err(BadSecret::Lines));
        assert_eq!(Secret::new(&[b'x'; SECRET_BYTES_MAX + 1]), Err(BadSecret::TooLong));
        assert_eq!(format!("{:?}", secret("hidden")), "Secret");
    }
}
