//! The settings of a node: one TOML file over the compiled-in defaults, and `PYAPNS_…` over both.

mod api_keys;
pub mod cluster;
mod configured_apps;
mod expand;
mod fault;
mod files;
mod legacy_v05;
mod nearest;
mod origin;
mod reader;
pub mod store;
pub mod unknown_variables;

pub use fault::{Fault, Faults};
pub use origin::Origin;

use crate::api::Compat;
use crate::api::auth::config::ApiKeyConfig as KeyEntry;
use crate::apns::connect::Proxy;
use crate::apns::endpoint::Endpoint;
use crate::autoprovision::ConfiguredApp;
use crate::delivery::metrics::apps::Settings as AppMetrics;
use crate::http::Limits;
use crate::http::access_log::Access;
use crate::http::browser::HostName;
use crate::http::server::address::{Address, Mode};
use crate::http::server::tls::Files as TlsFiles;
use crate::model::{Environment, NodeName};
use crate::network::Network;
use crate::telemetry::logging;
use cluster::ClusterConfig;
use reader::Reader;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::StoreConfig;

/// The documented configuration file, and the only source of the defaults.
pub const DEFAULTS: &str = include_str!("config/default.toml");

/// The settings of a node, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `None` = the machine's name.
    pub node_name: Option<NodeName>,
    pub listen: Address,
    /// The listener of provisioning, metrics and admin calls, in place of `listen`.
    pub admin_listen: Option<Address>,
    /// The permissions of both listeners, if they are Unix sockets.
    pub socket_mode: Mode,
    /// The TLS of both listeners, if they are TCP.
    pub tls: Option<TlsFiles>,
    /// The API keys that callers must show; without any, no key is required.
    pub api_keys: Vec<KeyEntry>,
    /// Further names of the node besides `localhost` and the machine's name, accepted in requests from browsers.
    pub hosts: Vec<HostName>,
    /// The operator takes responsibility for a `listen` that other machines can reach.
    pub insecure: bool,
    pub data_dir: PathBuf,
    /// The folder of certificate paths given over the API; `None` = paths are refused.
    pub credentials_dir: Option<PathBuf>,
    /// Keys for stored credentials: the first seals, all open. None = the node's generated key, in `data_dir`.
    pub key_files: Vec<PathBuf>,
    pub store: StoreConfig,
    /// Used with a shared store only.
    pub cluster: ClusterConfig,
    pub apple: Apple,
    pub limits: Limits,
    pub compat: Compat,
    pub autoprovision: Vec<ConfiguredApp>,
    /// The interval at which the configuration is checked for changes; `None` = only on SIGHUP.
    pub reload_every: Option<Duration>,
    /// The time limit for finishing everything after the signal to stop.
    pub drain_budget: Duration,
    pub log: logging::Config,
    /// The requests that are logged at level info.
    pub access: Access,
    /// The metrics per app.
    pub metrics: AppMetrics,
    /// The process may leave core files and be traced, with the secrets in its memory.
    pub core_dumps: bool,
    /// The value of each setting, to detect changes.
    pub settings: Settings,
    /// Warnings for the operator.
    pub notices: Vec<String>,
}

/// Every setting with its value as text. Debug output omits the values: one may be a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<&'static str, String>);

impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}

impl Settings {
    /// The settings with another value in `other`.
    pub fn differing(&self, other: &Self) -> Vec<&'static str> {
        let mut keys: Vec<_> = self.0.keys().chain(other.0.keys()).copied().collect();
        keys.retain(|key| self.0.get(key) != other.0.get(key));
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// The gateways, and how to connect to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apple {
    /// At least one; the next is used when one cannot be reached.
    pub sandbox: Vec<Endpoint>,
    /// As for the sandbox: at least one.
    pub production: Vec<Endpoint>,
    /// The gateways that manage broadcast channels. None if only `sandbox` names another gateway.
    pub sandbox_channels: Vec<Endpoint>,
    pub production_channels: Vec<Endpoint>,
    /// The gateways that take broadcasts: at least one.
    pub sandbox_broadcasts: Vec<Endpoint>,
    pub production_broadcasts: Vec<Endpoint>,
    /// The HTTP proxy of every connection.
    pub proxy: Option<Proxy>,
    /// The maximum number of connections of one lane.
    pub connections: usize,
    /// PEM. Added to the trusted authorities for Apple's hosts, and the only ones for any other host.
    pub ca_file: Option<PathBuf>,
}

