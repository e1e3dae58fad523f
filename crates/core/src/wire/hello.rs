//! The first frame of a version 2 connection: what it asks for.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use super::{BadName, BadObject, ErrorCode, OwnerKey, PROTOCOL_VERSION, TextName, object::parse_object};

/// What a connection asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// A messaging session under this name.
    Register {
        /// To be reached under.
        name: TextName,
        /// Who keeps the name.
        ownership: Ownership,
    },
    /// A service under this name; the connection becomes its control session.
    Expose {
        /// To be reached under.
        name: TextName,
        /// The service is also to be reached on this port of the relay's machine; 0: on any that the relay gives away.
        port: Option<u16>,
        /// Who keeps the name.
        ownership: Ownership,
    },
    /// The connection waits for a stream to this service.
    Park {
        /// Of the service.
        name: TextName,
        /// From the answer to the hello that exposed the service.
        key: String,
    },
    /// A stream to this service.
    Open {
        /// Of the service.
        name: TextName,
    },
    /// Whether the connection could have a stream to this service. The service does not notice.
    Check {
        /// Of the service.
        name: TextName,
    },
}

/// Who keeps a name that two connections ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Shows whoever asks for the name again as its owner.
    pub owner: Option<OwnerKey>,
    /// Leave the name to its holder, also to one of the same owner.
    pub if_free: bool,
}

/// Why a hello is none.
#[derive(Debug, thiserror::Error)]
pub enum BadHello {
    /// Not a control frame at all.
    #[error("the hello is {0}")]
    Object(#[from] BadObject),
    /// No number of a version.
    #[error("the hello names no version of the protocol")]
    NoVersion,
    /// Another version.
    #[error("version {0} of the protocol; this relay speaks {PROTOCOL_VERSION}")]
    Version(u64),
    /// Nothing that is known.
    #[error("the hello asks for nothing this relay knows")]
    NoRequest,
    /// More than one thing.
    #[error("the hello asks for more than one thing")]
    ManyRequests,
    /// A field has another kind of value.
    #[error("`{0}` in the hello is not {1}")]
    Value(&'static str, &'static str),
    /// The name is none.
    #[error(transparent)]
    Name(#[from] BadName),
    /// The owner's key is none.
    #[error("the owner's key in the hello is not 64 hexadecimal digits in lower case")]
    Owner,
}

impl BadHello {
    /// What the client is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Object(_) => ErrorCode::BadFrame,
            Self::Name(_) => ErrorCode::BadName,
            _ => ErrorCode::BadHello,
        }
    }
}

/// The fields that say what is asked for.
const REQUESTS: [&str; 4] = ["register", "expose", "park", "open"];

impl Hello {
    /// Reads the JSON of a hello. Fields that the request does not have are ignored.
    ///
    /// # Errors
    /// [`BadHello`].
    pub fn parse(json: &[u8]) -> Result<Self, BadHello> {
        let fields = parse_object(json)?;
        let version = fields.get("hello").and_then(Value::as_u64).ok_or(BadHello::NoVersion)?;
        if version != u64::from(PROTOCOL_VERSION) {
            return Err(BadHello::Version(version));
        }
        let mut requests = REQUESTS.into_iter().filter_map(|request| Some((request, fields.get(request)?)));
        let (request, name) = requests.next().ok_or(BadHello::NoRequest)?;
        if requests.next().is_some() {
            return Err(BadHello::ManyRequests);
        }
        let name = name.as_str().ok_or(BadHello::Value(request, "a text"))?;
        let name = TextName::new(name)?;
        let ownership = || {
            let owner = fields.get("owner").map(|owner| {
                let key = owner.as_str().and_then(OwnerKey::from_hex);
                key.ok_or(BadHello::Owner)
            });
            let if_free = fields.get("if_free").map_or(Some(false), Value::as_bool);
            let if_free = if_free.ok_or(BadHello::Value("if_free", "true or false"))?;
            Ok::<_, BadHello>(Ownership { owner: owner.transpose()?, if_free })
        };
        Ok(match request {
            "register" => Self::Register { name, ownership: ownership()? },
            "expose" => {
                let port = fields.get("port").map(|port| {
                    let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
                    port.ok_or(BadHello::Value("port", "a number from 0 to 65535"))
                });
                Self::Expose { name, port: port.transpose()?, ownership: ownership()? }
            }
            "park" => {
                let key = fields.get("key").map_or(Some(""), Value::as_str);
                Self::Park { name, key: key.ok_or(BadHello::Value("key", "a text"))?.to_owned() }
            }
            _ => {
                let is_check = fields.get("check").map_or(Some(false), Value::as_bool);
                if is_check.ok_or(BadHello::Value("check", "true or false"))? {
                    Self::Check { name }
                } else {
                    Self::Open { name }
                }
            }
        })
    }
}

