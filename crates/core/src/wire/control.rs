//! Control frames of version 2: `|{length}|{JSON}`. The types here are the JSON.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::header::encode_header;

/// The version a hello names.
pub const PROTOCOL_VERSION: u32 = 2;

/// The longest JSON of a control frame, in bytes. The largest that exists is a few hundred.
pub const CONTROL_BYTES_MAX: u64 = 16 * 1024;

/// The first frame of a version 2 connection. Exactly one request is to be present.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol version: [`PROTOCOL_VERSION`].
    pub hello: u32,
    /// A messaging session under this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<String>,
    /// A service under this name; the connection becomes its control session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose: Option<String>,
    /// With `expose`: the service is also to be reached on this port of the relay's machine; 0: on any that the relay gives away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The connection waits for a stream to this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub park: Option<String>,
    /// With `park`: the key from the answer to `expose`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// A stream to this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<String>,
    /// Shows whoever asks for a name again as its owner: the hexadecimal form of an [`OwnerKey`](super::OwnerKey).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// With `register` or `expose`: leave the name to its holder, also to one of the same owner.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub if_free: bool,
}

/// The answer to a hello that registered a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The protocol version the session speaks.
    pub hello: u32,
    /// The name that was registered.
    pub registered: String,
    /// The largest payload of one message, in bytes.
    pub max_message: u64,
    /// How long the client may be silent, in milliseconds.
    pub idle_ms: u64,
}

/// The answer to a hello that exposed a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposed {
    /// The protocol version the session speaks.
    pub hello: u32,
    /// The name of the service.
    pub exposed: String,
    /// What connections that are parked for the service show, so that nobody else can take its streams.
    pub key: String,
    /// How long the control session may be silent, in milliseconds.
    pub idle_ms: u64,
    /// The public port, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// The answer to a hello that opened a stream. The bytes of the stream follow it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The protocol version that was spoken.
    pub hello: u32,
    /// The name of the service.
    pub opened: String,
}

/// Who a stream comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamNotice {
    /// The visitor's address, as the relay sees it.
    pub from: SocketAddr,
    /// The relay's address that the visitor connected to.
    pub to: SocketAddr,
}

/// A control frame from a client after its hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromClient {
    /// To be answered with the same number.
    Ping(u64),
    /// On the control session of a service: so many of its parked connections are no longer needed, and the relay is to end them. Only
    /// the relay can: it knows which of them no stream has come for.
    Unpark(u32),
}

/// A control frame from the relay after the answer to the hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromRelay {
    /// The answer to a ping.
    Pong(u64),
    /// Messages were discarded because nobody has the name.
    Undeliverable(Undeliverable),
    /// Something was refused; some codes end the connection.
    Error(ErrorNotice),
    /// The relay is about to stop.
    Closing(Closing),
    /// On the control session of a service: so many streams wait for a connection to be parked.
    Wanted(u32),
    /// On a parked connection, as its one and only frame: a stream has come, and what follows are its bytes.
    Stream(StreamNotice),
}

/// So many messages were discarded since the last notice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undeliverable {
    /// The destination, when it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dest: Option<String>,
    /// The destination in hexadecimal, when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dest_hex: Option<String>,
    /// How many messages.
    pub count: u64,
}

/// An error with a stable code and a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorNotice {
    /// What programs go by.
    pub code: ErrorCode,
    /// What people read.
    pub message: String,
}

/// The stable codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The name has another holder.
    NameTaken,
    /// The name's owner has registered it anew.
    Replaced,
    /// Empty, too long, or with a separator.
    BadName,
    /// A malformed header or control frame.
    BadFrame,
    /// No known request in the hello, or another version.
    BadHello,
    /// No token or a wrong one, or the rules do not allow it.
    Unauthorized,
    /// The hello was late, or the client silent for too long.
    Timeout,
    /// The client held a recipient without keeping the minimum rate.
    TooSlow,
    /// A message over the limit; it was discarded.
    TooLarge,
    /// A control frame with an unknown verb.
    UnknownVerb,
    /// Nobody exposes a service of this name.
    NoSuchService,
    /// The key of a connection that was to be parked is not the service's.
    BadKey,
    /// The service has as many streams, or as many parked connections, as it may have.
    TooManyStreams,
    /// The relay does not give away this public port.
    PortNotAllowed,
    /// The public port is taken.
    PortInUse,
    /// A code that this program does not know: the relay is newer.
    #[serde(other)]
    Other,
}

/// The relay stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Why, in a word.
    pub reason: String,
    /// When to come back, in milliseconds; add jitter.
    pub retry_ms: u64,
}

impl Undeliverable {
    /// A notice for a destination of any bytes.
    pub fn new(dest: &[u8], count: u64) -> Self {
        match std::str::from_utf8(dest) {
            Ok(text) => Self { dest: Some(text.to_owned()), dest_hex: None, count },
            Err(_) => {
                let hex = dest.iter().map(|byte| format!("{byte:02x}")).collect();
                Self { dest: None, dest_hex: Some(hex), count }
            }
        }
    }
}

impl FromClient {
    /// Reads the JSON; `None` for a verb this program does not know.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub fn parse(json: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        parse_known(json)
    }
}

impl FromRelay {
    /// Reads the JSON; `None` for a verb this program does not know.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub fn parse(json: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        parse_known(json)
    }
}

/// Old and new programs mix: a verb that is not known is no error of the grammar.
fn parse_known<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<Option<T>, serde_json::Error> {
    match serde_json::from_slice(json) {
        Ok(known) => Ok(Some(known)),
        Err(_) => {
            serde_json::from_slice::<std::collections::BTreeMap<String, IgnoredAny>>(json).map(|_| None)
        }
    }
}

/// Appends the control frame `|{length}|{JSON}` to `out`.
pub fn encode_control(out: &mut Vec<u8>, message: &impl Serialize) {
    // Serialising these types cannot fail: they have no maps with other keys than strings and no writer that errs.
    let json = serde_json::to_vec(message).unwrap_or_default();
    encode_header(out, b"", json.len() as u64);
    out.extend_from_slice(&json);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(message: &impl Serialize) -> String {
        let mut out = Vec::new();
        encode_control(&mut out, message);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn messages_have_the_documented_json() {
        assert_eq!(encoded(&FromRelay::Pong(7)), r#"|10|{"pong":7}"#);
        let hello = Hello { hello: 2, register: Some("device_a".into()), ..Hello::default() };
        assert_eq!(encoded(&hello), r#"|33|{"hello":2,"register":"device_a"}"#);
        let notice = FromRelay::Undeliverable(Undeliverable::new(b"\xff\x00", 3));
        assert_eq!(encoded(&notice), r#"|47|{"undeliverable":{"dest_hex":"ff00","count":3}}"#);
    }

    #[test]
    fn unknown_verbs_and_fields_are_no_errors() {
        assert_eq!(FromClient::parse(br#"{"ping":7}"#).unwrap(), Some(FromClient::Ping(7)));
        assert_eq!(FromClient::parse(br#"{"dance":{"x":[1]}}"#).unwrap(), None);
        assert!(FromClient::parse(b"{").is_err());
        assert!(FromClient::parse(b"[]").is_err());
        let hello: Hello = serde_json::from_str(r#"{"hello":2,"register":"a","colour":"red"}"#).unwrap();
        assert_eq!(hello.register.as_deref(), Some("a"));
        let error = FromRelay::parse(br#"{"error":{"code":"brand_new","message":"m"}}"#).unwrap().unwrap();
        assert!(matches!(error, FromRelay::Error(ErrorNotice { code: ErrorCode::Other, .. })));
    }
}
