//! The faults of a body of notifications, in sentences that name the position.

use super::field::Field;
use crate::json::Malformed;
use crate::model::Invalid;
use crate::model::device_token::BadToken;
use std::fmt;

/// The reason that no notification of a request was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotificationsFault {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("{}", .0.of_line())]
    MalformedLine(Malformed),
    #[error("the line has more than {limit} bytes, and a notification with a valid payload has fewer")]
    LineTooLong { limit: usize },
    #[error("the body is neither a notification object nor a list of them")]
    NotNotifications,
    #[error("the request has more than {limit} notifications: send several requests")]
    TooManyItems { limit: usize },
    #[error("{}{why}{}", ItemPrefix(*index), MoreFaulty { faulty, what: "items" })]
    Item {
        /// The index in the list, from 0; `None` for a single object.
        index: Option<usize>,
        why: ItemFault,
        /// All invalid items of the list; `why` is about the first.
        faulty: FaultyIndexes,
    },
}

/// The maximum number of indexes in a response.
const INDEXES_MAX: usize = 100;

/// Indexes of the faulty items or tokens of a list, from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultyIndexes(Box<[usize]>);

impl FaultyIndexes {
    /// The first `INDEXES_MAX` indexes, if there are several.
    pub fn several(&self) -> Option<&[usize]> {
        (self.0.len() > 1).then(|| &self.0[..self.0.len().min(INDEXES_MAX)])
    }
}

impl From<Vec<usize>> for FaultyIndexes {
    fn from(indexes: Vec<usize>) -> Self {
        Self(indexes.into())
    }
}

/// The reason that a JSON value is not a device token. Its sentence continues after the name of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("must be a string: the device token in hex")]
    NotText,
    #[error(transparent)]
    Bad(#[from] BadToken),
}

/// The reason that an item is not a notification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemFault {
    #[error("a notification must be a JSON object")]
    NotAnObject,
    #[error("`{}` is missing", .0.name())]
    Missing(Field),
    #[error("`{}` appears twice", .0.name())]
    Repeated(Field),
    #[error("`{}` must be {}", .0.name(), .0.expected())]
    WrongType(Field),
    #[error("`{}` is not a field of a notification: known are {}", .0, Field::ALL.map(Field::name).join(", "))]
    Unknown(String),
    #[error("`token` and `tokens` are both given: give only one")]
    TokenAndTokens,
    #[error("a line of a stream is one notification: give it one `token`")]
    TokensInLine,
    #[error("`tokens` is empty: give at least one device token")]
    NoTokens,
    #[error("`tokens[{index}]` {why}{}", MoreFaulty { faulty, what: "tokens" })]
    BadTokens {
        /// The index of the first bad token, from 0.
        index: usize,
        why: TokenFault,
        /// The indexes of all bad tokens.
        faulty: FaultyIndexes,
    },
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl ItemFault {
    /// The field at fault, if there is one.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Missing(field) | Self::Repeated(field) | Self::WrongType(field) => Some(field.name()),
            Self::Unknown(name) => Some(name),
            Self::TokenAndTokens | Self::TokensInLine | Self::NoTokens | Self::BadTokens { .. } => Some("tokens"),
            Self::Invalid(invalid) => Some(invalid.field()),
            Self::NotAnObject => None,
        }
    }

    /// The limit that was exceeded.
    pub fn limit(&self) -> Option<usize> {
        match self {
            Self::BadTokens { index, why: TokenFault::Bad(bad), .. } => {
                Invalid::TokenOfMany { index: *index, bad: *bad }.limit()
            }
            Self::Invalid(invalid) => invalid.limit(),
            _ => None,
        }
    }

    /// The fields that a notification may have, if it has another one.
    pub fn known(&self) -> Option<Vec<&'static str>> {
        matches!(self, Self::Unknown(_)).then(|| Field::ALL.map(Field::name).into())
    }

    /// The index of the first bad one of `tokens`, from 0.
    pub fn token_index(&self) -> Option<usize> {
        match self {
            Self::BadTokens { index, .. } | Self::Invalid(Invalid::TokenOfMany { index, .. }) => Some(*index),
            _ => None,
        }
    }

    /// The indexes of all bad ones of `tokens`, if there are several.
    pub fn token_indexes(&self) -> Option<&[usize]> {
        match self {
            Self::BadTokens { faulty, .. } => faulty.several(),
            _ => None,
        }
    }

    /// The fault's `reason` in a response.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::Missing(field) => field.missing_reason(),
            Self::Repeated(_) => "repeated_field",
            Self::WrongType(_) | Self::BadTokens { why: TokenFault::NotText, .. } => "wrong_type",
            Self::BadTokens { why: TokenFault::Bad(bad), .. } => bad.reason(),
            Self::Unknown(_) => "unknown_field",
            Self::TokenAndTokens => "token_and_tokens",
            Self::TokensInLine => "tokens_in_line",
            Self::NoTokens => "tokens_empty",
            Self::Invalid(invalid) => invalid.reason(),
        }
    }
}

/// Displays "item 3: ", or nothing.
pub struct ItemPrefix(pub Option<usize>);

impl fmt::Display for ItemPrefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |index| write!(out, "item {index}: "))
    }
}

/// Displays "; 2 more of the items are bad, …", or nothing.
pub struct MoreFaulty<'f> {
    pub faulty: &'f FaultyIndexes,
    pub what: &'static str,
}

impl fmt::Display for MoreFaulty<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(listed) = self.faulty.several() else { return Ok(()) };
        let (all, what) = (self.faulty.0.len(), self.what);
        let listed = if listed.len() < all { "the first 100" } else { "all of them" };
        write!(out, "; {} more of the {what} are bad, and `args.indexes` lists {listed}", all - 1)
    }
}
