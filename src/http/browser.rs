//! Refuses requests that a browser sends on behalf of somebody else's page.
//!
//! A page can have a browser send requests to any address that the browser reaches. Two attacks follow. A page whose
//! name resolves to the node's address (DNS rebinding) could read every response: `Host` has its name. A page under
//! another address could write, but not read: browsers set `Origin` and `Sec-Fetch-Site` on its requests.

use crate::http::head::Head;
use axum::http::StatusCode;
use axum::http::uri::Uri;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The maximum length of a DNS name, in bytes.
const NAME_BYTES_MAX: usize = 253;
/// The maximum length of a header's value in a refusal, in bytes.
const SHOWN_BYTES_MAX: usize = 256;

/// A host without its port, in lower case: a DNS name without the dot at its end, or an IP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(Box<str>);

impl HostName {
    fn is(&self, host: &str) -> bool {
        self.0.eq_ignore_ascii_case(host)
    }
}

impl FromStr for HostName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_name = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal);
        match bare.parse::<IpAddr>() {
            Ok(address) => Ok(Self(address.to_string().into())),
            Err(_) if is_name => Ok(Self(name.to_ascii_lowercase().into())),
            Err(_) => Err("must be a host's name without scheme and port, as in \"push.example.com\""),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The reasons to refuse a browser's request. Each sentence names the setting that allows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrowserFault {
    #[error(
        "`{host}` is not a name of this node: call it by an IP address or as `localhost`, or add the name to the setting \
         `hosts`"
    )]
    Host { host: String },
    #[error(
        "a page of `{origin}` may not send requests to this node: add its host to the setting `hosts` if you trust it"
    )]
    Origin { origin: String },
    #[error(
        "a browser sent this request for a page of another origin: call the node yourself, or add the page's host to the \
         setting `hosts` and have it send `Origin`"
    )]
    Site,
}

impl BrowserFault {
    pub fn status_and_reason(&self) -> (StatusCode, &'static str) {
        let reason = match self {
            Self::Host { .. } => "host_not_allowed",
            Self::Origin { .. } => "origin_not_allowed",
            Self::Site => "cross_site",
        };
        (StatusCode::FORBIDDEN, reason)
    }
}

/// The requests of browsers that a listener answers.
#[derive(Debug)]
pub struct BrowserPolicy {
    /// The names of this machine: `localhost` and its host name.
    own: Vec<HostName>,
    /// The setting `hosts`: more names of the node. Pages under these names may send requests.
    listed: Vec<HostName>,
    /// Callers must send a key. The only credential that a browser adds by itself is a remembered password, for the
    /// name that it was entered for.
    keys: bool,
    /// The first authority that was accepted: nearly all callers send the same.
    usual: OnceLock<Box<[u8]>>,
    logged: AtomicBool,
}

impl BrowserPolicy {
    /// `machine` is the machine's name, which is accepted with and without its domain.
    pub fn new(machine: Option<&str>, listed: Vec<HostName>, keys: bool) -> Self {
        let short = machine.and_then(|name| name.split('.').next());
        let own = ["localhost"].into_iter().chain(machine).chain(short).filter_map(|name| name.parse().ok());
        Self { own: own.collect(), listed, keys, usual: OnceLock::new(), logged: AtomicBool::new(false) }
    }

    /// Judges a request by its headers and its target, which has an authority in HTTP/2 and in absolute form.
    pub fn check(&self, uri: &Uri, head: &Head<'_>) -> Result<(), BrowserFault> {
        let checked = self.judge(uri, head);
        if let Err(fault) = &checked
            && !self.logged.swap(true, Relaxed)
        {
            // Logged once, or a page could fill the log.
            tracing::warn!(%fault, "a request was refused as a browser's; later ones are not logged");
        }
        checked
    }

    fn judge(&self, uri: &Uri, head: &Head<'_>) -> Result<(), BrowserFault> {
        if self.keys && !head.authorization.first.is_some_and(is_remembered) {
            return Ok(());
        }
        let target = uri.authority().map(|authority| authority.as_str().as_bytes());
        if !self.keys {
            for authority in [target, head.host.first].into_iter().flatten() {
                if !self.is_ours(authority) {
                    return Err(BrowserFault::Host { host: shown(authority) });
                }
            }
        }
        if let Some(origin) = head.origin.first {
            match page_of(origin).filter(|_| head.origin.count == 1) {
                Some(page) if self.listed.iter().any(|name| host_of(page).is_some_and(|host| name.is(host))) => {
                    return Ok(());
                }
                // The scheme may differ: a proxy may terminate TLS.
                Some(page) if target.or(head.host.first).is_some_and(|to| to.eq_ignore_ascii_case(page.as_bytes())) => {
                }
                _ => return Err(BrowserFault::Origin { origin: shown(origin) }),
            }
        }
        match head.fetch_site.first {
            None | Some(b"same-origin" | b"none") if head.fetch_site.count <= 1 => Ok(()),
            _ => Err(BrowserFault::Site),
        }
    }

