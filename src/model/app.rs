//! The key of an app: an id chosen by the operator, and one of Apple's two environments.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The maximum length of an app id, in bytes.
pub const APP_ID_BYTES_MAX: usize = 128;

/// The name that callers give an app: 1 to 128 of `A-Z a-z 0-9 . _ : -`, a letter or digit first. It is often the
/// bundle id, but need not be.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppId(Arc<str>);

/// The reason that a text is not an app id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an app id must be 1 to {APP_ID_BYTES_MAX} characters of A-Z a-z 0-9 . _ : - and begin with a letter or digit")]
pub struct BadAppId;

impl AppId {
    /// Clients and proxies remove `.` and `..` from a path, so that an app with such an id could not be reached.
    pub fn new(text: &str) -> Result<Self, BadAppId> {
        let begins_well = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if begins_well { Self::stored(text) } else { Err(BadAppId) }
    }

    /// The id of a stored app: an earlier version accepted any of the characters as the first.
    pub fn stored(text: &str) -> Result<Self, BadAppId> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if text.is_empty() || text.len() > APP_ID_BYTES_MAX || !text.bytes().all(legal) {
            return Err(BadAppId);
        }
        Ok(Self(text.into()))
    }

    /// Returns `true` if the id can be a bundle id: parts of letters, digits and hyphens, separated by dots.
    pub fn is_bundle_id(&self) -> bool {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        self.0.contains('.') && self.0.split('.').all(|part| !part.is_empty() && part.bytes().all(legal))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppId {
    type Err = BadAppId;

    fn from_str(text: &str) -> Result<Self, BadAppId> {
        Self::new(text)
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for AppId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}

/// Apple's two separate environments: tokens, and most credentials, belong to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Environment {
    Sandbox,
    Production,
}

impl Environment {
    pub const ALL: [Self; 2] = [Self::Sandbox, Self::Production];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Production => "production",
        }
    }

    /// The environment of that name, `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|environment| environment.as_str() == text)
    }
}

impl FromStr for Environment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or("must be `sandbox` or `production`")
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The **app** of the API: an (app id, environment) pair.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppKey {
    pub id: AppId,
    pub environment: Environment,
}

impl AppKey {
    pub fn new(id: AppId, environment: Environment) -> Self {
        Self { id, environment }
    }
}

impl fmt::Display for AppKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.id, self.environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_id_is_distinguished_from_other_ids() {
        for (id, is_one) in [
            ("com.example.app-2", true),
            ("a.b", true),
            ("p1", false),
            ("a..b", false),
            ("a.b.", false),
            ("a.b_c", false),
        ] {
            assert_eq!(AppId::new(id).expect(id).is_bundle_id(), is_one, "{id}");
        }
    }

    #[test]
    fn an_app_id_begins_with_a_letter_or_digit_unless_it_is_stored_already() {
        for good in ["a", "7", "com.example.app", "Shop_2:blue-green"] {
            assert_eq!(AppId::new(good).expect(good).as_str(), good);
        }
        for old in [".", "..", ".shop", "_shop", "-shop", ":"] {
            assert_eq!(AppId::new(old), Err(BadAppId), "{old}");
            assert_eq!(AppId::stored(old).expect(old).as_str(), old);
        }
        for bad in ["", "no app", "a/b", "ä", &"x".repeat(APP_ID_BYTES_MAX + 1)] {
            assert_eq!((AppId::new(bad), AppId::stored(bad)), (Err(BadAppId), Err(BadAppId)), "{bad}");
        }
    }
}
