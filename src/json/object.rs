//! Reads a caller's JSON object: every field must be known, appear once, and have the right type.

use super::{Malformed, number};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

/// The reason that a body is not the expected object. It repeats no values, since they may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectFault {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the body must be a JSON object")]
    NotAnObject,
    #[error("`{name}` appears twice")]
    Repeated { name: String },
    #[error("`{name}` is not a known field: the fields are {}", known.join(", "))]
    Unknown { name: String, known: Vec<&'static str> },
    #[error("`{name}` must be {expected}")]
    WrongType { name: &'static str, expected: &'static str },
}

impl ObjectFault {
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Malformed(_) | Self::NotAnObject => None,
            Self::Repeated { name } | Self::Unknown { name, .. } => Some(name),
            Self::WrongType { name, .. } => Some(name),
        }
    }

    /// The fields that the object may have, if it has another one.
    pub fn known(&self) -> Option<&[&'static str]> {
        match self {
            Self::Unknown { known, .. } => Some(known),
            _ => None,
        }
    }
}

/// The fields that have not been taken yet. For rare requests, since it searches names linearly.
pub struct Object<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    known: Vec<&'static str>,
}

impl<'a> Object<'a> {
    pub fn read(text: &'a str) -> Result<Self, ObjectFault> {
        let Fields(fields) = serde_json::from_str(text).map_err(|error| match error.classify() {
            Category::Data => ObjectFault::NotAnObject,
            _ => Malformed::new(text, &error).into(),
        })?;
        if let Some(name) = first_repeated(fields.iter().map(|(name, _)| name)) {
            return Err(ObjectFault::Repeated { name: name.to_string() });
        }
        Ok(Self { fields, known: Vec::new() })
    }

    /// The field's value; `null` is its absence.
    pub fn take<T: Deserialize<'a>>(
        &mut self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, ObjectFault> {
        self.known.push(name);
        let Some(at) = self.fields.iter().position(|(field, _)| field == name) else { return Ok(None) };
        let (_, json) = self.fields.swap_remove(at);
        serde_json::from_str(json.get()).map_err(|_| ObjectFault::WrongType { name, expected })
    }

    /// Takes an integer of 0 or more, in any notation.
    pub fn take_integer<T: TryFrom<u64>>(
        &mut self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, ObjectFault> {
        let Some(json) = self.take::<&RawValue>(name, expected)? else { return Ok(None) };
        let integer = number::unsigned(json.get()).and_then(|integer| T::try_from(integer).ok());
        integer.map(Some).ok_or(ObjectFault::WrongType { name, expected })
    }

    /// Takes the object's `type`, which our responses have and callers may send back: `kind`, or nothing.
    pub fn take_type(&mut self, kind: &str, expected: &'static str) -> Result<(), ObjectFault> {
        match self.take::<Cow<'_, str>>("type", expected)? {
            Some(said) if said != kind => Err(ObjectFault::WrongType { name: "type", expected }),
            _ => Ok(()),
        }
    }

    /// Fails if a field was not taken: it is unknown.
    pub fn finish(self) -> Result<(), ObjectFault> {
        match self.fields.first() {
            None => Ok(()),
            Some((name, _)) => Err(ObjectFault::Unknown { name: name.chars().take(64).collect(), known: self.known }),
        }
    }
}

/// The first name that was there before. A hostile body has many names: they are not compared with each other.
fn first_repeated<T: Eq + Hash>(names: impl IntoIterator<Item = T>) -> Option<T> {
    let mut seen = HashSet::new();
    names.into_iter().find_map(|name| seen.replace(name))
}

struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A name, borrowed unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }

        json.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_taken_by_name_and_null_counts_as_absent() {
        let mut object = Object::read(r#"{"a":"x","\u0062":7,"c":null}"#).unwrap();
        assert_eq!(object.take::<String>("a", "a string"), Ok(Some("x".to_owned())));
        assert_eq!(object.take::<u32>("b", "a number"), Ok(Some(7)));
        assert_eq!(object.take::<u32>("c", "a number"), Ok(None));
        assert_eq!(object.take::<u32>("d", "a number"), Ok(None));
        assert_eq!(object.finish(), Ok(()));
    }

    #[test]
    fn an_integer_is_accepted_in_every_notation() {
        let take = |json: &str| {
            let text = format!(r#"{{"a":{json}}}"#);
            Object::read(&text).unwrap().take_integer::<u16>("a", "an integer")
        };
        for (json, value) in
            [("15", Some(15)), ("15.0", Some(15)), ("1.5e1", Some(15)), ("-0.0", Some(0)), ("null", None)]
        {
            assert_eq!(take(json), Ok(value), "{json}");
        }
        for json in ["1.5", "-1", "65536", "1e99", "\"15\"", "true", "[15]"] {
            assert_eq!(take(json), Err(ObjectFault::WrongType { name: "a", expected: "an integer" }), "{json}");
        }
    }

    #[test]
    fn an_object_may_have_its_type_and_no_other() {
        let take = |text: &str| {
            let mut object = Object::read(text).unwrap();
            object.take_type("app", "`app`, or left out").and_then(|()| object.finish())
        };
        for text in ["{}", r#"{"type":"app"}"#, r#"{"type":"\u0061pp"}"#, r#"{"type":null}"#] {
            assert_eq!(take(text), Ok(()), "{text}");
        }
        for text in [r#"{"type":"feedback"}"#, r#"{"type":7}"#, r#"{"type":""}"#] {
            assert_eq!(
                take(text).map_err(|fault| fault.to_string()),
                Err("`type` must be `app`, or left out".to_owned())
            );
        }
    }

    #[test]
    fn many_names_are_not_compared_with_each_other() {
        use std::cell::Cell;
        use std::hash::Hasher;

        struct Counted<'a>(u32, &'a Cell<usize>);
        impl PartialEq for Counted<'_> {
            fn eq(&self, other: &Self) -> bool {
                self.1.set(self.1.get() + 1);
                self.0 == other.0
            }
        }
        impl Eq for Counted<'_> {}
        impl Hash for Counted<'_> {
            fn hash<H: Hasher>(&self, hasher: &mut H) {
                self.0.hash(hasher);
            }
        }
        const NAMES: u32 = 4_000;
        let compared = Cell::new(0);
        let names = (0..NAMES).chain([7]).map(|name| Counted(name, &compared));
        assert_eq!(first_repeated(names).map(|name| name.0), Some(7));
        assert!(compared.get() < NAMES as usize, "{}", compared.get());
    }

    #[test]
    fn faults_name_the_field() {
        let told = |text: &str| {
            let read = Object::read(text).and_then(|mut object| {
                object.take::<u32>("a", "a number")?;
                object.finish()
            });
            read.expect_err("a bad object").to_string()
        };
        assert_eq!(told("[]"), "the body must be a JSON object");
        assert_eq!(told(r#"{"a":1,"a":2}"#), "`a` appears twice");
        assert_eq!(told(r#"{"a":1,"b":2}"#), "`b` is not a known field: the fields are a");
        assert_eq!(told(r#"{"a":"secret"}"#), "`a` must be a number");
        assert_eq!(told(r#"{"a":1"#), "the body ends in the middle of its JSON, at line 1, column 7");
    }
}
