//! The simulator: its options, its start, its listeners, and its interface for tests and the control port.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::channels::{AppListing, ChannelState, StoragePolicy};
use super::clock::Clock;
use super::control;
use super::error::SimulatorError;
use super::front::{Front, ScriptedListener, Tls};
use super::identity::Identity;
use super::jwt::Key;
use super::ledger::{Ledger, LedgerMode};
use super::rules::{Check, Environment, Settings, TokenState};
use super::script::{Script, ScriptError};
use super::shared::Shared;
use super::site::{Service, Site};

/// The settings of a simulator. The default listens on a free port of 127.0.0.1, without control port, and keeps its
/// identities in memory.
#[derive(Debug, Clone)]
pub struct Options {
    /// `HOST:PORT` of Apple's side; port 0 picks a free one.
    pub listen: String,
    /// Further listeners of Apple's side, such as `127.0.0.2:0`; port 0 takes the port of the first, so that one name
    /// can resolve to all.
    pub beside: Vec<String>,
    /// `HOST:PORT` of channel management in the sandbox; `None` for none.
    pub sandbox_channels: Option<String>,
    /// `HOST:PORT` of channel management in production; `None` for none.
    pub production_channels: Option<String>,
    /// `HOST:PORT` for broadcasts to the channels of the sandbox alone; `None` for none.
    pub sandbox_broadcasts: Option<String>,
    /// `HOST:PORT` for broadcasts to the channels of production alone; `None` for none.
    pub production_broadcasts: Option<String>,
    /// `HOST:PORT` of the control port; `None` for none.
    pub control: Option<String>,
    /// The directory of certificates and keys.
    pub directory: Option<std::path::PathBuf>,
    /// The environment of device pushes and broadcasts; channel management serves no other one. `apns-unique-id` is
    /// sent in `Sandbox` only. With `Both`, a broadcast to `listen` reaches the channels of both.
    pub environment: Environment,
    pub ledger: LedgerMode,
    /// The checks and their order.
    pub checks: Vec<Check>,
    /// Signing keys known besides the identity's own.
    pub keys: Vec<Key>,
    /// Accepts any case of `bearer`, and padded base64 in provider tokens.
    pub lenient: bool,
    /// `BadEnvironmentKeyIdInToken` and `FeatureNotEnabled` as documented, in place of the spellings seen on the wire.
    pub documented_spelling: bool,
    pub script: Script,
    /// Bytes of request bodies a connection may have under way. Apple's is 65,535.
    pub connection_window: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            beside: Vec::new(),
            sandbox_channels: Some("127.0.0.1:0".to_owned()),
            production_channels: Some("127.0.0.1:0".to_owned()),
            sandbox_broadcasts: None,
            production_broadcasts: None,
            control: None,
            directory: None,
            environment: Environment::Both,
            ledger: LedgerMode::Full,
            checks: Check::DEFAULT_ORDER.to_vec(),
            keys: Vec::new(),
            lenient: false,
            documented_spelling: false,
            script: Script::default(),
            connection_window: 16 << 20,
        }
    }
}

