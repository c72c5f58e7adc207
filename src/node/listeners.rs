//! The listeners of a node, and the routes that each of them serves.

use super::StartError;
use super::descriptors::Shares;
use crate::api::auth::config::ApiKeyConfig;
use crate::api::auth::key::Keys;
use crate::api::auth::{Exposure, Guard};
use crate::api::{self, Api};
use crate::config::Config;
use crate::drain::Drain;
use crate::http::browser::{BrowserPolicy, HostName};
use crate::http::metrics::Metrics;
use crate::http::server::address::Address;
use crate::http::server::tls::Tls;
use crate::http::server::{self, ConnectionLimit, Listener};
use crate::model::NodeName;
use std::sync::Arc;

/// The bound listeners of a node, before they serve.
pub struct Listeners {
    public: Listener,
    admin: Option<Listener>,
    keys: Option<Arc<Keys>>,
    shares: Shares,
    hosts: Vec<HostName>,
}

impl Listeners {
    /// Binds the listeners of the configuration, with its TLS files and API keys.
    pub async fn bind(config: &Config, shares: Shares) -> Result<Self, StartError> {
        let tls = config.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
        let bind_one = async |address: &Address| {
            let bound = Listener::bind(address, config.socket_mode, tls.clone()).await;
            if !address.is_local() && tls.is_none() && !config.api_keys.is_empty() {
                tracing::warn!(%address, "API keys are sent in clear text on this listener: set [tls], or listen on 127.0.0.1 behind a TLS proxy");
            }
            bound.map_err(|cause| StartError::Listen { address: address.clone(), cause })
        };
        let public = bind_one(&config.listen).await?;
        let admin = match &config.admin_listen {
            Some(address) => Some(bind_one(address).await?),
            None => None,
        };
        let open = |entry: &ApiKeyConfig| {
            entry.open().map_err(|cause| StartError::ApiKey { place: entry.place.clone(), cause })
        };
        let keys: Vec<_> = config.api_keys.iter().map(open).collect::<Result<_, _>>()?;
        let keys = (!keys.is_empty()).then(|| Arc::new(Keys::new(keys)));
        Ok(Self { public, admin, keys, shares, hosts: config.hosts.clone() })
    }

    pub fn public(&self) -> &Listener {
        &self.public
    }

    pub fn admin(&self) -> Option<&Listener> {
        self.admin.as_ref()
    }

    /// The API keys that callers must show; `None` if no key is required.
    pub fn keys(&self) -> Option<&Arc<Keys>> {
        self.keys.as_ref()
    }

    /// The guard of a TCP listener: it checks every request before its route.
    pub fn guard(&self, door: Exposure, api: &Api) -> Guard {
        let browsers = Some(Arc::new(self.browsers()));
        Guard { keys: self.keys.clone(), exposure: door, browsers, clock: api.clock.clone() }
    }

    fn browsers(&self) -> BrowserPolicy {
        let machine = super::data::machine_name();
        BrowserPolicy::new(machine.as_ref().map(NodeName::as_str), self.hosts.clone(), self.keys.is_some())
    }

    /// The guard of a listener. A browser cannot open a Unix socket, so its checks apply there only with API keys, when
    /// a proxy may forward a browser's requests.
    fn listener_guard(&self, listener: &Listener, door: Exposure, api: &Api) -> Guard {
        let guard = self.guard(door, api);
        let checks_browsers = !listener.is_unix() || self.keys.is_some();
        Guard { browsers: guard.browsers.filter(|_| checks_browsers), ..guard }
    }

    /// Serves on every listener until the drain begins.
    pub fn serve(self, api: &Arc<Api>, metrics: &Arc<Metrics>, drain: &Drain) {
        let limits = &api.limits;
        let (per_address, shared) = (limits.connections_per_address, limits.shared_addresses.clone());
        let (_, admin_connections) = self.shares.listeners(self.admin.is_some());
        let places = ConnectionLimit::new(limits.connections, per_address, shared);
        let door = if self.admin.is_some() { Exposure::Public } else { Exposure::Whole };
        let admin_guard = self.admin.as_ref().map(|listener| self.listener_guard(listener, Exposure::Whole, api));
        let public = (self.listener_guard(&self.public, door, api), self.public, places);
        let places = || ConnectionLimit::new(admin_connections, admin_connections, Vec::new());
        let admin = admin_guard.zip(self.admin).map(|(guard, listener)| (guard, listener, places()));
        for (guard, listener, places) in [Some(public), admin].into_iter().flatten() {
            let entry = api::service(Arc::clone(api), Arc::clone(metrics), guard);
            let (limits, metrics) = (limits.clone(), Arc::clone(metrics));
            drain.spawn("accept", server::serve(listener, entry, drain.clone(), limits, places, metrics));
        }
    }
}
