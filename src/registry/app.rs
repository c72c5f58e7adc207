//! A provisioned app, and the request to provision one.

use crate::credentials::keyring::KeyId;
use crate::credentials::{Credential, Material};
use crate::model::{AppKey, PushType};
use crate::store::{Expect, Revision};
use std::sync::Arc;

pub const TIMEOUT_SECONDS_DEFAULT: u32 = 15;
pub const TIMEOUT_SECONDS_MAX: u32 = 300;
pub const LANES_DEFAULT: u16 = 1;
pub const LANES_MAX: u16 = 64;
/// A provisioned app. It is immutable: a change creates a new `App` with a higher `generation`, and requests in flight
/// finish with the old credential. A lane or a pool compares the generation of its app with the generation in a
/// request.
#[derive(Debug)]
pub struct App {
    pub key: AppKey,
    pub credential: Arc<Credential>,
    /// The base topic: see [`super::topic::of`].
    pub topic: String,
    /// Of notifications that name none, where the topic decides it: see [`super::topic::push_type`].
    pub push_type: Option<PushType>,
    /// The time limit for connecting to Apple.
    pub timeout_seconds: u32,
    pub lanes: u16,
    /// The value of `certificate` in the API: the given path, else the fingerprint.
    pub certificate_echo: String,
    /// Grows with every provisioning on this node, whatever the app. Of no meaning to other nodes.
    pub generation: u64,
    /// Names this state of the app in the store, for callers and other nodes.
    pub revision: Revision,
    /// The key that its stored credential is sealed with; `None` if it is in clear text, or unreadable.
    pub sealed_under: Option<KeyId>,
}

impl App {
    /// The reason that the app cannot send at this time (UNIX seconds), if so.
    pub fn credential_error(&self, now: u64) -> Option<String> {
        let unusable = self.credential.unusable().map(str::to_owned);
        unusable.or_else(|| self.credential.check(self.key.environment, now).err().map(|error| error.to_string()))
    }
}

/// A request to provision an app.
#[derive(Debug, Clone)]
pub struct Provision {
    pub key: AppKey,
    pub material: Material,
    /// The path of the material, if it was given as a path.
    pub certificate_path: Option<String>,
    pub topic: Option<String>,
    pub timeout_seconds: u32,
    pub lanes: u16,
    /// The fingerprint of the configuration's entry; `None` = provisioned over the API.
    pub entry: Option<String>,
    /// The condition on what is stored; [`super::ProvisionError::Store`] with a conflict if it is not met.
    pub expect: Expect,
    /// Accepts an expired certificate: the app then exists and reports it.
    pub even_expired: bool,
    /// Accepts a certificate that 0.6 accepted and the API refuses today, and logs an error.
    pub even_unfit: bool,
    /// Accepts an app without a topic, as old configurations have them: the app id is the topic.
    pub even_without_topic: bool,
}

impl Provision {
    /// A request with the default of every option.
    pub fn new(key: AppKey, material: Material) -> Self {
        Self {
            key,
            material,
            certificate_path: None,
            topic: None,
            timeout_seconds: TIMEOUT_SECONDS_DEFAULT,
            lanes: LANES_DEFAULT,
            entry: None,
            expect: Expect::Any,
            even_expired: false,
            even_unfit: false,
            even_without_topic: false,
        }
    }
}

#[cfg(test)]
impl App {
    /// A sandbox app with a signing key.
    pub(crate) fn sample() -> Self {
        use crate::credentials::Secret;
        let p8 = Secret::from(rcgen::KeyPair::generate().expect("a key").serialize_pem());
        let material = Material::Key { p8, key_id: "KEY1234567".into(), team_id: "TEAM123456".into() };
        Self {
            key: AppKey::new(crate::model::AppId::new("shop").expect("an id"), crate::model::Environment::Sandbox),
            credential: Arc::new(Credential::parse(&material).expect("a key")),
            push_type: None,
            topic: "com.example.shop".to_owned(),
            timeout_seconds: TIMEOUT_SECONDS_DEFAULT,
            lanes: 1,
            certificate_echo: String::new(),
            generation: 1,
            revision: Revision::NONE,
            sealed_under: None,
        }
    }
}
