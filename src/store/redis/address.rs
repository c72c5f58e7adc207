//! The URL of a Redis server, or of the Sentinels that know it.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The place of the shared store. It never holds a secret: [`Self::parse`] refuses a URL with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) place: Place,
    /// The number of the database on the server.
    pub(super) db: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Server {
        server: HostPort,
        tls: bool,
    },
    Unix {
        path: PathBuf,
    },
    /// Sentinels are asked for the server that is `master` at the time.
    Sentinel {
        sentinels: Vec<HostPort>,
        master: String,
        tls: bool,
    },
}

/// A host, without brackets where it is an IPv6 address, and a TCP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPort {
    pub host: String,
    pub port: u16,
}

impl HostPort {
    fn is_loopback(&self) -> bool {
        self.host.parse::<IpAddr>().map_or(self.host == "localhost", |ip| ip.to_canonical().is_loopback())
    }
}

/// A URL that names no usable place. The sentences never repeat the URL, because it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRedisUrl {
    #[error(
        "store.url must begin with redis://, rediss:// (TLS), redis+unix://, redis+sentinel:// or rediss+sentinel:// (TLS)"
    )]
    Scheme,
    #[error(
        "store.url must not hold a user or a password, which every list of processes would show: write the password into a file, name that in store.password_file, and the user in store.username"
    )]
    Secret,
    #[error(
        "store.url names a Redis Cluster, whose keys are on several servers: use one Redis server (redis://host:port) or Sentinel (redis+sentinel://host:port,host:port/name)"
    )]
    Cluster,
    #[error("store.url names several servers: only redis+sentinel://host:port,host:port/name may")]
    SeveralServers,
    #[error(
        "store.url needs a host and a port from 1 to 65535, as in redis://10.0.0.5:6379/0; an IPv6 address is in brackets"
    )]
    Host,
    #[error("the database in store.url must be a number from 0 to 65535, as in redis://10.0.0.5:6379/0")]
    Database,
    #[error(
        "store.url needs the name of the master after its Sentinels, as in redis+sentinel://a:26379,b:26379/mymaster"
    )]
    MasterName,
    #[error("store.url needs the absolute path of a socket, as in redis+unix:///run/redis/redis.sock")]
    SocketPath,
    #[error("store.url has a part after `?` or `#` that is unknown: only redis+unix:///path?db=N may have one")]
    Parameter,
}

impl RedisUrl {
    /// Reads `redis://host:port/db`, `rediss://host:port/db`, `redis+unix:///path?db=N` (also `unix://`),
    /// `redis+sentinel://host:port,host:port/name/db` or `rediss+sentinel://…`. Port (6379; Sentinel 26379) and
    /// database (0) may be left out.
    pub fn parse(url: &str) -> Result<Self, BadRedisUrl> {
        let (scheme, rest) = url.split_once("://").ok_or(BadRedisUrl::Scheme)?;
        match scheme {
            "redis" | "rediss" => Self::server(rest, scheme == "rediss"),
            "redis+sentinel" | "rediss+sentinel" => Self::sentinel(rest, scheme.starts_with("rediss")),
            "redis+unix" | "unix" => Self::unix(rest),
            "redis+cluster" | "rediss+cluster" | "redis-cluster" | "rediss-cluster" => Err(BadRedisUrl::Cluster),
            _ => Err(BadRedisUrl::Scheme),
        }
    }

    fn server(rest: &str, tls: bool) -> Result<Self, BadRedisUrl> {
        let (servers, path) = without_secret(rest)?;
        if servers.contains(',') {
            return Err(BadRedisUrl::SeveralServers);
        }
        Ok(Self { place: Place::Server { server: HostPort::parse(servers, REDIS_PORT)?, tls }, db: database(path)? })
    }

    fn sentinel(rest: &str, tls: bool) -> Result<Self, BadRedisUrl> {
        let (sentinels, path) = without_secret(rest)?;
        let (master, db) = path.split_once('/').unwrap_or((path, ""));
        if master.is_empty() || !master.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadRedisUrl::MasterName);
        }
        let sentinels =
            sentinels.split(',').map(|one| HostPort::parse(one, SENTINEL_PORT)).collect::<Result<_, _>>()?;
        Ok(Self { place: Place::Sentinel { sentinels, master: master.to_owned(), tls }, db: database(db)? })
    }

    fn unix(rest: &str) -> Result<Self, BadRedisUrl> {
        let (path, db) = match rest.split_once('?') {
            Some((path, parameter)) => (path, parameter.strip_prefix("db=").ok_or(BadRedisUrl::Parameter)?),
            None => (rest, ""),
        };
        if !path.starts_with('/') || path.len() < 2 {
            return Err(BadRedisUrl::SocketPath);
        }
        Ok(Self { place: Place::Unix { path: path.into() }, db: database(db)? })
    }

    /// Returns true for `rediss://` and `rediss+sentinel://`.
    pub fn is_tls(&self) -> bool {
        matches!(self.place, Place::Server { tls: true, .. } | Place::Sentinel { tls: true, .. })
    }

    /// Returns true for a socket, or an address of loopback: nobody else can read the connection.
    pub fn is_local(&self) -> bool {
        match &self.place {
            Place::Unix { .. } => true,
            Place::Server { server, .. } => server.is_loopback(),
            // The primary may be anywhere.
            Place::Sentinel { .. } => false,
        }
    }
}

/// The authority and the path of the part after `://`.
fn without_secret(rest: &str) -> Result<(&str, &str), BadRedisUrl> {
    // A password may hold any of `/?#`, so this looks at the whole of it.
    if rest.contains('@') {
        return Err(BadRedisUrl::Secret);
    }
    if rest.contains(['?', '#']) {
        return Err(BadRedisUrl::Parameter);
    }
    Ok(rest.split_once('/').unwrap_or((rest, "")))
}