/// A running simulator. It stops when dropped; `stop` also waits for its tasks.
pub struct Simulator {
    shared: Arc<Shared>,
    identity: Identity,
    environment: Environment,
    addresses: Vec<SocketAddr>,
    /// The listeners of channels and broadcasts.
    further: Vec<(Site, SocketAddr)>,
    /// The script that each listener obeys, by its number.
    applied: Vec<watch::Receiver<u64>>,
    front: Front,
    control: Option<SocketAddr>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Simulator {
    /// Creates or reads the identities, binds the ports and serves on the current runtime.
    pub async fn start(options: Options) -> Result<Self, SimulatorError> {
        options.script.check()?;
        let identity = match &options.directory {
            Some(directory) => Identity::open(directory)?,
            None => Identity::generate()?,
        };
        let listeners = listen(&options).await?;
        let control = match &options.control {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let tls = Arc::new(Tls::new(&identity, host_of(&options.listen))?);
        let mut keys: Vec<Arc<Key>> = options.keys.into_iter().map(Arc::new).collect();
        keys.push(Arc::new(identity.key()?));
        let environment = options.environment;
        let rules = Settings {
            checks: options.checks,
            keys,
            lenient: options.lenient,
            documented_spelling: options.documented_spelling,
        };
        let shared = Arc::new(Shared::new(options.ledger, rules, options.connection_window, options.script));
        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let front = Front::new(Arc::clone(&shared), tls, stopping.clone(), tasks.clone());
        let addresses = listeners.iter().map(|(site, listener)| (*site, listener.address()));
        let (pushes, further): (Vec<_>, Vec<_>) = addresses.partition(|(site, _)| site.service == Service::Device);
        let serve = |(at, (site, listener))| front.serve(at, site, listener);
        let applied: Vec<_> = listeners.into_iter().enumerate().map(serve).collect();
        let control_address = control.as_ref().map(|listener| local(listener, "control")).transpose()?;
        if let Some(listener) = control {
            let (shared, applied) = (Arc::clone(&shared), applied.clone());
            tasks.spawn(control::run(listener, shared, applied, stopping.clone(), tasks.clone()));
        }
        Ok(Self {
            shared,
            identity,
            environment,
            addresses: pushes.into_iter().map(|(_, address)| address).collect(),
            further,
            applied,
            front,
            control: control_address,
            stopping,
            tasks,
        })
    }

    /// The first address of Apple's side.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// The addresses of Apple's side, in the order of the options.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address of channel management in `Sandbox` or `Production`; `None` if there is none.
    pub fn channels_address(&self, environment: Environment) -> Option<SocketAddr> {
        self.further_address(Service::Channels, environment)
    }

    /// The address for broadcasts alone in `Sandbox` or `Production`; `None` if there is none.
    pub fn broadcasts_address(&self, environment: Environment) -> Option<SocketAddr> {
        self.further_address(Service::Broadcasts, environment)
    }

    fn further_address(&self, service: Service, environment: Environment) -> Option<SocketAddr> {
        let wanted = Site { service, environment };
        self.further.iter().find(|(site, _)| *site == wanted).map(|(_, address)| *address)
    }

    /// Every broadcast channel, in the order of creation.
    pub fn channels(&self) -> Vec<ChannelState> {
        self.shared.channels.states(self.shared.clock.now_ms())
    }

    /// Creates channels of an app, and returns their ids.
    pub fn add_channels(
        &self,
        environment: Environment,
        bundle: &str,
        policy: StoragePolicy,
        count: usize,
    ) -> Vec<String> {
        let create = |_| self.shared.channels.create(environment, bundle, policy, usize::MAX);
        (0..count).filter_map(create).collect()
    }

    /// Switches the broadcast capability of an app on or off; off deletes its channels. Every app begins with it.
    pub fn set_broadcast(&self, bundle: &str, broadcast: bool) {
        self.shared.channels.set_broadcast(AppListing { bundle: bundle.to_owned(), broadcast });
    }

    /// A connection without socket and TLS, for tests in virtual time. The client counts as one with the identity's
    /// certificate. The script's faults of connections apply, except faults of TLS; a connection that breaks on
    /// `accept` breaks on `tls` here.
    pub fn pipe(&self) -> DuplexStream {
        self.front.pipe(&self.identity, Site { service: Service::Device, environment: self.environment })
    }

    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// Moves the clock of the rules forward, which ages provider tokens.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Replaces the script and resets its counters. It applies to requests sent after this returns. Listeners follow a
    /// little later: wait for [`Self::script_applied`].
    pub fn set_script(&self, script: Script) -> Result<(), ScriptError> {
        self.shared.set_script(script)
    }

    /// The current script.
    pub fn script(&self) -> Script {
        self.shared.summary().0
    }

    /// Waits until the listeners obey the current script.
    pub async fn script_applied(&self) {
        self.shared.wait_until_applied(&self.applied).await;
    }

    /// Sets the fault of a device token; `None` makes it valid again.
    pub fn set_token(&self, token: &str, state: Option<TokenState>) {
        self.shared.set_tokens([(token.to_owned(), state)]);
    }

    /// Clears script, tokens, channels and ledger, and resets the clock.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// The JSON line that `pyapns simulator` prints once it is ready. Files are `null` for identities in memory.
    pub fn announcement(&self) -> serde_json::Value {
        use Environment::{Production, Sandbox};
        let of = |service, environment| self.further_address(service, environment).map(|address| address.to_string());
        serde_json::json!({
            "listen": self.address().to_string(),
            "listeners": self.addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>(),
            "channels": { "sandbox": of(Service::Channels, Sandbox), "production": of(Service::Channels, Production) },
            "broadcasts":
                { "sandbox": of(Service::Broadcasts, Sandbox), "production": of(Service::Broadcasts, Production) },
            "control": self.control.map(|address| address.to_string()),
            "ca_file": self.identity.file("ca.pem"),
            "key_file": self.identity.file("key.p8"),
            "key_id": self.identity.key_id,
            "team_id": self.identity.team_id,
            "topic": self.identity.topic,
            "certificate_file": self.identity.file("client.pem"),
        })
    }

    /// Closes listeners and connections and waits for their tasks.
    pub async fn stop(self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// Binds the listeners: those of pushes first, then those of channels and broadcasts in the environments that the
/// simulator serves.
async fn listen(options: &Options) -> Result<Vec<(Site, ScriptedListener)>, SimulatorError> {
    let pushes = Site { service: Service::Device, environment: options.environment };
    let mut listeners = vec![(pushes, bind_scripted(&options.listen, 0).await?)];
    for address in &options.beside {
        let port = listeners[0].1.address().port();
        listeners.push((pushes, bind_scripted(address, port).await?));
    }
    let further = [
        (Service::Channels, Environment::Sandbox, &options.sandbox_channels),
        (Service::Channels, Environment::Production, &options.production_channels),
        (Service::Broadcasts, Environment::Sandbox, &options.sandbox_broadcasts),
        (Service::Broadcasts, Environment::Production, &options.production_broadcasts),
    ];
    for (service, environment, address) in further {
        let Some(address) = address.as_ref().filter(|_| environment.meets(options.environment)) else { continue };
        listeners.push((Site { service, environment }, bind_scripted(address, 0).await?));
    }
    Ok(listeners)
}

async fn bind_scripted(address: &str, port: u16) -> Result<ScriptedListener, SimulatorError> {
    let failed = |source| SimulatorError::Listen { address: address.to_owned(), source };
    ScriptedListener::bind(address, port).await.map_err(failed)
}

async fn bind(address: &str) -> Result<TcpListener, SimulatorError> {
    let failed = |source| SimulatorError::Listen { address: address.to_owned(), source };
    TcpListener::bind(address).await.map_err(failed)
}

fn local(listener: &TcpListener, address: &str) -> Result<SocketAddr, SimulatorError> {
    let failed = |source| SimulatorError::Listen { address: address.to_owned(), source };
    listener.local_addr().map_err(failed)
}

/// The host of `HOST:PORT`, without the brackets of an IPv6 address.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}
