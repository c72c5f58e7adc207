//! API keys: `id.secret`, of which a node stores only the secret's SHA-256.

use crate::model::AppId;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use zeroize::Zeroizing;

/// The maximum length of a key's id.
const ID_BYTES_MAX: usize = 64;
/// The length of a generated secret, in bytes.
const SECRET_BYTES: usize = 32;

/// A permission of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Send,
    Feedback,
    AppsRead,
    AppsWrite,
    Metrics,
    /// Everything.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 6] =
        [Self::Send, Self::Feedback, Self::AppsRead, Self::AppsWrite, Self::Metrics, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Feedback => "feedback",
            Self::AppsRead => "apps:read",
            Self::AppsWrite => "apps:write",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| format!("unknown scope: the scopes are {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// The name of a key, which logs may show: 1 to 64 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// The same name without a copy of its text.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sane = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(sane) {
            Ok(Self(text.into()))
        } else {
            Err("must be 1 to 64 letters, digits, - and _")
        }
    }
}

/// The SHA-256 of a secret, written in hex.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Digest")
    }
}

impl Digest {
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

impl FromStr for Digest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pairs = text.as_bytes().chunks(2);
        let bytes = pairs.map(|pair| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        });
        let bytes = bytes.collect::<Option<Vec<u8>>>().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or("must be a SHA-256 in hex, 64 digits: `pyapns key` makes one")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// A point in time, written as a date (its first second) or with a time, in UTC: `2030-01-31T12:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(u64);

impl Moment {
    pub fn unix_seconds(self) -> u64 {
        self.0
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHAT: &str = "must be a date, or a date and a time in UTC: 2030-01-31 or 2030-01-31T12:00:00Z";
        let (date, time) = text.strip_suffix('Z').and_then(|text| text.split_once('T')).unwrap_or((text, "00:00:00"));
        let (date, time) = (numbers(date, '-').ok_or(WHAT)?, numbers(time, ':').ok_or(WHAT)?);
        let ([year, month, day], [hour, minute, second]) = (date, time);
        let sane = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
        if !sane || hour > 23 || minute > 59 || second > 59 {
            return Err(WHAT);
        }
        // The year begins in March here, so that the leap day is its last day.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
        const BEFORE_1970: u64 = 719_468;
        Ok(Self((days - BEFORE_1970) * 86_400 + hour * 3_600 + minute * 60 + second))
    }
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let parts: Option<Vec<u64>> = text.split(separator).map(|part| part.parse().ok()).collect();
    parts?.try_into().ok()
}

/// An API key.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: KeyId,
    pub digest: Digest,
    pub scopes: Vec<Scope>,
    /// The apps that the key may use, in both environments; `None` = all.
    pub apps: Option<Vec<AppId>>,
    /// UNIX seconds.
    pub expires_at: Option<u64>,
}

impl ApiKey {
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| *own == scope || *own == Scope::Admin)
    }

    pub fn may_use(&self, app: &str) -> bool {
        self.apps.as_ref().is_none_or(|apps| apps.iter().any(|own| own.as_str() == app))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ApiKey({}, {:?}, {:?}, expires {:?})", self.id.as_str(), self.scopes, self.apps, self.expires_at)
    }
}

/// All keys of a node. They can be replaced while it runs.
#[derive(Debug, Default)]
pub struct Keys(RwLock<HashMap<Arc<str>, Arc<ApiKey>>>);

impl Keys {
    pub fn new(keys: impl IntoIterator<Item = ApiKey>) -> Self {
        let all = Self::default();
        all.replace(keys);
        all
    }

