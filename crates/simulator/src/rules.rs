//! Apple's checks, implemented from its documentation: a list that runs in order until one refuses.

mod credential;
mod headers;
mod push;
mod target;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use credential::{Caller, Credential};
pub use headers::is_canonical_uuid;
pub use push::Push;
pub use target::{PAYLOAD_VOIP_MAX, TokenRate, TokenRates, TokenState};

use super::jwt::Key;
use super::tokens::Tokens;

/// Which of Apple's two environments something belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    Both,
    Sandbox,
    Production,
}

impl Environment {
    /// Returns `true` if a credential made for `self` may be used on a server of `other`.
    pub fn meets(self, other: Environment) -> bool {
        self == Environment::Both || other == Environment::Both || self == other
    }
}

/// A step of the validation, named after its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    Method,
    Path,
    Duplicates,
    Credential,
    Topic,
    Headers,
    /// The push type against the topic's suffix.
    PushType,
    /// Priority of background pushes, location with a certificate. Not in the default order.
    Consistency,
    Payload,
    DeviceToken,
    Rate,
}

impl Check {
    /// Apple publishes no order; this one follows observations.
    pub const DEFAULT_ORDER: [Check; 10] = [
        Check::Method,
        Check::Path,
        Check::Duplicates,
        Check::Credential,
        Check::Topic,
        Check::Headers,
        Check::PushType,
        Check::Payload,
        Check::DeviceToken,
        Check::Rate,
    ];
}

/// An answer that is not 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub status: u16,
    pub reason: Cow<'static, str>,
    /// Milliseconds since the UNIX epoch, on 410.
    pub timestamp: Option<i64>,
}

impl Rejection {
    pub const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason: Cow::Borrowed(reason), timestamp: None }
    }

    /// The JSON body of the answer.
    pub fn body(&self) -> String {
        let reason = serde_json::Value::from(self.reason.as_ref());
        match self.timestamp {
            Some(timestamp) => format!("{{\"reason\":{reason},\"timestamp\":{timestamp}}}"),
            None => format!("{{\"reason\":{reason}}}"),
        }
    }
}

/// The simulator's checks, keys and leniency.
#[derive(Debug, Clone)]
pub struct Settings {
    pub checks: Vec<Check>,
    pub environment: Environment,
    pub keys: Vec<Arc<Key>>,
    /// Takes any case of `bearer`, and padded base64.
    pub lenient: bool,
    /// `BadEnvironmentKeyIdInToken` as documented, in place of the spelling seen on the wire.
    pub documented_spelling: bool,
}

/// The input of the checks besides the request and its connection.
pub struct Context<'a> {
    pub settings: &'a Settings,
    pub tokens: &'a Tokens,
    pub rates: Option<&'a TokenRates>,
    pub now_ms: i64,
}

/// Runs the checks in their order. `credential` is the connection's state, which remembers the credentials shown.
pub fn judge(push: &Push<'_>, credential: &mut Credential, context: &Context<'_>) -> Result<(), Rejection> {
    for check in &context.settings.checks {
        match check {
            Check::Method => headers::method(push)?,
            Check::Path => headers::path(push)?,
            Check::Duplicates => headers::duplicates(push)?,
            Check::Credential => credential.check(push, context)?,
            Check::Topic => headers::topic(push, credential)?,
            Check::Headers => headers::values(push)?,
            Check::PushType => headers::push_type(push, credential)?,
            Check::Consistency => headers::consistency(push, credential)?,
            Check::Payload => target::payload(push)?,
            Check::DeviceToken => target::device_token(push, context)?,
            Check::Rate => target::rate(push, context)?,
        }
    }
    Ok(())
}
