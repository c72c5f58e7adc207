//! `[cluster]`: the nodes that share a store and forward notifications to each other.

use super::Config;
use super::reader::Reader;
use super::store::refuse_without_url;
use crate::http::server::address::Address;
use crate::network::Network;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The shortest notice of a drain that a cluster does well with: the other nodes take over within it.
const DRAIN_NOTICE_MIN: Duration = Duration::from_secs(3);

/// Settings that a shared store needs, each with the sentence that says what to give.
const NEEDED: [(&str, &str); 5] = [
    ("node_name", "each node needs a name of its own, such as \"push-1\""),
    ("credentials.key_files", "all nodes need the same keys: `pyapns cluster init DIR` makes one"),
    ("cluster.listen", "it is the address on which other nodes reach this one, such as \"10.0.0.1:8090\""),
    ("cluster.allow", "it lists the networks of the nodes, such as [\"10.0.0.0/24\"]"),
    ("cluster.identity_files", "all nodes need the same identity: `pyapns cluster init DIR` makes one"),
];

/// Settings that have no effect without a shared store.
const OF_CLUSTER: [&str; 4] = ["cluster.listen", "cluster.advertise", "cluster.allow", "cluster.identity_files"];

/// The way from node to node. Complete where there is a shared store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The address on which other nodes reach this one.
    pub listen: Option<SocketAddr>,
    /// The address that other nodes connect to; `None` = `listen`.
    pub advertise: Option<HostPort>,
    /// Networks of the nodes: connections from and to other addresses are refused.
    pub allow: Vec<Network>,
    /// PEM files with certificate and key: the first is shown, all are accepted.
    pub identity_files: Vec<PathBuf>,
    /// The share of apps, in proportion to the weights of the other nodes: 1 to 16.
    pub weight: u8,
}

/// A host, by IP address or DNS name, and a port, for others to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Without brackets.
    pub host: String,
    pub port: u16,
}

impl HostPort {
    /// The IP address; `None` for a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Returns true for an address of loopback, and for the names that RFC 6761 keeps for it.
    fn is_loopback(&self) -> bool {
        let name = self.host.trim_end_matches('.').to_ascii_lowercase();
        let is_name = name == "localhost" || name.ends_with(".localhost");
        self.ip().map_or(is_name, |ip| ip.to_canonical().is_loopback())
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(out, "[{host}]:{port}") } else { write!(out, "{host}:{port}") }
    }
}

impl FromStr for HostPort {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHAT: &str = "it must be an IP address or a name, and a port: 10.0.0.1:8090, [2001:db8::1]:8090, \
                            push-1.example.com:8090";
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or(WHAT)?;
        let is_label = |label: &str| {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(is_letter)
        };
        let is_name = host.len() <= 253 && host.trim_end_matches('.').split('.').all(is_label);
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        let is_address = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let port = port.parse().ok().filter(|_| is_number && is_name && !is_address).ok_or(WHAT)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl ClusterConfig {
    /// The address that other nodes connect to.
    pub fn advertised(&self) -> Option<HostPort> {
        self.advertise.clone().or_else(|| self.listen.map(HostPort::from))
    }

    /// The reason that other nodes cannot connect to the advertised address, if there is one.
    fn unreachable(&self, advertised: &HostPort) -> Option<String> {
        let name_it = "set cluster.advertise to the address that other nodes connect to";
        let ip = advertised.ip().map(|ip| ip.to_canonical());
        if advertised.port == 0 || ip.is_some_and(is_of_nobody) {
            Some(format!("other nodes cannot connect to {advertised}: {name_it}"))
        } else if advertised.is_loopback() && !self.is_one_machine() {
            Some(format!(
                "{advertised} is this machine only, and cluster.allow names networks of other machines: {name_it}"
            ))
        } else {
            None
        }
    }

    /// The reason that no node reaches this one at `cluster.listen`, though it advertises a good address.
    fn deaf(&self, listen: SocketAddr) -> Option<String> {
        let ip = listen.ip().to_canonical();
        if listen.port() == 0 {
            Some("port 0 is another port after each start, which no node can know: name a port".to_owned())
        } else if ip.is_loopback() && !self.allow.is_empty() && !self.allow.iter().any(|network| network.holds(ip)) {
            Some(format!(
                "only this machine connects to {listen}, and cluster.allow does not hold it: listen on the address that other nodes connect to"
            ))
        } else {
            None
        }
    }

    /// Returns true if all nodes are on this machine.
    fn is_one_machine(&self) -> bool {
        self.allow.iter().all(|network| Network::LOOPBACK.iter().any(|loopback| network.lies_in(*loopback)))
    }
}

/// Returns true for an address that no single machine has: 0.0.0.0 and `::`, multicast, broadcast.
fn is_of_nobody(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Returns true if both cannot be bound at once.
fn is_same_listener(one: SocketAddr, other: SocketAddr) -> bool {
    let (one_ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    // `::` also takes connections over IPv4.
    let covers = |all: IpAddr, one: IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    one.port() == other.port()
        && one.port() != 0
        && (one_ip == other_ip || covers(one_ip, other_ip) || covers(other_ip, one_ip))
}

pub(super) fn read_all(read: &mut Reader<'_>) -> ClusterConfig {
    ClusterConfig {
        listen: read.optional::<Listen>("cluster.listen").map(|Listen(address)| address),
        advertise: read.optional("cluster.advertise"),
        allow: read.list("cluster.allow").unwrap_or_default(),
        identity_files: read.paths("cluster.identity_files").unwrap_or_default(),
        weight: read.number("cluster.weight", 1..=16),
    }
}

struct Listen(SocketAddr);

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "it must be an IP address and a port, 10.0.0.1:8090 or [2001:db8::1]:8090")
    }
}

