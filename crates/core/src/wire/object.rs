//! The JSON of a control frame: one object, with each key once.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::{Map, Value};

/// Why bytes are not the JSON of a control frame.
#[derive(Debug, thiserror::Error)]
pub enum BadObject {
    /// No JSON, another value than an object, a text that is not Unicode, or more nested than anybody needs.
    #[error("not a JSON object: {0}")]
    NotAnObject(#[from] serde_json::Error),
    /// Two programs might each believe another of the values.
    #[error("a JSON object with a key that is there twice")]
    KeyTwice,
}

/// Reads the JSON of a control frame.
///
/// # Errors
/// [`BadObject`].
pub(super) fn parse_object(json: &[u8]) -> Result<Map<String, Value>, BadObject> {
    let Object { fields, is_unique } = serde_json::from_slice(json)?;
    if is_unique { Ok(fields) } else { Err(BadObject::KeyTwice) }
}

/// Reads the JSON of a control frame as a message with known fields; others are ignored.
///
/// # Errors
/// [`BadObject`]; also where a field is missing or has another kind of value.
pub fn parse_message<T: DeserializeOwned>(json: &[u8]) -> Result<T, BadObject> {
    Ok(serde_json::from_value(Value::Object(parse_object(json)?))?)
}

struct Object {
    fields: Map<String, Value>,
    is_unique: bool,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut object = Object { fields: Map::new(), is_unique: true };
        while let Some((key, value)) = map.next_entry()? {
            object.is_unique &= object.fields.insert(key, value).is_none();
        }
        Ok(object)
    }
}
