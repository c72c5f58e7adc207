//! The endpoint of a gateway: Apple's host, or one in place of it.

use crate::model::Environment;
use std::fmt;
use std::str::FromStr;

/// Apple's hosts for device pushes (apns-protocol.md 1).
const SANDBOX_HOST: &str = "api.sandbox.push.apple.com";
const PRODUCTION_HOST: &str = "api.push.apple.com";
/// Apple's hosts for the management of broadcast channels, with their ports (apns-protocol.md 1).
const SANDBOX_CHANNELS: (&str, u16) = ("api-manage-broadcast.sandbox.push.apple.com", 2195);
const PRODUCTION_CHANNELS: (&str, u16) = ("api-manage-broadcast.push.apple.com", 2196);
/// Apple's hosts for broadcasts alone, which its pages also name. A setting may name them.
const SANDBOX_BROADCASTS: &str = "api-broadcast.sandbox.push.apple.com";
const PRODUCTION_BROADCASTS: &str = "api-broadcast.push.apple.com";
const HTTPS_PORT: u16 = 443;

const FORM: &str = "must look like https://HOST:PORT";

/// A gateway's host and port. The host is also the name that its certificate must have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A name or an address; IPv6 without brackets.
    host: String,
    port: u16,
}

impl Endpoint {
    /// Apple's gateway; `port` is 443 or 2197.
    pub fn apple(environment: Environment, port: u16) -> Self {
        let host = match environment {
            Environment::Sandbox => SANDBOX_HOST,
            Environment::Production => PRODUCTION_HOST,
        };
        Self { host: host.to_owned(), port }
    }

    /// Apple's gateway for the management of broadcast channels.
    pub fn apple_channels(environment: Environment) -> Self {
        let (host, port) = match environment {
            Environment::Sandbox => SANDBOX_CHANNELS,
            Environment::Production => PRODUCTION_CHANNELS,
        };
        Self { host: host.to_owned(), port }
    }

    /// A name or an address; IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of `:authority`, with the port only if it is not the scheme's default.
    pub fn authority(&self) -> String {
        match (self.host.contains(':'), self.port) {
            (false, HTTPS_PORT) => self.host.clone(),
            (true, HTTPS_PORT) => format!("[{}]", self.host),
            _ => self.to_string(),
        }
    }

    /// Returns true for Apple's hosts, for which the public authorities are trusted.
    pub fn is_apple(&self) -> bool {
        let [devices, channels] = [[SANDBOX_HOST, PRODUCTION_HOST], [SANDBOX_CHANNELS.0, PRODUCTION_CHANNELS.0]];
        let broadcasts = [SANDBOX_BROADCASTS, PRODUCTION_BROADCASTS];
        [devices, channels, broadcasts].as_flattened().contains(&self.host.as_str())
    }

    /// Returns true for Apple's host for the broadcasts of this environment.
    pub fn is_apple_broadcasts(&self, environment: Environment) -> bool {
        self.host
            == match environment {
                Environment::Sandbox => SANDBOX_BROADCASTS,
                Environment::Production => PRODUCTION_BROADCASTS,
            }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(out, "{open}{}{close}:{}", self.host, self.port)
    }
}

impl FromStr for Endpoint {
    type Err = &'static str;

    /// Parses `https://HOST:PORT`; without a port, 443. Refuses Apple's hosts, except those for broadcasts, which only some
    /// settings may have.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: http::Uri = text.parse().map_err(|_| FORM)?;
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !text.contains('@');
        if uri.scheme_str() != Some("https") || !bare {
            return Err(FORM);
        }
        let authority = uri.authority().ok_or(FORM)?;
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => HTTPS_PORT,
            Some(port) => port.trim_start_matches(':').parse().map_err(|_| FORM)?,
            None => return Err(FORM),
        };
        let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        // Another notation of Apple's hosts would bypass their special treatment, and mix up the environments. A
        // trailing dot does not change the meaning of a name.
        let name = host.strip_suffix('.').unwrap_or(&host);
        let is_of_broadcasts = [SANDBOX_BROADCASTS, PRODUCTION_BROADCASTS].contains(&host.as_str());
        if (name == "apple.com" || name.ends_with(".apple.com")) && !is_of_broadcasts {
            return Err("Apple's hosts are the default: leave the setting out, and choose the port with apple.port");
        }
        if name.is_empty() || port == 0 { Err(FORM) } else { Ok(Self { host, port }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_host_and_a_port() {
        let read = |text: &str| text.parse::<Endpoint>().map(|endpoint| (endpoint.host, endpoint.port));
        assert_eq!(read("https://localhost:2197"), Ok(("localhost".to_owned(), 2197)));
        assert_eq!(read("https://Proxy.example/"), Ok(("proxy.example".to_owned(), 443)));
        assert_eq!(read("https://[::1]:9"), Ok(("::1".to_owned(), 9)));
    }

    #[test]
    fn the_authority_has_the_port_only_if_it_is_not_the_default() {
        for (url, authority) in [
            ("https://h:443", "h"),
            ("https://h:2197", "h:2197"),
            ("https://[::1]", "[::1]"),
            ("https://[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(url.parse::<Endpoint>().map(|endpoint| endpoint.authority()), Ok(authority.to_owned()), "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for text in [
            "",
            "localhost:1",
            "http://h:1",
            "https://",
            "https://h:0",
            "https://h/path",
            "https://u:p@h",
            "https://h:x",
            "https://.",
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(FORM), "{text}");
        }
    }

    #[test]
    fn apples_hosts_are_refused_in_every_notation() {
        for text in [
            "https://api.push.apple.com",
            "https://api.push.apple.com.",
            "https://API.sandbox.push.Apple.com.:2197",
            "https://apple.com./",
        ] {
            assert!(text.parse::<Endpoint>().unwrap_err().starts_with("Apple's hosts"), "{text}");
        }
        assert!("https://apple.com.example".parse::<Endpoint>().is_ok());
    }
}