fn database(text: &str) -> Result<u16, BadRedisUrl> {
    if text.is_empty() {
        return Ok(0);
    }
    number(text).ok_or(BadRedisUrl::Database)
}

/// A number of digits only: `u16::from_str` would take a sign.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl HostPort {
    fn parse(text: &str, default_port: u16) -> Result<Self, BadRedisUrl> {
        let (host, port) = match text.strip_prefix('[') {
            Some(bracketed) => {
                let (host, port) = bracketed.split_once(']').ok_or(BadRedisUrl::Host)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| BadRedisUrl::Host)?;
                (host, port.strip_prefix(':').or(port.is_empty().then_some("")))
            }
            None => text.split_once(':').map_or((text, Some("")), |(host, port)| (host, Some(port))),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_name) {
            return Err(BadRedisUrl::Host);
        }
        let port = match port.ok_or(BadRedisUrl::Host)? {
            "" => default_port,
            port => number(port).filter(|port| *port > 0).ok_or(BadRedisUrl::Host)?,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl FromStr for RedisUrl {
    type Err = BadRedisUrl;

    fn from_str(url: &str) -> Result<Self, BadRedisUrl> {
        Self::parse(url)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(out, "[{host}]:{port}") } else { write!(out, "{host}:{port}") }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.is_tls() { "s" } else { "" };
        match (&self.place, self.db) {
            (Place::Server { server, .. }, db) => write!(out, "redis{s}://{server}/{db}"),
            (Place::Unix { path }, 0) => write!(out, "redis+unix://{}", path.display()),
            (Place::Unix { path }, db) => write!(out, "redis+unix://{}?db={db}", path.display()),
            (Place::Sentinel { sentinels, master, .. }, db) => {
                let sentinels = sentinels.iter().map(HostPort::to_string).collect::<Vec<_>>().join(",");
                write!(out, "redis{s}+sentinel://{sentinels}/{master}")?;
                if db == 0 { Ok(()) } else { write!(out, "/{db}") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_printed_as_it_is_meant() {
        for (url, printed) in [
            ("redis://localhost", "redis://localhost:6379/0"),
            ("redis://10.0.0.5:7000/3", "redis://10.0.0.5:7000/3"),
            ("redis://[::1]:7000", "redis://[::1]:7000/0"),
            ("redis://[2001:db8::1]/", "redis://[2001:db8::1]:6379/0"),
            ("rediss://redis.example.com/", "rediss://redis.example.com:6379/0"),
            ("redis+unix:///run/redis.sock", "redis+unix:///run/redis.sock"),
            ("unix:///run/a@b.sock?db=2", "redis+unix:///run/a@b.sock?db=2"),
            ("redis+sentinel://a,b:7,[::1]:8/main", "redis+sentinel://a:26379,b:7,[::1]:8/main"),
            ("rediss+sentinel://a:1/main/4", "rediss+sentinel://a:1/main/4"),
        ] {
            let read = RedisUrl::parse(url).unwrap();
            assert_eq!(read.to_string(), printed);
            assert_eq!(RedisUrl::parse(printed), Ok(read), "what is printed can be read again");
        }
    }

    #[test]
    fn only_a_socket_and_loopback_are_local() {
        for url in ["redis://localhost", "redis://127.0.0.9:1", "redis://[::1]", "redis+unix:///run/redis.sock"] {
            assert!(RedisUrl::parse(url).unwrap().is_local(), "{url}");
        }
        for url in ["redis://10.0.0.5", "rediss://redis.example.com", "redis+sentinel://localhost/main"] {
            assert!(!RedisUrl::parse(url).unwrap().is_local(), "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_work_is_refused_with_its_cause() {
        use BadRedisUrl as B;
        for (url, why) in [
            ("", B::Scheme),
            ("localhost:6379", B::Scheme),
            ("http://localhost", B::Scheme),
            ("redis://", B::Host),
            ("redis://a:0", B::Host),
            ("redis://a:65536", B::Host),
            ("redis://a:+1", B::Host),
            ("redis://a b", B::Host),
            ("redis://::1:6379", B::Host),
            ("redis://[::1", B::Host),
            ("redis://[::1]6379", B::Host),
            ("redis://[nonsense]:1", B::Host),
            ("redis://a/x", B::Database),
            ("redis://a/-1", B::Database),
            ("redis://a/0/1", B::Database),
            ("redis://a?password=x", B::Parameter),
            ("redis://a,b", B::SeveralServers),
            ("redis+cluster://a", B::Cluster),
            ("redis+sentinel://a", B::MasterName),
            ("redis+sentinel://a/", B::MasterName),
            ("redis+sentinel://a,,b/main", B::Host),
            ("redis+unix://run/redis.sock", B::SocketPath),
            ("redis+unix:///", B::SocketPath),
            ("redis+unix:///a?password=x", B::Parameter),
        ] {
            assert_eq!(RedisUrl::parse(url), Err(why), "{url}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_never_repeated() {
        for url in [
            "redis://user:hunter2@localhost",
            "redis://:hunter2@localhost:6379/0",
            "redis://:hunter2/x@localhost",
            "rediss://hunter2@localhost",
            "redis+sentinel://:hunter2@a:26379/main",
            "redis://:hunter2?#@localhost",
        ] {
            let refused = RedisUrl::parse(url).unwrap_err();
            assert_eq!(refused, BadRedisUrl::Secret, "{url}");
            assert!(refused.to_string().contains("store.password_file"));
        }
        for url in ["redis://localhost:hunter2", "redis://localhost/hunter2", "hunter2", "hunter2://a"] {
            let refused = RedisUrl::parse(url).unwrap_err();
            assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{url}");
        }
    }
}
