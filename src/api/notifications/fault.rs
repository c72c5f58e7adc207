//! Why a body is no list of notifications, in sentences that say where.

use super::field::Field;
use crate::api::json::Malformed;
use crate::model::Invalid;
use std::fmt;

/// Why nothing of a request was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the body is neither a notification object nor a list of them")]
    NotNotifications,
    #[error("the list has more than {limit} notifications: send several requests")]
    TooManyItems { limit: usize },
    #[error("{}{why}", Place(*index))]
    Item {
        /// Where it stands in the list, from 0; `None` for a single object.
        index: Option<usize>,
        why: ItemFault,
    },
}

/// Why one item is no notification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemFault {
    #[error("a notification is a JSON object")]
    NotAnObject,
    #[error("`{}` is missing", .0.name())]
    Missing(Field),
    #[error("`{}` stands there twice", .0.name())]
    Repeated(Field),
    #[error("`{}` has to be {}", .0.name(), .0.expected())]
    WrongType(Field),
    #[error(
        "`{0}` is not a field of a notification: known are token, payload, identifier, expiry, priority, push_type, collapse_id, topic"
    )]
    Unknown(String),
    #[error("`tokens` is not built yet: send one object with `token` for each device")]
    TokensUnbuilt,
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl ItemFault {
    /// The field to blame, where it is one and not its content.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Missing(field) | Self::Repeated(field) | Self::WrongType(field) => Some(field.name()),
            Self::Unknown(name) => Some(name),
            Self::TokensUnbuilt => Some("tokens"),
            Self::NotAnObject | Self::Invalid(_) => None,
        }
    }
}

/// "item 3: ", or nothing.
struct Place(Option<usize>);

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |index| write!(out, "item {index}: "))
    }
}