impl Serialize for Hello {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("hello", &PROTOCOL_VERSION)?;
        match self {
            Self::Register { name, ownership } => {
                map.serialize_entry("register", name)?;
                ownership.serialize_into(&mut map)?;
            }
            Self::Expose { name, port, ownership } => {
                map.serialize_entry("expose", name)?;
                if let Some(port) = port {
                    map.serialize_entry("port", port)?;
                }
                ownership.serialize_into(&mut map)?;
            }
            Self::Park { name, key } => {
                map.serialize_entry("park", name)?;
                map.serialize_entry("key", key)?;
            }
            Self::Open { name } => map.serialize_entry("open", name)?,
            Self::Check { name } => {
                map.serialize_entry("open", name)?;
                map.serialize_entry("check", &true)?;
            }
        }
        map.end()
    }
}

impl Ownership {
    fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        if let Some(owner) = &self.owner {
            map.serialize_entry("owner", &owner.to_hex())?;
        }
        if self.if_free {
            map.serialize_entry("if_free", &true)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(json: &str) -> Option<ErrorCode> {
        Hello::parse(json.as_bytes()).err().map(|error| error.code())
    }

    fn name(text: &str) -> TextName {
        TextName::new(text).unwrap()
    }

    #[test]
    fn each_request_has_the_documented_json() {
        let key = OwnerKey::from_hex(&"0a".repeat(32)).unwrap();
        let owned = Ownership { owner: Some(key), if_free: true };
        let hex = "0a".repeat(32);
        for (hello, json) in [
            (
                Hello::Register { name: name("device_a"), ownership: Ownership::default() },
                r#"{"hello":2,"register":"device_a"}"#.to_owned(),
            ),
            (
                Hello::Register { name: name("a"), ownership: owned.clone() },
                format!(r#"{{"hello":2,"register":"a","owner":"{hex}","if_free":true}}"#),
            ),
            (
                Hello::Expose { name: name("web"), port: Some(9000), ownership: owned },
                format!(r#"{{"hello":2,"expose":"web","port":9000,"owner":"{hex}","if_free":true}}"#),
            ),
            (
                Hello::Park { name: name("web"), key: "k".to_owned() },
                r#"{"hello":2,"park":"web","key":"k"}"#.to_owned(),
            ),
            (Hello::Open { name: name("web") }, r#"{"hello":2,"open":"web"}"#.to_owned()),
            (Hello::Check { name: name("web") }, r#"{"hello":2,"open":"web","check":true}"#.to_owned()),
        ] {
            assert_eq!(serde_json::to_string(&hello).unwrap(), json);
            assert_eq!(Hello::parse(json.as_bytes()).unwrap(), hello);
        }
    }

    #[test]
    fn exactly_one_request_is_accepted() {
        assert_eq!(code(r#"{"hello":2}"#), Some(ErrorCode::BadHello));
        assert_eq!(code(r#"{"hello":2,"dance":"a"}"#), Some(ErrorCode::BadHello));
        assert_eq!(code(r#"{"hello":2,"register":"a","open":"a"}"#), Some(ErrorCode::BadHello));
        assert_eq!(code(r#"{"hello":2,"register":"a","open":null}"#), Some(ErrorCode::BadHello));
        assert_eq!(code(r#"{"hello":2,"register":"a","dance":"a"}"#), None);
        // What another request has is a field this one does not have.
        assert_eq!(code(r#"{"hello":2,"register":"a","port":"x","key":7}"#), None);
        assert_eq!(code(r#"{"hello":2,"open":"a","owner":7,"if_free":7}"#), None);
    }

    #[test]
    fn a_hello_is_an_object_with_each_key_once() {
        for json in [
            "",
            "{",
            "[]",
            r#"[2,"arr"]"#,
            r#""hello""#,
            "null",
            r#"{"hello":2,"register":"a"}{"#,
            r#"{"hello":2,"register":"a","register":"b"}"#,
            r#"{"hello":2,"register":"a","x":1,"x":1}"#,
            r#"{"hello":2,"hello":2,"register":"a"}"#,
            // The same key, written in another way.
            r#"{"hello":2,"register":"a","\u0072egister":"b"}"#,
            // A lone surrogate is no text, in a name or anywhere else.
            r#"{"hello":2,"register":"\ud800"}"#,
            r#"{"hello":2,"register":"a","x":"\udc00"}"#,
            r#"{"hello":2,"register":"a","x":1e999}"#,
            "{\"hello\":2,\"register\":\"\u{1}\"}",
            "\u{feff}{\"hello\":2,\"register\":\"a\"}",
        ] {
            assert_eq!(code(json), Some(ErrorCode::BadFrame), "{json}");
        }
        assert_eq!(code(r#"{"hello":2,"register":"\ud83d\ude00"}"#), None);
        let nested =
            |depth| format!(r#"{{"hello":2,"register":"a","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(code(&nested(126)), None);
        assert_eq!(code(&nested(127)), Some(ErrorCode::BadFrame));
    }

    #[test]
    fn a_value_of_another_kind_is_a_bad_hello() {
        for json in [
            "{}",
            r#"{"register":"a"}"#,
            r#"{"hello":null,"register":"a"}"#,
            r#"{"hello":"2","register":"a"}"#,
            r#"{"hello":2.0,"register":"a"}"#,
            r#"{"hello":-2,"register":"a"}"#,
            r#"{"hello":1,"register":"a"}"#,
            r#"{"hello":3,"register":"a"}"#,
            r#"{"hello":18446744073709551615}"#,
            r#"{"hello":2,"register":null}"#,
            r#"{"hello":2,"register":["a"]}"#,
            r#"{"hello":2,"register":"a","owner":null}"#,
            r#"{"hello":2,"register":"a","owner":"00"}"#,
            r#"{"hello":2,"register":"a","if_free":null}"#,
            r#"{"hello":2,"register":"a","if_free":1}"#,
            r#"{"hello":2,"expose":"a","port":null}"#,
            r#"{"hello":2,"expose":"a","port":-1}"#,
            r#"{"hello":2,"expose":"a","port":65536}"#,
            r#"{"hello":2,"expose":"a","port":"80"}"#,
            r#"{"hello":2,"park":"a","key":null}"#,
        ] {
            assert_eq!(code(json), Some(ErrorCode::BadHello), "{json}");
        }
        let owner =
            |hex: &str| code(&format!(r#"{{"hello":2,"register":"a","owner":"{}"}}"#, hex.repeat(32)));
        assert_eq!((owner("0a"), owner("0A")), (None, Some(ErrorCode::BadHello)));
        for name in ["", "a|b", &"n".repeat(256)] {
            assert_eq!(
                code(&format!(r#"{{"hello":2,"open":"{name}"}}"#)),
                Some(ErrorCode::BadName),
                "{name}"
            );
        }
        assert_eq!(code(&format!(r#"{{"hello":2,"open":"{}"}}"#, "n".repeat(255))), None);
        assert_eq!(code(r#"{"hello":2,"expose":"a","port":65535}"#), None);
    }
}