    fn is_ours(&self, authority: &[u8]) -> bool {
        if self.usual.get().is_some_and(|usual| **usual == *authority) {
            return true;
        }
        let is_ours = self.names_us(authority);
        if is_ours {
            self.usual.get_or_init(|| authority.into());
        }
        is_ours
    }

    fn names_us(&self, authority: &[u8]) -> bool {
        let Some(host) = std::str::from_utf8(authority).ok().and_then(host_of) else { return false };
        let known = |names: &[HostName]| names.iter().any(|name| name.is(host));
        known(&self.own) || host.parse::<Ipv4Addr>().is_ok() || known(&self.listed) || is_ipv6(host)
    }
}

fn is_ipv6(host: &str) -> bool {
    // A zone names an interface of the caller, and most callers leave it out.
    host.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// The host of `host`, `host:port`, `[address]` or `[address]:port`, without a dot at its end. `None` for other text.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            if !is_ipv6(address) {
                return None;
            }
            (address, port.strip_prefix(':').or(port.is_empty().then_some(""))?)
        }
        None => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
            (host.strip_suffix('.').unwrap_or(host), port)
        }
    };
    (!host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)
}

/// The `host` or `host:port` of an `Origin`. `null` has none.
fn page_of(origin: &[u8]) -> Option<&str> {
    std::str::from_utf8(origin).ok()?.split_once("://").map(|(_, page)| page)
}

/// Returns true for a password, the only credential that browsers remember and add to requests of any page. They add no
/// bearer token.
fn is_remembered(authorization: &[u8]) -> bool {
    let scheme = authorization.trim_ascii_start().split(|byte| *byte == b' ').next();
    !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
}

