//! Where Apple's gateway is: its own hosts, or another address for a simulator or a private gateway.

use crate::model::Environment;
use std::fmt;

/// Apple's hosts for device pushes (`apns-protocol` 1).
const SANDBOX_HOST: &str = "api.sandbox.push.apple.com";
const PRODUCTION_HOST: &str = "api.push.apple.com";

/// A gateway's host and port. The host is also the name its certificate must carry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// Why a text is no gateway address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no gateway address: write https://HOST:PORT, without a path")]
pub struct BadEndpoint(String);

impl Endpoint {
    /// Apple's own gateway; `port` is 443 or 2197.
    pub fn apple(environment: Environment, port: u16) -> Self {
        let host = match environment {
            Environment::Sandbox => SANDBOX_HOST,
            Environment::Production => PRODUCTION_HOST,
        };
        Self { host: host.to_owned(), port }
    }

    /// Reads `https://HOST:PORT`; the port may be left out (443), IPv6 addresses stand in brackets.
    pub fn parse(text: &str) -> Result<Self, BadEndpoint> {
        let bad = || BadEndpoint(text.to_owned());
        let uri: http::Uri = text.parse().map_err(|_| bad())?;
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(bad)?;
        if uri.scheme_str() != Some("https") || !bare || authority.host().is_empty() {
            return Err(bad());
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => 443,
            _ => authority.port_u16().filter(|port| *port != 0).ok_or_else(bad)?,
        };
        Ok(Self { host: authority.host().to_owned(), port })
    }

    /// The host's name or address, without brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What goes into `:authority`: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        if self.port == 443 { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Whether this is a host of Apple's, which is trusted by the public roots.
    pub fn is_apple(&self) -> bool {
        self.host == "push.apple.com" || self.host.ends_with(".push.apple.com")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_host_and_port() {
        let endpoint = Endpoint::parse("https://localhost:8443").unwrap();
        assert_eq!((endpoint.host(), endpoint.port()), ("localhost", 8443));
        assert_eq!(endpoint.authority(), "localhost:8443");
        assert_eq!(Endpoint::parse("https://[::1]:8443/").unwrap().host(), "::1");
        assert_eq!(Endpoint::parse("https://gateway.example").unwrap().authority(), "gateway.example");
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_text() {
        for text in
            ["", "localhost:1", "http://localhost:1", "https://a/b", "https://u:p@a", "https://a:0", "https://a:x"]
        {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_hosts_of_apples_domain_are_apples() {
        assert!(Endpoint::apple(Environment::Production, 2197).is_apple());
        assert!(!Endpoint::parse("https://api.push.apple.com.evil.example").unwrap().is_apple());
    }
}
