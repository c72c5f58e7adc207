//! Reads the fields of a frame's body one after the other.

use super::{Kind, WireError};
use crate::model::{AppId, AppKey, Environment};
use std::str;

/// The rest of a body.
pub struct Scanner<'a> {
    kind: Kind,
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    pub fn new(kind: Kind, body: &'a [u8]) -> Self {
        Self { kind, rest: body }
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(WireError::CutShort(self.kind))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(WireError::CutShort(self.kind))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8, WireError> {
        self.array().map(u8::from_le_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, WireError> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn u128(&mut self) -> Result<u128, WireError> {
        self.array().map(u128::from_le_bytes)
    }

    /// The number of entries that follow, each of at least `bytes_min` bytes: never more than there can be.
    pub fn count(&mut self, bytes_min: usize) -> Result<usize, WireError> {
        let count = self.u32()? as usize;
        if count > self.rest.len() / bytes_min { Err(WireError::CutShort(self.kind)) } else { Ok(count) }
    }

    /// A text with a byte for its length before it.
    pub fn short_text(&mut self) -> Result<&'a str, WireError> {
        let length = self.u8()?;
        str::from_utf8(self.bytes(usize::from(length))?).map_err(|_| self.bad("text"))
    }

    pub fn app(&mut self) -> Result<AppKey, WireError> {
        let environment = match self.u8()? {
            0 => Environment::Sandbox,
            1 => Environment::Production,
            _ => return Err(self.bad("environment")),
        };
        let id = AppId::stored(self.short_text()?).map_err(|_| self.bad("app id"))?;
        Ok(AppKey::new(id, environment))
    }

    pub fn bad(&self, what: &'static str) -> WireError {
        WireError::BadField { kind: self.kind, what }
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Refuses what is left.
    pub fn finish(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::TooMuch(self.kind)) }
    }
}

/// Appends a text of at most 255 bytes behind a byte for its length.
pub fn put_short_text(out: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).expect("names and ids have at most 255 bytes");
    out.push(length);
    out.extend_from_slice(text.as_bytes());
}

/// Appends an app: its environment and its id.
pub fn put_app(out: &mut Vec<u8>, key: &AppKey) {
    out.push(match key.environment {
        Environment::Sandbox => 0,
        Environment::Production => 1,
    });
    put_short_text(out, key.id.as_str());
}
