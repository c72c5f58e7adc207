//! Apple's checks, implemented from its documentation: a list that runs in order until one refuses.

mod app;
mod broadcast;
pub mod channels;
mod credential;
mod headers;
mod push;
mod target;
pub mod verdict;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use credential::{Caller, Credential};
pub use headers::is_canonical_uuid;
pub use push::Push;
pub use target::{PAYLOAD_VOIP_MAX, TokenRate, TokenRates, TokenState};
pub use verdict::{Acceptance, Rejection, Verdict};

use super::channels::Channels;
use super::jwt::Key;
use super::site::{Service, Site};
use super::tokens::Tokens;

/// Which of Apple's two environments something belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// The simulator's checks, keys and leniency.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The checks of device pushes.
    pub checks: Vec<Check>,
    pub keys: Vec<Arc<Key>>,
    /// Takes any case of `bearer`, and padded base64.
    pub lenient: bool,
    /// `BadEnvironmentKeyIdInToken` and `FeatureNotEnabled` as documented, in place of the spellings seen on the wire.
    pub documented_spelling: bool,
}

/// The input of the checks besides the request and its connection.
pub struct Context<'a> {
    pub settings: &'a Settings,
    pub site: Site,
    pub tokens: &'a Tokens,
    pub rates: Option<&'a TokenRates>,
    pub channels: &'a Channels,
    /// Channels of an app in one environment.
    pub channel_limit: usize,
    /// The rate limit of an app's broadcasts and channel calls.
    pub channel_rates: Option<&'a TokenRates>,
    pub now_ms: i64,
}

/// Applies the rules of the request's service. `credential` is the connection's state, which remembers the credentials
/// shown.
pub fn judge(push: &Push<'_>, credential: &mut Credential, context: &Context<'_>) -> Verdict {
    match push.service {
        Service::Device => judge_device(push, credential, context).map(|()| Acceptance::OK),
        Service::Broadcasts => broadcast::judge(push, credential, context),
        Service::Channels => channels::judge(push, credential, context),
    }
}

/// Runs the checks in their order.
fn judge_device(push: &Push<'_>, credential: &mut Credential, context: &Context<'_>) -> Result<(), Rejection> {
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
