//! The listeners of a node, and what each of them answers.

use super::StartError;
use super::descriptors::Shares;
use crate::api::auth::entry::Entry;
use crate::api::auth::key::Keys;
use crate::api::auth::{Door, Guard};
use crate::api::{self, Api};
use crate::config::Config;
use crate::drain::Drain;
use crate::http::metrics::Metrics;
use crate::http::server::address::Address;
use crate::http::server::tls::Tls;
use crate::http::server::{self, Listener, Places};
use std::sync::Arc;

/// Bound, but not answering yet.
pub struct Doors {
    public: Listener,
    admin: Option<Listener>,
    keys: Option<Arc<Keys>>,
    shares: Shares,
}

impl Doors {
    pub async fn open(config: &Config, shares: Shares) -> Result<Self, StartError> {
        let tls = config.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
        let bind = async |address: &Address| {
            let bound = Listener::bind(address, config.socket_mode, tls.clone()).await;
            if !address.is_local() && tls.is_none() && !config.api_keys.is_empty() {
                tracing::warn!(%address, "API keys come in clear text here: set [tls], or let a proxy on this machine do it");
            }
            bound.map_err(|cause| StartError::Listen { address: address.clone(), cause })
        };
        let public = bind(&config.listen).await?;
        let admin = match &config.admin_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let open =
            |entry: &Entry| entry.open().map_err(|cause| StartError::ApiKey { place: entry.place.clone(), cause });
        let keys: Vec<_> = config.api_keys.iter().map(open).collect::<Result<_, _>>()?;
        let keys = (!keys.is_empty()).then(|| Arc::new(Keys::new(keys)));
        Ok(Self { public, admin, keys, shares })
    }

    pub fn public(&self) -> &Listener {
        &self.public
    }

    pub fn admin(&self) -> Option<&Listener> {
        self.admin.as_ref()
    }

    /// Who may call; `None` if everybody may.
    pub fn keys(&self) -> Option<&Arc<Keys>> {
        self.keys.as_ref()
    }

    /// What stands before every route of a listener.
    pub fn guard(&self, door: Door, api: &Api) -> Guard {
        Guard { keys: self.keys.clone(), door, clock: api.clock.clone() }
    }

    /// Starts to answer on every listener, until the drain begins.
    pub fn serve(self, api: &Arc<Api>, metrics: &Arc<Metrics>, drain: &Drain) {
        let limits = &api.limits;
        let (one, shared) = (limits.connections_per_address, limits.shared_addresses.clone());
        let (_, of_admin) = self.shares.listeners(self.admin.is_some());
        let places = Places::new(limits.connections, one, shared);
        let door = if self.admin.is_some() { Door::Public } else { Door::Whole };
        let public = (self.public, door, places);
        let places = || Places::new(of_admin, of_admin, Vec::new());
        let admin = self.admin.map(|listener| (listener, Door::Whole, places()));
        for (listener, door, places) in [Some(public), admin].into_iter().flatten() {
            let guard = Guard { keys: self.keys.clone(), door, clock: api.clock.clone() };
            let entry = api::entry(Arc::clone(api), Arc::clone(metrics), guard);
            let (limits, metrics) = (limits.clone(), Arc::clone(metrics));
            drain.spawn("accept", server::serve(listener, entry, drain.clone(), limits, places, metrics));
        }
    }
}