/// A configuration file: its name, for faults, and its text.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

impl Config {
    /// Reads the settings; `variable` looks up an environment variable (a command line flag can be put before it).
    /// Every fault of the file and the variables is reported together.
    pub fn parse(file: Option<File<'_>>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        Self::parse_and(file, variable, |_, _| ())
    }

    /// Like [`Config::parse`], and tries every file that the settings name. Blocks on the disk.
    pub fn parse_and_check_files(
        file: Option<File<'_>>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Faults> {
        Self::parse_and(file, variable, files::check_all).map(Self::with_file_notices)
    }

    /// Like [`Config::parse_and_check_files`] for a node that is about to start. It leaves the configured apps to the node,
    /// which checks them against its store.
    pub fn parse_for_start(file: Option<File<'_>>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        Self::parse_and(file, variable, files::check_before_start).map(Self::with_file_notices)
    }

    fn with_file_notices(mut self) -> Self {
        self.notices.extend(self.world_readable_secrets());
        self
    }

    /// A warning with its remedy for each file with secrets that every user of the machine may read. Blocks on the
    /// disk.
    pub fn world_readable_secrets(&self) -> Vec<String> {
        files::world_readable(self)
    }

    fn parse_and(
        file: Option<File<'_>>,
        variable: &dyn Fn(&str) -> Option<String>,
        then: impl FnOnce(&mut Self, &mut Reader<'_>),
    ) -> Result<Self, Faults> {
        let mut read = Reader::new(file, variable);
        let folder = file.and_then(|file| Path::new(file.name).parent()).unwrap_or(Path::new(""));
        let mut config = Self::read_settings(&mut read, folder);
        then(&mut config, &mut read);
        read.finish(config)
    }

    fn read_settings(read: &mut Reader<'_>, folder: &Path) -> Self {
        let mut config = Self {
            node_name: read.optional("node_name"),
            listen: read.setting("listen"),
            admin_listen: read.optional("admin.listen"),
            socket_mode: read.setting("socket_mode"),
            tls: tls(read),
            api_keys: api_keys::read_all(read, folder),
            hosts: read.list_or_none("hosts").unwrap_or_default(),
            insecure: read.flag("insecure"),
            data_dir: read.path("data_dir"),
            credentials_dir: read.optional_path("credentials_dir"),
            key_files: read.paths("credentials.key_files").unwrap_or_default(),
            store: store::read_all(read),
            cluster: cluster::read_all(read),
            apple: apple(read),
            limits: limits(read),
            compat: Compat {
                clear_on_read: read.flag("compat.clear_on_read"),
                early_expiry_is_zero: read.flag("compat.early_expiry_is_zero"),
                v05_shapes: read.flag("compat.v05_shapes"),
            },
            autoprovision: configured_apps::read_all(read, folder),
            reload_every: Some(Duration::from_secs(read.number("reload_seconds", 0..=3600)))
                .filter(|every| !every.is_zero()),
            drain_budget: Duration::from_secs(read.number("drain_seconds", 1..=3600)),
            log: logging::Config { format: read.setting("log.format"), level: read.setting("log.level") },
            access: read.setting("log.access"),
            metrics: AppMetrics {
                apps: read.number("metrics.apps", 0..=100_000) as usize,
                app_latency: read.flag("metrics.app_latency"),
            },
            core_dumps: read.flag("core_dumps"),
            settings: Settings::default(),
            notices: read.take_notices(),
        };
        config.settings = read.take_effective();
        config.check_combinations(read);
        config
    }

    /// Checks settings against each other.
    fn check_combinations(&mut self, read: &mut Reader<'_>) {
        cluster::check(self, read);
        let listeners = [("listen", Some(&self.listen)), ("admin.listen", self.admin_listen.as_ref())];
        for (key, address) in listeners {
            if address.is_some_and(|address| !address.is_local()) && self.api_keys.is_empty() && !self.insecure {
                let what = "other machines can reach this address and there are no API keys: make one with `pyapns \
                            key`, or listen on 127.0.0.1, or set insecure = true if something else guards it";
                read.fault(key, what);
            }
        }
        if self.limits.drain_notice >= self.drain_budget {
            read.fault("drain_notice_seconds", "must be less than drain_seconds, of which it is a part");
        }
        if self.limits.in_flight_bytes < self.limits.body_bytes {
            read.fault(
                "limits.in_flight_bytes",
                "must be at least limits.body_bytes, or no body of that size can be read",
            );
        }
    }
}

fn tls(read: &mut Reader<'_>) -> Option<TlsFiles> {
    match (read.optional_path("tls.certificate"), read.optional_path("tls.key")) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        (None, None) => None,
        (certificate, _) => {
            let missing = if certificate.is_some() { "tls.key" } else { "tls.certificate" };
            read.fault(missing, "is missing: TLS needs a certificate and its key");
            None
        }
    }
}

