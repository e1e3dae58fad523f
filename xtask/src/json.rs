//! Structs as JSON, without derive macros: those take longer to compile than all that they would write here.

use anyhow::{Context, Result};
use serde_json::Value;

/// What can be kept as JSON.
pub(crate) trait Json: Sized {
    fn to_json(&self) -> Value;

    /// # Errors
    /// The value is another one's.
    fn of_json(value: &Value) -> Result<Self>;
}

impl Json for String {
    fn to_json(&self) -> Value {
        Value::from(self.as_str())
    }

    fn of_json(value: &Value) -> Result<Self> {
        Ok(value.as_str().context("it is no text")?.to_owned())
    }
}

impl Json for u64 {
    fn to_json(&self) -> Value {
        Value::from(*self)
    }

    fn of_json(value: &Value) -> Result<Self> {
        value.as_u64().context("it is no number")
    }
}

impl Json for bool {
    fn to_json(&self) -> Value {
        Value::from(*self)
    }

    fn of_json(value: &Value) -> Result<Self> {
        value.as_bool().context("it is neither true nor false")
    }
}

impl<T: Json> Json for Vec<T> {
    fn to_json(&self) -> Value {
        self.iter().map(Json::to_json).collect()
    }

    fn of_json(value: &Value) -> Result<Self> {
        value.as_array().context("it is no list")?.iter().map(T::of_json).collect()
    }
}

impl<T: Json> Json for Option<T> {
    fn to_json(&self) -> Value {
        self.as_ref().map_or(Value::Null, Json::to_json)
    }

    fn of_json(value: &Value) -> Result<Self> {
        if value.is_null() { Ok(None) } else { T::of_json(value).map(Some) }
    }
}

/// The member `name` of an object. One that is not there counts as null.
///
/// # Errors
/// It is of another type.
pub(crate) fn member<T: Json>(object: &Value, name: &str) -> Result<T> {
    T::of_json(&object[name]).with_context(|| format!("{name:?} is not what it should be"))
}

/// The object without those members that are null or empty lists, of these names.
pub(crate) fn without_empty(mut object: Value, names: &[&str]) -> Value {
    if let Some(members) = object.as_object_mut() {
        let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        members.retain(|name, value| !(names.contains(&name.as_str()) && is_empty(value)));
    }
    object
}

/// Implements [`Json`] for a struct: every field is a member of the object.
macro_rules! json_object {
    ($type:ident { $($field:ident),+ $(,)? }) => {
        impl $crate::json::Json for $type {
            fn to_json(&self) -> serde_json::Value {
                serde_json::json!({ $(stringify!($field): $crate::json::Json::to_json(&self.$field)),+ })
            }

            fn of_json(value: &serde_json::Value) -> anyhow::Result<Self> {
                Ok(Self { $($field: $crate::json::member(value, stringify!($field))?),+ })
            }
        }
    };
}

pub(crate) use json_object;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Both {
        name: String,
        sizes: Vec<u64>,
        note: Option<String>,
    }

    json_object!(Both { name, sizes, note });

    #[test]
    fn what_is_written_is_read_again_and_what_is_missing_is_null() {
        let both = Both { name: "a".into(), sizes: vec![1, 2], note: None };
        assert_eq!(both.to_json(), json!({ "name": "a", "sizes": [1, 2], "note": null }));
        assert_eq!(Both::of_json(&both.to_json()).unwrap(), both);
        assert_eq!(Both::of_json(&json!({ "name": "a", "sizes": [1, 2] })).unwrap(), both);
        let error = Both::of_json(&json!({ "name": 1, "sizes": [] })).unwrap_err();
        assert_eq!(format!("{error:#}"), "\"name\" is not what it should be: it is no text");
    }

    #[test]
    fn members_that_say_nothing_can_be_left_out() {
        let object = json!({ "a": null, "b": [], "c": null, "d": [1] });
        assert_eq!(without_empty(object, &["a", "b", "d"]), json!({ "c": null, "d": [1] }));
    }
}
