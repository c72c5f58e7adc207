//! The settings of a node: one TOML file over the compiled-in defaults, and `PYAPNS_…` over both.

mod reader;

pub use reader::{Fault, Faults};

use crate::api::Limits;
use crate::apns::connect::Proxy;
use crate::apns::endpoint::Endpoint;
use crate::model::Environment;
use crate::telemetry::logging;
use reader::Reader;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Documented, and the one place of every default.
pub const DEFAULTS: &str = include_str!("config/default.toml");

/// Everything a node can be told before it starts. Valid once read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub listen: SocketAddr,
    /// The operator answers for who can reach a `listen` that is not loopback.
    pub insecure: bool,
    pub data_dir: PathBuf,
    /// Where certificate paths given over the API may point; `None` = nowhere.
    pub credentials_dir: Option<PathBuf>,
    /// Keys for stored credentials: the first seals, all open. None = one of the node's own, in `data_dir`.
    pub key_files: Vec<PathBuf>,
    pub apple: Apple,
    pub limits: Limits,
    pub log: logging::Config,
}

/// Where Apple is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apple {
    /// One at least; the others are used when it cannot be reached.
    pub sandbox: Vec<Endpoint>,
    /// As for the sandbox.
    pub production: Vec<Endpoint>,
    /// What every connection goes through.
    pub proxy: Option<Proxy>,
    /// Most connections of one app.
    pub connections: usize,
    /// PEM. Added to the trust for Apple's hosts, and the only trust for any other.
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
    /// Every fault of the file and the variables is reported at once.
    pub fn read(file: Option<File<'_>>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut read = Reader::new(file, variable);
        let config = Self {
            listen: read.setting("listen"),
            insecure: read.setting("insecure"),
            data_dir: read.setting("data_dir"),
            credentials_dir: read.optional("credentials_dir"),
            key_files: read.list("credentials.key_files").unwrap_or_default(),
            apple: apple(&mut read),
            limits: limits(&mut read),
            log: logging::Config { format: read.setting("log.format"), level: read.setting("log.level") },
        };
        config.check(&mut read);
        read.finish(config)
    }

    /// What no setting shows alone.
    fn check(&self, read: &mut Reader<'_>) {
        if !self.listen.ip().is_loopback() && !self.insecure {
            let what = "other machines can reach this address and there are no API keys yet: listen on 127.0.0.1, or set \
                        insecure = true if something else guards it";
            read.fault("listen", what);
        }
        if self.limits.in_flight_bytes < self.limits.body_bytes {
            read.fault(
                "limits.in_flight_bytes",
                "it is less than limits.body_bytes, so that no large body could be read",
            );
        }
    }
}

fn apple(read: &mut Reader<'_>) -> Apple {
    let port = read.setting("apple.port");
    if port != 443 && port != 2197 {
        read.fault("apple.port", "Apple listens on 443 and 2197");
    }
    let apples_own = |environment| vec![Endpoint::apple(environment, port)];
    Apple {
        sandbox: read.list("apple.sandbox").unwrap_or_else(|| apples_own(Environment::Sandbox)),
        production: read.list("apple.production").unwrap_or_else(|| apples_own(Environment::Production)),
        proxy: read.optional("apple.proxy"),
        connections: number(read, "apple.connections", 1..=1000) as usize,
        ca_file: read.optional("apple.ca_file"),
    }
}

fn limits(read: &mut Reader<'_>) -> Limits {
    const MIB: u64 = 1 << 20;
    let seconds = 1..=3600;
    Limits {
        body_bytes: number(read, "limits.body_bytes", 1024..=1024 * MIB) as usize,
        items: number(read, "limits.items", 1..=1_000_000) as usize,
        in_flight_bytes: number(read, "limits.in_flight_bytes", 1024..=MIB * MIB) as usize,
        in_flight_app_bytes: number(read, "limits.in_flight_app_bytes", 1024..=MIB * MIB) as usize,
        header_list_bytes: number(read, "limits.header_list_bytes", 1024..=MIB) as usize,
        connections: number(read, "limits.connections", 1..=1_000_000) as usize,
        streams_per_connection: number(read, "limits.streams_per_connection", 1..=10_000) as u32,
        header_timeout: Duration::from_secs(number(read, "limits.header_seconds", seconds.clone())),
        idle_timeout: Duration::from_secs(number(read, "limits.idle_seconds", seconds.clone())),
        write_timeout: Duration::from_secs(number(read, "limits.write_seconds", seconds)),
    }
}

fn number(read: &mut Reader<'_>, key: &'static str, range: RangeInclusive<u64>) -> u64 {
    let number = read.setting(key);
    if !range.contains(&number) {
        read.fault(key, &format!("it has to be from {} to {}", range.start(), range.end()));
    }
    number
}

#[cfg(test)]
mod tests;
