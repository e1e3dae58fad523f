//! Control frames of version 2: `|{length}|{JSON}`. The types here are the JSON.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{BadObject, TextName, header::encode_header, object::parse_object};

/// The version a hello names.
pub const PROTOCOL_VERSION: u32 = 2;

/// The longest JSON of a control frame, in bytes. The largest that exists is a few hundred.
pub const CONTROL_BYTES_MAX: u64 = 16 * 1024;

/// The answer to a hello that registered a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The protocol version the session speaks.
    pub hello: u32,
    /// The name that was registered.
    pub registered: TextName,
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
    pub exposed: TextName,
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
    pub opened: TextName,
}

/// The answer to a hello that asked whether a stream could be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Openable {
    /// The protocol version that was spoken.
    pub hello: u32,
    /// The name of the service.
    pub openable: TextName,
}

/// Who a stream comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamNotice {
    /// The visitor's address, as the relay sees it.
    pub from: SocketAddr,
    /// The relay's address that the visitor connected to.
    pub to: SocketAddr,
}

/// Why a control frame after the hello cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadControl {
    /// More than [`CONTROL_BYTES_MAX`].
    #[error("a control frame of more than {CONTROL_BYTES_MAX} bytes")]
    TooLong,
    /// See [`BadObject::NotAnObject`].
    #[error("a control frame that is not a JSON object")]
    NotAnObject,
    /// See [`BadObject::KeyTwice`].
    #[error("a control frame with a key that is there twice")]
    KeyTwice,
    /// More than one verb that is known.
    #[error("a control frame with more than one verb")]
    ManyVerbs,
    /// A verb that is known, with another kind of value than it has.
    #[error("a control frame whose verb has a value that it cannot have")]
    BadValue,
    /// A message where there are only control frames.
    #[error("a message on a control session")]
    Message,
}

impl From<BadObject> for BadControl {
    fn from(error: BadObject) -> Self {
        match error {
            BadObject::NotAnObject(_) => Self::NotAnObject,
            BadObject::KeyTwice => Self::KeyTwice,
        }
    }
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
    const VERBS: [&str; 2] = ["ping", "unpark"];

    /// Reads the JSON; `None` without a verb that this program knows.
    ///
    /// # Errors
    /// [`BadControl`].
    pub fn parse(json: &[u8]) -> Result<Option<Self>, BadControl> {
        parse_verb(json, &Self::VERBS)
    }
}

impl FromRelay {
    const VERBS: [&str; 6] = ["pong", "undeliverable", "error", "closing", "wanted", "stream"];

    /// Reads the JSON; `None` without a verb that this program knows.
    ///
    /// # Errors
    /// [`BadControl`].
    pub fn parse(json: &[u8]) -> Result<Option<Self>, BadControl> {
        parse_verb(json, &Self::VERBS)
    }
}

/// Old and new programs mix: a verb that is not known is no error of the grammar, and neither is a field beside one that is.
fn parse_verb<T: DeserializeOwned>(json: &[u8], verbs: &[&str]) -> Result<Option<T>, BadControl> {
    let fields = parse_object(json)?;
    let mut known = fields.into_iter().filter(|(field, _)| verbs.contains(&field.as_str()));
    let Some(verb) = known.next() else { return Ok(None) };
    if known.next().is_some() {
        return Err(BadControl::ManyVerbs);
    }
    let alone = Value::Object(Map::from_iter([verb]));
    serde_json::from_value(alone).map(Some).map_err(|_| BadControl::BadValue)
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
        let notice = FromRelay::Undeliverable(Undeliverable::new(b"\xff\x00", 3));
        assert_eq!(encoded(&notice), r#"|47|{"undeliverable":{"dest_hex":"ff00","count":3}}"#);
    }

    #[test]
    fn unknown_verbs_and_fields_are_no_errors() {
        for json in [r#"{"ping":7}"#, r#"{"ping":7,"x":2}"#, r#"{"x":null,"ping":7,"hello":2}"#] {
            assert_eq!(FromClient::parse(json.as_bytes()), Ok(Some(FromClient::Ping(7))), "{json}");
        }
        for json in
            [r#"{"dance":{"x":[1]}}"#, r#"{"dance":1,"sing":2}"#, "{}", r#"{"hello":2,"register":"a"}"#]
        {
            assert_eq!(FromClient::parse(json.as_bytes()), Ok(None), "{json}");
        }
        let error = FromRelay::parse(br#"{"error":{"code":"brand_new","message":"m","x":1},"y":1}"#);
        assert!(matches!(error, Ok(Some(FromRelay::Error(ErrorNotice { code: ErrorCode::Other, .. })))));
    }

    #[test]
    fn what_is_no_object_or_no_single_verb_is_an_error() {
        for json in ["", "{", "[]", "[7]", r#"["ping",7]"#, r#"{"ping":7}x"#, r#""ping""#, "null"] {
            assert_eq!(FromClient::parse(json.as_bytes()), Err(BadControl::NotAnObject), "{json}");
        }
        for json in [r#"{"ping":7,"ping":7}"#, r#"{"ping":7,"x":1,"x":1}"#, r#"{"x":1,"\u0078":1}"#] {
            assert_eq!(FromClient::parse(json.as_bytes()), Err(BadControl::KeyTwice), "{json}");
        }
        assert_eq!(FromClient::parse(br#"{"ping":7,"unpark":1}"#), Err(BadControl::ManyVerbs));
        assert_eq!(FromRelay::parse(br#"{"pong":7,"wanted":1}"#), Err(BadControl::ManyVerbs));
    }

    #[test]
    fn a_verb_with_a_value_that_it_cannot_have_is_an_error() {
        let large = "18446744073709551616";
        for value in ["-1", "1.0", "null", r#""7""#, "[7]", "{}", large] {
            let json = format!(r#"{{"ping":{value}}}"#);
            assert_eq!(FromClient::parse(json.as_bytes()), Err(BadControl::BadValue), "{json}");
        }
        let most = format!(r#"{{"ping":{}}}"#, u64::MAX);
        assert_eq!(FromClient::parse(most.as_bytes()), Ok(Some(FromClient::Ping(u64::MAX))));
        assert_eq!(FromClient::parse(br#"{"unpark":4294967296}"#), Err(BadControl::BadValue));
        assert_eq!(FromClient::parse(br#"{"unpark":4294967295}"#), Ok(Some(FromClient::Unpark(u32::MAX))));
    }

    #[test]
    fn every_verb_is_known_to_its_reader() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let error = ErrorNotice { code: ErrorCode::Timeout, message: "m".to_owned() };
        for message in [
            FromRelay::Pong(1),
            FromRelay::Undeliverable(Undeliverable::new(b"a", 1)),
            FromRelay::Error(error),
            FromRelay::Closing(Closing { reason: "r".to_owned(), retry_ms: 1 }),
            FromRelay::Wanted(1),
            FromRelay::Stream(StreamNotice { from: address, to: address }),
        ] {
            let json = serde_json::to_vec(&message).unwrap();
            assert_eq!(FromRelay::parse(&json), Ok(Some(message)));
        }
    }
}