    /// Replaces all keys.
    pub fn replace(&self, keys: impl IntoIterator<Item = ApiKey>) {
        let keys = keys.into_iter().map(|key| (key.id.0.clone(), Arc::new(key))).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// The key with this name.
    pub fn get(&self, id: &KeyId) -> Option<Arc<ApiKey>> {
        self.named(id.as_str())
    }

    fn named(&self, id: &str) -> Option<Arc<ApiKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Finds the key of an `Authorization` header: `Bearer id.secret`, or `Basic` with id and secret as name and
    /// password. Takes the same time for an unknown id and a wrong secret.
    pub fn find(&self, authorization: &[u8]) -> Option<Arc<ApiKey>> {
        let shown = PresentedKey::read(authorization)?;
        let (id, secret) = shown.parts()?;
        let key = self.named(id);
        let shown = Digest::of(secret.as_bytes());
        let kept = key.as_ref().map_or([0; 32], |key| key.digest.0);
        verify_slices_are_equal(&shown.0, &kept).ok().and(key)
    }
}

/// The credential that a caller presents, as text.
struct PresentedKey {
    text: Zeroizing<String>,
    separator: char,
}

impl PresentedKey {
    fn read(authorization: &[u8]) -> Option<Self> {
        let (scheme, value) = std::str::from_utf8(authorization).ok()?.trim().split_once(' ')?;
        let value = value.trim_start();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self { text: value.to_owned().into(), separator: '.' });
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
            return Some(Self { text: text.into(), separator: ':' });
        }
        None
    }

    fn parts(&self) -> Option<(&str, &str)> {
        self.text.split_once(self.separator)
    }
}

/// A new secret: 256 random bits. `None` if the system's random number generator fails.
pub fn new_secret() -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    aws_lc_rs::rand::fill(&mut *bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes.as_slice()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, secret: &str) -> ApiKey {
        let id = id.parse().expect("an id");
        ApiKey { id, digest: Digest::of(secret.as_bytes()), scopes: vec![Scope::Send], apps: None, expires_at: None }
    }

    #[test]
    fn a_key_is_found_by_either_scheme_and_only_with_its_secret() {
        let keys = Keys::new([key("shop", "a.b:c"), key("blog", "other")]);
        let found = |header: &str| keys.find(header.as_bytes()).map(|key| key.id.as_str().to_owned());
        assert_eq!(found("Bearer shop.a.b:c"), Some("shop".to_owned()));
        assert_eq!(found("bearer  shop.a.b:c"), Some("shop".to_owned()));
        assert_eq!(found(&format!("Basic {}", STANDARD.encode("shop:a.b:c"))), Some("shop".to_owned()));
        let wrong = [
            "",
            "Bearer",
            "Bearer shop",
            "Bearer shop.",
            "Bearer shop.other",
            "Bearer who.a.b:c",
            "Basic ?",
            "shop.a.b:c",
        ];
        for header in wrong {
            assert_eq!(found(header), None, "{header}");
        }
    }

    #[test]
    fn a_digest_parses_as_written_and_debug_output_of_a_key_has_none() {
        let digest = Digest::of(b"secret");
        assert!(digest.to_string().parse() == Ok(digest.clone()));
        for bad in ["", "ab", "zz", &"0".repeat(63), &"0".repeat(66), &"g".repeat(64)] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        assert!(!format!("{:?}", key("shop", "secret")).contains(&digest.to_string()));
    }

    #[test]
    fn a_moment_is_a_date_with_or_without_a_time() {
        let seconds = |text: &str| text.parse().map(Moment::unix_seconds);
        assert_eq!(seconds("1970-01-01"), Ok(0));
        assert_eq!(seconds("2000-02-29"), Ok(951_782_400));
        assert_eq!(seconds("2030-01-31T12:34:56Z"), Ok(1_896_093_296));
        for bad in ["", "soon", "2030-13-01", "2030-01-31T12:00:00", "2030-01-31T24:00:00Z", "1969-12-31", "2030-01"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn two_new_secrets_differ_and_are_valid_in_a_header() {
        let (one, two) = (new_secret().expect("random bits"), new_secret().expect("random bits"));
        assert_ne!(one, two);
        assert!(one.len() == 43 && one.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }
}
