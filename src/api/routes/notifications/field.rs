//! The fields of a notification in a request.

use super::fault::ItemFault;
use serde::Deserialize;
use std::borrow::Cow;

/// The value of a notification's `type`: clients of 0.5 always send it, and our responses have it.
pub const TYPE: &str = "notification";

macro_rules! fields {
    ($($variant:ident = $name:literal,)*) => {
        /// A known field.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field { $($variant,)* }

        impl Field {
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant,)*];

            pub fn named(name: &str) -> Result<Self, ItemFault> {
                Ok(match name {
                    $($name => Self::$variant,)*
                    _ => return Err(ItemFault::Unknown(name.chars().take(64).collect())),
                })
            }

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

fields! {
    Type = "type",
    Token = "token",
    Tokens = "tokens",
    Payload = "payload",
    Identifier = "identifier",
    Expiry = "expiry",
    Priority = "priority",
    PushType = "push_type",
    CollapseId = "collapse_id",
    Topic = "topic",
}

/// A key of the object, borrowed unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct FieldName<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl Field {
    /// The description of a valid value.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Type => "`notification`, or left out",
            Self::Token => "a string: the device token in hex",
            Self::Tokens => "a list of strings: the device tokens in hex",
            Self::Payload => "a JSON object",
            Self::Identifier => "a string or an integer",
            Self::Expiry => "an integer, 0 or more: UNIX seconds, or 0 to try once without storing",
            Self::Priority => "an integer: 10, 5 or 1",
            Self::PushType | Self::CollapseId | Self::Topic => "a string",
        }
    }

    /// The `reason` if the field is missing.
    pub fn missing_reason(self) -> &'static str {
        match self {
            Self::Token => "token_missing",
            Self::Payload => "payload_missing",
            _ => "field_missing",
        }
    }
}