/// Checks what a shared store needs, and what needs a shared store. Reports everything that is missing. Call it after
/// all settings were read.
pub(super) fn check(config: &mut Config, read: &mut Reader<'_>) {
    let settings = config.settings.clone();
    let is_given = |key: &str| settings.0.get(key).is_some_and(|text| !text.is_empty());
    if !is_given("store.url") {
        refuse_without_url(read, is_given);
        for key in OF_CLUSTER.into_iter().filter(|key| is_given(key)) {
            read.fault(
                key,
                "a cluster needs a shared store, and store.url names none: set store.url, or leave this out",
            );
        }
        return;
    }
    for (key, advice) in NEEDED.into_iter().filter(|(key, _)| !is_given(key)) {
        read.fault(key, &format!("it is missing, and a shared store needs it: {advice}"));
    }
    check_addresses(config, read);
    if config.limits.drain_notice < DRAIN_NOTICE_MIN {
        config.notices.push(format!(
            "drain_notice_seconds is {}: in a cluster the other nodes take over during this time, and load balancers must notice; set it to {} or more",
            config.limits.drain_notice.as_secs(),
            DRAIN_NOTICE_MIN.as_secs()
        ));
    }
}

/// Checks that other nodes can connect to this one.
fn check_addresses(config: &mut Config, read: &mut Reader<'_>) {
    let cluster = &config.cluster;
    let (Some(listen), Some(advertised)) = (cluster.listen, cluster.advertised()) else { return };
    let unreachable = cluster.unreachable(&advertised);
    // Without cluster.advertise, both faults have one cause.
    if let Some(why) = cluster.deaf(listen).filter(|_| unreachable.is_none() || cluster.advertise.is_some()) {
        read.fault("cluster.listen", &why);
    }
    let callers = [("listen", Some(&config.listen)), ("admin.listen", config.admin_listen.as_ref())];
    for (key, address) in callers {
        if let Some(Address::Tcp(address)) = address
            && is_same_listener(listen, *address)
        {
            read.fault("cluster.listen", &format!("{listen} is already the address of {key}: give it another port"));
        }
    }
    if let Some(why) = unreachable {
        read.fault("cluster.advertise", &why);
    } else if let Some(ip) = advertised.ip()
        && !cluster.allow.is_empty()
        && !cluster.allow.iter().any(|network| network.holds(ip))
    {
        config.notices.push(format!(
            "nodes connect only to addresses in their cluster.allow, and {advertised} is not in that of this node: add its network on every node"
        ));
    }
}
