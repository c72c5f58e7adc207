//! Checks the connection to each of Apple's gateways: name, TCP, TLS, ALPN.

use super::Report;
use crate::apns::connect::{Connect, ConnectError, HandshakeError, Stage};
use crate::apns::endpoint::Endpoint;
use crate::apns::trust::Trust;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The number of a name's addresses that are tried.
const ADDRESSES_MAX: usize = 4;

/// Reports each step to a gateway. Returns true if a connection can be opened.
pub async fn examine(report: &mut Report, connect: &dyn Connect, trust: &Trust, endpoint: &Endpoint) -> bool {
    let addresses = match connect.resolve(endpoint).await {
        Ok(addresses) => addresses,
        Err(error) => {
            report.fail("dns", format!("{endpoint}: {error}; check this machine's name servers (/etc/resolv.conf)"));
            return false;
        }
    };
    let shown: Vec<_> = addresses.iter().take(ADDRESSES_MAX).map(|address| address.ip().to_string()).collect();
    report.ok("dns", format!("{endpoint}: {}", shown.join(", ")));
    let tls = match trust.anonymous(endpoint) {
        Ok(tls) => Arc::new(tls),
        Err(error) => {
            report.fail("tls", format!("{endpoint}: {error}"));
            return false;
        }
    };
    let mut failures = Vec::new();
    for address in addresses.iter().take(ADDRESSES_MAX) {
        if let Err(error) = connect.connect(endpoint, *address, Arc::clone(&tls), CONNECT_TIMEOUT).await {
            failures.push((*address, error));
        }
    }
    let works = failures.len() < shown.len();
    if works {
        report.ok("tcp", format!("{endpoint}: connected"));
        report.ok(
            "tls",
            format!("{endpoint}: its certificate is valid for this name, and a trusted authority signed it"),
        );
        report.ok("alpn", format!("{endpoint}: HTTP/2"));
    }
    for (address, error) in failures {
        report_failure(report, works, endpoint, address, &error);
    }
    works
}

/// Reports an address that does not work: a failure if none works, else a warning.
fn report_failure(report: &mut Report, works: bool, endpoint: &Endpoint, address: SocketAddr, error: &ConnectError) {
    let stage = stage(error);
    if works {
        report.warn(stage, format!("{address} does not work, another address does: {error}"));
        return;
    }
    if stage != "tcp" && stage != "proxy" {
        report.ok("tcp", format!("{endpoint}: connected to {address}"));
    }
    if stage == "alpn" {
        report.ok("tls", format!("{endpoint}: its certificate is trusted"));
    }
    report.fail(stage, error);
}

fn stage(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::Resolve { .. } => "dns",
        ConnectError::Tcp { .. } | ConnectError::Timeout { stage: Stage::Tcp, .. } => "tcp",
        ConnectError::Proxy { .. } | ConnectError::Timeout { stage: Stage::Proxy, .. } => "proxy",
        ConnectError::Tls { cause: HandshakeError::NoHttp2, .. } => "alpn",
        ConnectError::Tls { .. } | ConnectError::Timeout { stage: Stage::Tls, .. } | ConnectError::Credential(_) => {
            "tls"
        }
    }
}
