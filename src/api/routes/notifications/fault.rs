//! Why a body is no list of notifications, in sentences that say where.

use super::field::Field;
use crate::json::Malformed;
use crate::model::Invalid;
use std::fmt;

/// Why nothing of a request was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("{}", .0.of_line())]
    MalformedLine(Malformed),
    #[error("the line has more than {limit} bytes, and a notification with a payload that Apple takes has fewer")]
    LineTooLong { limit: usize },
    #[error("the body is neither a notification object nor a list of them")]
    NotNotifications,
    #[error("the request has more than {limit} notifications: send several requests")]
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
        "`{0}` is not a field of a notification: known are token, tokens, payload, identifier, expiry, priority, push_type, collapse_id, topic"
    )]
    Unknown(String),
    #[error("`token` and `tokens` stand there together: give one of them")]
    TokenAndTokens,
    #[error("a line of a stream is one notification: give it one `token`")]
    TokensInLine,
    #[error("`tokens` is empty: give at least one device token")]
    NoTokens,
    #[error("`tokens[{index}]` has to be a string: the device token in hex")]
    TokenNotText { index: usize },
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl ItemFault {
    /// The field to blame, where it is one.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Missing(field) | Self::Repeated(field) | Self::WrongType(field) => Some(field.name()),
            Self::Unknown(name) => Some(name),
            Self::TokenAndTokens | Self::TokensInLine | Self::NoTokens | Self::TokenNotText { .. } => Some("tokens"),
            Self::Invalid(invalid) => Some(invalid.field()),
            Self::NotAnObject => None,
        }
    }

    /// The most that there may be of it.
    pub fn limit(&self) -> Option<usize> {
        match self {
            Self::Invalid(invalid) => invalid.limit(),
            _ => None,
        }
    }

    /// Which of the `tokens` to blame, from 0.
    pub fn token_index(&self) -> Option<usize> {
        match self {
            Self::TokenNotText { index } | Self::Invalid(Invalid::TokenOfMany { index, .. }) => Some(*index),
            _ => None,
        }
    }

    /// The stable word for it in an answer.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::Missing(field) => field.missing_reason(),
            Self::Repeated(_) => "repeated_field",
            Self::WrongType(_) | Self::TokenNotText { .. } => "wrong_type",
            Self::Unknown(_) => "unknown_field",
            Self::TokenAndTokens => "token_and_tokens",
            Self::TokensInLine => "tokens_in_line",
            Self::NoTokens => "tokens_empty",
            Self::Invalid(invalid) => invalid.reason(),
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
