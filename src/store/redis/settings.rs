//! The settings of the connection to Redis, and the password that never prints.

use super::RedisUrl;
use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The place of the shared store, and the credentials to show there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `store.url`.
    pub url: RedisUrl,
    /// `store.username`: the ACL user. Without one Redis takes the password for its user `default`.
    pub username: Option<String>,
    /// The content of `store.password_file`.
    pub password: Option<Password>,
    /// `store.ca_file`: PEM. Where it is set, only its certificates are trusted; else the public roots are.
    pub ca_file: Option<PathBuf>,
    /// `store.certificate`: the client certificate with its chain, PEM.
    pub certificate: Option<PathBuf>,
    /// `store.key`: the private key of `certificate`, PEM.
    pub key: Option<PathBuf>,
    /// `store.prefix`: every key of this store begins with it.
    pub prefix: String,
}

impl Settings {
    /// Settings without credentials, certificates or a prefix of their own.
    pub fn new(url: RedisUrl) -> Self {
        let prefix = "pyapns:".to_owned();
        Self { url, username: None, password: None, ca_file: None, certificate: None, key: None, prefix }
    }
}

/// A password of Redis. It prints as `***`, and is wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// The text itself; the name makes every use easy to find.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}
