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
/// A provisioned app. It never changes: a change makes another one with a higher `generation`, and whoever still
/// holds this one finishes what is in flight under the old credential. What serves an app (a lane, a pool) compares
/// the generation of the app it was made for with that of the app a request carries.
#[derive(Debug)]
pub struct App {
    pub key: AppKey,
    pub credential: Arc<Credential>,
    /// The base topic: see [`super::topic::of`].
    pub topic: String,
    /// Of notifications that name none, where the topic decides it: see [`super::topic::push_type`].
    pub push_type: Option<PushType>,
    /// For connecting to Apple.
    pub timeout_seconds: u32,
    pub lanes: u16,
    /// The value of `certificate` in the API: the path as given, else the fingerprint.
    pub certificate_echo: String,
    /// Grows with every provisioning on this node, whatever the app. Of no meaning to other nodes.
    pub generation: u64,
    /// Names this state of the app in the store, for callers and other nodes.
    pub revision: Revision,
    /// The key that its stored credential is sealed with; `None` if it is in clear text, or unreadable.
    pub sealed_under: Option<KeyId>,
}

impl App {
    /// Why nothing can be sent for it at this time (UNIX seconds), if so.
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
    /// The path the material was read from, if it was.
    pub certificate_path: Option<String>,
    pub topic: Option<String>,
    pub timeout_seconds: u32,
    pub lanes: u16,
    /// The fingerprint of the configuration's entry that asks for it; `None` = a caller of the API does.
    pub entry: Option<String>,
    /// The condition on what is stored; [`super::ProvisionError::Store`] with a conflict if it is not met.
    pub expect: Expect,
    /// An expired certificate is taken, too: the app is there and says so.
    pub even_expired: bool,
    /// A certificate that is refused today, and was not by 0.6, is taken, too, with a line in the log.
    pub even_unfit: bool,
    /// An app without a topic is taken, too, as old configurations have them: its id is the topic.
    pub even_without_topic: bool,
}

impl Provision {
    /// With every option at its default.
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
    /// One with a signing key, in the sandbox.
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