fn apple(read: &mut Reader<'_>) -> Apple {
    let port = read.number("apple.port", 1..=u16::MAX);
    if port != 443 && port != 2197 {
        read.fault("apple.port", "must be 443 or 2197, the ports that Apple listens on");
    }
    let (sandbox, production) = (gateways(read, "apple.sandbox", None), gateways(read, "apple.production", None));
    let mut channels = |key, environment, devices: &Option<Vec<Endpoint>>| {
        let apples = || devices.is_none().then(|| Endpoint::apple_channels(environment)).into_iter().collect();
        gateways(read, key, None).unwrap_or_else(apples)
    };
    let sandbox_channels = channels("apple.sandbox_channels", Environment::Sandbox, &sandbox);
    let production_channels = channels("apple.production_channels", Environment::Production, &production);
    let mut broadcasts = |key, environment| gateways(read, key, Some(environment));
    let sandbox_broadcasts = broadcasts("apple.sandbox_broadcasts", Environment::Sandbox);
    let production_broadcasts = broadcasts("apple.production_broadcasts", Environment::Production);
    let apples = |environment| vec![Endpoint::apple(environment, port)];
    let sandbox = sandbox.unwrap_or_else(|| apples(Environment::Sandbox));
    let production = production.unwrap_or_else(|| apples(Environment::Production));
    Apple {
        sandbox_broadcasts: sandbox_broadcasts.unwrap_or_else(|| sandbox.clone()),
        production_broadcasts: production_broadcasts.unwrap_or_else(|| production.clone()),
        sandbox,
        production,
        sandbox_channels,
        production_channels,
        proxy: read.optional("apple.proxy"),
        connections: read.number("apple.connections", 1..=1000) as usize,
        ca_file: read.optional_path("apple.ca_file"),
    }
}

/// The gateways of a setting. Only a setting for the broadcasts of an environment may name Apple's host for them.
fn gateways(read: &mut Reader<'_>, key: &'static str, broadcasts: Option<Environment>) -> Option<Vec<Endpoint>> {
    let endpoints: Vec<Endpoint> = read.list(key)?;
    let may_have = |endpoint: &Endpoint| {
        !endpoint.is_apple() || broadcasts.is_some_and(|environment| endpoint.is_apple_broadcasts(environment))
    };
    if !endpoints.iter().all(may_have) {
        read.fault(key, "names one of Apple's hosts for broadcasts: only the _broadcasts of its environment may");
    }
    Some(endpoints)
}

fn limits(read: &mut Reader<'_>) -> Limits {
    const MIB: u64 = 1 << 20;
    let seconds = 1..=3600;
    Limits {
        body_bytes: read.number("limits.body_bytes", 1024..=1024 * MIB) as usize,
        items: read.number("limits.items", 1..=1_000_000) as usize,
        in_flight_bytes: read.number("limits.in_flight_bytes", 1024..=MIB * MIB) as usize,
        in_flight_app_bytes: read.number("limits.in_flight_app_bytes", 1024..=MIB * MIB) as usize,
        header_list_bytes: read.number("limits.header_list_bytes", 1024..=MIB) as usize,
        connections: read.number("limits.connections", 1..=1_000_000) as usize,
        connections_per_address: read.number("limits.connections_per_address", 1..=1_000_000) as usize,
        shared_addresses: read.list("limits.shared_addresses").unwrap_or_else(|| Network::LOOPBACK.into()),
        requests: read.number("limits.requests", 1..=1_000_000) as usize,
        streams_per_connection: read.number("limits.streams_per_connection", 1..=10_000) as u32,
        header_timeout: Duration::from_secs(read.number("limits.header_seconds", seconds.clone())),
        idle_timeout: Duration::from_secs(read.number("limits.idle_seconds", seconds.clone())),
        write_timeout: Duration::from_secs(read.number("limits.write_seconds", seconds)),
        drain_notice: Duration::from_secs(read.number("drain_notice_seconds", 0..=600)),
    }
}

#[cfg(test)]
mod tests;
