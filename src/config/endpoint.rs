//! Where one of Apple's two gateways is: Apple's own host, or a stand-in for it.

use std::str::FromStr;

const APPLE_SANDBOX: &str = "api.sandbox.push.apple.com";
const APPLE_PRODUCTION: &str = "api.push.apple.com";
const HTTPS_PORT: u16 = 443;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    pub fn apple_sandbox(port: u16) -> Self {
        Self { host: APPLE_SANDBOX.to_owned(), port }
    }

    pub fn apple_production(port: u16) -> Self {
        Self { host: APPLE_PRODUCTION.to_owned(), port }
    }

    /// Whether it is Apple's own host, which the public authorities vouch for.
    pub fn is_apple(&self) -> bool {
        self.host == APPLE_SANDBOX || self.host == APPLE_PRODUCTION
    }
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "it has to look like https://HOST:PORT";
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
        // A second name for them would get past what is known of Apple's hosts, and mix up the environments.
        if host == "apple.com" || host.ends_with(".apple.com") {
            return Err(
                "Apple's own hosts are the default: leave the setting out, and choose the port with apple.port",
            );
        }
        if host.is_empty() || port == 0 { Err(FORM) } else { Ok(Self { host, port }) }
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
    fn what_is_no_such_url_is_refused() {
        for text in [
            "",
            "localhost:1",
            "http://h:1",
            "https://",
            "https://h:0",
            "https://h/path",
            "https://u:p@h",
            "https://h:x",
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err("it has to look like https://HOST:PORT"), "{text}");
        }
        assert!("https://api.push.apple.com".parse::<Endpoint>().unwrap_err().starts_with("Apple's own hosts"));
    }
}
