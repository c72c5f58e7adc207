//! The answers of the scripts.

use crate::store::{Epoch, StoreError};
use redis::{FromRedisValue, Value};

/// Reads an answer.
pub(super) fn read<T: FromRedisValue>(value: Value) -> Result<T, StoreError> {
    // The crate's own sentence holds the answer, and with it what is stored.
    redis::from_redis_value(value).map_err(|_| odd("an answer in another form"))
}

/// The error for an answer, or something stored, that no pyapns wrote.
pub(super) fn odd(what: &str) -> StoreError {
    let what = format!("something else than pyapns wrote below its prefix ({what}); choose another store.prefix");
    StoreError::RedisRefused { what }
}

/// Reads a whole number.
pub(super) fn number(text: &str) -> Result<i64, StoreError> {
    text.parse().map_err(|_| odd("a number"))
}

/// Reads the epoch of a store; `0` if nothing has been written yet.
pub(super) fn epoch(text: &str) -> Result<Epoch, StoreError> {
    number(text).map(Epoch::stored)
}