fn shown(header: &[u8]) -> String {
    let plain = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' };
    header.iter().take(SHOWN_BYTES_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderMap;

    fn policy(listed: &[&str], keys: bool) -> BrowserPolicy {
        BrowserPolicy::new(Some("Push-1.example.org"), listed.iter().map(|name| name.parse().unwrap()).collect(), keys)
    }

    /// The reason of a refusal; `ok` for none.
    fn judged(policy: &BrowserPolicy, uri: &str, headers: &[(&'static str, &str)]) -> &'static str {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let judged = policy.check(&uri.parse().unwrap(), &Head::read(&map));
        judged.map_or_else(|fault| fault.status_and_reason().1, |()| "ok")
    }

    #[test]
    fn without_keys_a_host_is_an_address_or_a_name_of_the_machine_or_listed() {
        let policy = policy(&["push.example.com", "Under_score"], false);
        let good = [
            "127.0.0.1",
            "127.0.0.1.",
            "127.0.0.1:8088",
            "10.1.2.3:80",
            "[::1]",
            "[::1]:8088",
            "[fe80::1%25eth0]:1",
            "[fe80::1%eth0]",
            "localhost",
            "localhost:8088",
            "localhost:",
            "LocalHost:1",
            "localhost.",
            "localhost.:8088",
            "push-1",
            "push-1.example.org:8088",
            "PUSH-1.EXAMPLE.ORG.",
            "push.example.com",
            "under_score:8088",
        ];
        for host in good {
            assert_eq!(judged(&policy, "/apps", &[("host", host)]), "ok", "{host}");
        }
        let bad = [
            "",
            ".",
            ":8088",
            "evil.example",
            "evil.example:8088",
            "localhost.evil.example",
            "evil-localhost",
            "a.localhost",
            "127.0.0.1.evil.example",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "localhost@evil.example",
            "evil.example@localhost",
            "localhost:80:80",
            "localhost:x",
            "[::1",
            "[::1]x",
            "[localhost]",
            "::1",
            "[]",
            "localhost, evil.example",
            "localhost evil",
            "localhost..",
            "example.org",
            "push.example.com.evil",
        ];
        for host in bad {
            assert_eq!(judged(&policy, "/apps", &[("host", host)]), "host_not_allowed", "{host}");
        }
        assert_eq!(judged(&policy, "/apps", &[]), "ok", "HTTP/1.0 has none");
    }

    #[test]
    fn the_authority_of_the_target_is_checked_like_the_host() {
        let policy = policy(&[], false);
        assert_eq!(judged(&policy, "http://localhost:8088/apps", &[]), "ok");
        assert_eq!(judged(&policy, "http://evil.example/apps", &[]), "host_not_allowed");
        assert_eq!(judged(&policy, "http://evil.example/apps", &[("host", "localhost")]), "host_not_allowed");
        assert_eq!(judged(&policy, "http://localhost/apps", &[("host", "evil.example")]), "host_not_allowed");
    }

    const HOST: (&str, &str) = ("host", "localhost:8088");

    #[test]
    fn a_page_of_another_origin_is_refused_and_one_under_a_listed_name_is_not() {
        let policy = policy(&["tools.example", "10.0.0.9"], false);
        for origin in [
            "http://localhost:8088",
            "https://LOCALHOST:8088",
            "http://tools.example",
            "https://tools.example:9",
            "http://10.0.0.9:3000",
        ] {
            assert_eq!(judged(&policy, "/apps", &[HOST, ("origin", origin)]), "ok", "{origin}");
        }
        for origin in [
            "null",
            "",
            "http://localhost",
            "http://localhost:9999",
            "https://evil.example",
            "http://127.0.0.1:8088",
            "tools.example",
            "file://",
            "http://evil.example/://tools.example",
            "http://tools.example@evil.example",
        ] {
            assert_eq!(judged(&policy, "/apps", &[HOST, ("origin", origin)]), "origin_not_allowed", "{origin}");
        }
        let two = [HOST, ("origin", "http://tools.example"), ("origin", "http://evil.example")];
        assert_eq!(judged(&policy, "/apps", &two), "origin_not_allowed");
    }

    #[test]
    fn of_requests_with_sec_fetch_site_only_same_origin_and_none_are_accepted() {
        let policy = policy(&["tools.example"], false);
        for (site, expected) in [
            ("none", "ok"),
            ("same-origin", "ok"),
            ("same-site", "cross_site"),
            ("cross-site", "cross_site"),
            ("", "cross_site"),
            ("new-value", "cross_site"),
        ] {
            assert_eq!(judged(&policy, "/apps", &[HOST, ("sec-fetch-site", site)]), expected, "{site}");
        }
        let twice = [HOST, ("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")];
        assert_eq!(judged(&policy, "/apps", &twice), "cross_site");
        let listed = [HOST, ("sec-fetch-site", "cross-site"), ("origin", "https://tools.example")];
        assert_eq!(judged(&policy, "/apps", &listed), "ok");
    }

    #[test]
    fn with_keys_the_origin_is_checked_only_for_a_password() {
        let policy = policy(&[], true);
        let foreign = [("host", "evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")];
        assert_eq!(judged(&policy, "/apps", &foreign), "ok", "it is refused for its missing key");
        for (authorization, expected) in [
            ("Bearer a.b", "ok"),
            ("bearer a.b", "ok"),
            ("Basic YTpi", "origin_not_allowed"),
            ("basic YTpi", "origin_not_allowed"),
        ] {
            let headers = [foreign.as_slice(), &[("authorization", authorization)]].concat();
            assert_eq!(judged(&policy, "/apps", &headers), expected, "{authorization}");
        }
        let curl = [("host", "push.example"), ("authorization", "Basic YTpi")];
        assert_eq!(judged(&policy, "/apps", &curl), "ok", "a caller with a key may call the node by any name");
    }

    #[test]
    fn a_listed_host_is_a_name_or_an_address_and_nothing_more() {
        for (text, host) in
            [("Push.Example.com.", "push.example.com"), ("a_b", "a_b"), ("[::1]", "::1"), ("10.0.0.1", "10.0.0.1")]
        {
            assert_eq!(text.parse::<HostName>().map(|host| host.to_string()).as_deref(), Ok(host));
        }
        for bad in ["", ".", "*", "http://a", "a:8088", "a/b", "a b", "a@b", &"a".repeat(254)] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_shortens_the_header_and_names_the_setting() {
        let policy = policy(&[], false);
        let long = "x".repeat(9_000);
        let head = HeaderMap::from_iter([(axum::http::header::HOST, long.parse().unwrap())]);
        let fault = policy.check(&Uri::from_static("/"), &Head::read(&head)).expect_err("no name of ours");
        assert!(fault.to_string().len() < 600);
        for fault in [fault, BrowserFault::Origin { origin: "null".into() }, BrowserFault::Site] {
            assert!(fault.to_string().contains("the setting `hosts`"), "{fault}");
        }
    }
}
