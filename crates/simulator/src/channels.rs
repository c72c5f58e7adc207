//! The broadcast channels of every app, in each environment (apns-protocol 11).

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::rules::Environment;

/// Channels of an app in one environment.
pub const CHANNELS_MAX: usize = 10_000;
const ID_BYTES: usize = 16;
/// Time that a channel keeps its most recent message at most.
const STORED_MAX_MS: i64 = 8 * 3600 * 1000;

/// The number of messages that a channel keeps for devices that connect later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "u8")]
pub enum StoragePolicy {
    Nothing,
    MostRecent,
}

impl StoragePolicy {
    /// `None` if no policy has this number.
    pub fn new(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Nothing),
            1 => Some(Self::MostRecent),
            _ => None,
        }
    }
}

impl From<StoragePolicy> for u8 {
    fn from(policy: StoragePolicy) -> u8 {
        match policy {
            StoragePolicy::Nothing => 0,
            StoragePolicy::MostRecent => 1,
        }
    }
}

/// The reason that a channel was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Deleted,
    NeverExisted,
}

/// A channel, as the control port shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelState {
    pub environment: Environment,
    pub bundle: String,
    pub id: String,
    pub policy: StoragePolicy,
    /// Accepted broadcasts.
    pub broadcasts: u64,
    /// The body of the most recent message, while it is stored.
    pub stored: Option<String>,
    /// Milliseconds since the UNIX epoch.
    pub stored_until_ms: Option<i64>,
}

/// An item of `POST /apps`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppListing {
    pub bundle: String,
    /// `false`: the app has no broadcast capability; switching it off deletes its channels.
    pub broadcast: bool,
}

/// Shared by all connections; one lock per call.
#[derive(Default)]
pub struct Channels {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    apps: HashMap<(Environment, String), App>,
    /// Apps without the broadcast capability.
    without_broadcast: HashSet<String>,
    created: u64,
}

#[derive(Default)]
struct App {
    channels: HashMap<String, Channel>,
    /// Ids are never reused.
    deleted: HashSet<String>,
}

struct Channel {
    /// Order of creation.
    number: u64,
    policy: StoragePolicy,
    broadcasts: u64,
    stored: Option<(String, i64)>,
}

impl Channels {
    /// Switches the broadcast capability of an app. Switching it off deletes its channels.
    pub fn set_broadcast(&self, listing: AppListing) {
        let mut inner = self.lock();
        if listing.broadcast {
            inner.without_broadcast.remove(&listing.bundle);
            return;
        }
        let apps = inner.apps.iter_mut().filter(|((_, bundle), _)| *bundle == listing.bundle);
        for (_, app) in apps {
            app.deleted.extend(std::mem::take(&mut app.channels).into_keys());
        }
        inner.without_broadcast.insert(listing.bundle);
    }

    pub fn has_broadcast(&self, bundle: &str) -> bool {
        !self.lock().without_broadcast.contains(bundle)
    }

    /// The id of a new channel; `None` if the app has `limit` channels already.
    pub fn create(
        &self,
        environment: Environment,
        bundle: &str,
        policy: StoragePolicy,
        limit: usize,
    ) -> Option<String> {
        let mut inner = self.lock();
        let number = inner.created;
        let app = inner.apps.entry((environment, bundle.to_owned())).or_default();
        if app.channels.len() >= limit {
            return None;
        }
        let id = STANDARD.encode(std::array::from_fn::<u8, ID_BYTES, _>(|_| fastrand::u8(..)));
        app.channels.insert(id.clone(), Channel { number, policy, broadcasts: 0, stored: None });
        inner.created += 1;
        Some(id)
    }

    pub fn policy(&self, environment: Environment, bundle: &str, id: &str) -> Result<StoragePolicy, Missing> {
        self.lock().find(environment, bundle, id).map(|channel| channel.policy)
    }

    /// `false` if there is no such channel.
    pub fn delete(&self, environment: Environment, bundle: &str, id: &str) -> bool {
        let mut inner = self.lock();
        let Some(app) = inner.apps.get_mut(&(environment, bundle.to_owned())) else { return false };
        let found = app.channels.remove(id).is_some();
        if found {
            app.deleted.insert(id.to_owned());
        }
        found
    }

    /// The ids of an app's channels, in the order of their creation.
    pub fn list(&self, environment: Environment, bundle: &str) -> Vec<String> {
        let inner = self.lock();
        let Some(app) = inner.apps.get(&(environment, bundle.to_owned())) else { return Vec::new() };
        let mut channels: Vec<_> = app.channels.iter().collect();
        channels.sort_unstable_by_key(|(_, channel)| channel.number);
        channels.into_iter().map(|(id, _)| id.clone()).collect()
    }

    /// Counts an accepted broadcast, and stores it until `expiration_ms` if the channel's policy says so.
    pub fn broadcast(
        &self,
        environment: Environment,
        bundle: &str,
        id: &str,
        body: &[u8],
        expiration_ms: i64,
        now_ms: i64,
    ) {
        let mut inner = self.lock();
        let Ok(channel) = inner.find(environment, bundle, id) else { return };
        channel.broadcasts += 1;
        if channel.policy == StoragePolicy::MostRecent && expiration_ms > now_ms {
            let until = expiration_ms.min(now_ms + STORED_MAX_MS);
            channel.stored = Some((String::from_utf8_lossy(body).into_owned(), until));
        }
    }

    /// The number of channels.
    pub fn len(&self) -> usize {
        self.lock().apps.values().map(|app| app.channels.len()).sum()
    }

    /// Every channel, in the order of creation.
    pub fn states(&self, now_ms: i64) -> Vec<ChannelState> {
        let inner = self.lock();
        let mut states: Vec<(u64, ChannelState)> = Vec::new();
        for ((environment, bundle), app) in &inner.apps {
            states.extend(app.channels.iter().map(|(id, channel)| {
                let stored = channel.stored.as_ref().filter(|(_, until)| *until > now_ms);
                let state = ChannelState {
                    environment: *environment,
                    bundle: bundle.clone(),
                    id: id.clone(),
                    policy: channel.policy,
                    broadcasts: channel.broadcasts,
                    stored: stored.map(|(body, _)| body.clone()),
                    stored_until_ms: stored.map(|(_, until)| *until),
                };
                (channel.number, state)
            }));
        }
        states.sort_unstable_by_key(|(number, _)| *number);
        states.into_iter().map(|(_, state)| state).collect()
    }

    /// Forgets all channels and switches broadcasts on for every app.
    pub fn reset(&self) {
        *self.lock() = Inner::default();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// A simulator of both environments looks in both.
    fn find(&mut self, environment: Environment, bundle: &str, id: &str) -> Result<&mut Channel, Missing> {
        let mut apps: Vec<&mut App> = self
            .apps
            .iter_mut()
            .filter(|((of, named), _)| named == bundle && environment.meets(*of))
            .map(|(_, app)| app)
            .collect();
        let deleted = apps.iter().any(|app| app.deleted.contains(id));
        apps.iter()
            .position(|app| app.channels.contains_key(id))
            .and_then(|at| apps.swap_remove(at).channels.get_mut(id))
            .ok_or(if deleted { Missing::Deleted } else { Missing::NeverExisted })
    }
}
