//! `pyapns healthcheck`: asks the node of this configuration if it is ready, for containers without curl.

use super::print;
use super::runtime;
use super::settings::Settings;
use crate::drain::Drain;
use crate::http::client::{Authorities, Client, NodeUrl, Target, refusal};
use crate::http::server::address::Address;
use anyhow::{Context, bail};
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;

pub const EXAMPLES: &str = "\
Examples:
  pyapns healthcheck --config /etc/pyapns/pyapns.toml
  PYAPNS_LISTEN=unix:/run/pyapns/api.sock pyapns healthcheck --timeout 2

In a Containerfile:
  HEALTHCHECK --interval=5s --timeout=6s CMD [\"pyapns\", \"healthcheck\", \"--config\", \"/etc/pyapns/pyapns.toml\"]

Asks /readyz, which needs no API key. A listener on all addresses is asked on loopback. Any certificate is accepted, as
only the status is read. Exit codes: 0 ready; 1 not ready, not running, or an invalid configuration; 2 wrong usage.";

/// Ask the node of this configuration if it is ready, on its listener.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// The time limit for the answer.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = match arguments.settings.origin().load() {
        Ok(config) => config,
        Err(faults) => {
            print::note(faults);
            return Ok(ExitCode::FAILURE);
        }
    };
    if matches!(config.listen, Address::Tcp(address) if address.port() == 0) {
        bail!("`listen` has port 0, so the port of the running node is not known: give it with --listen");
    }
    let node = NodeUrl::of_listener(&config.listen, config.tls.is_some());
    let runtime = runtime()?;
    let timeout = Duration::from_secs(arguments.timeout);
    let asked = runtime.block_on(ask(&node, timeout));
    runtime.shutdown_background();
    let (status, body) = asked?;
    if status != 200 {
        bail!("{node}: {}", refusal(status, &body));
    }
    print::line(format_args!("{node} is ready"))?;
    Ok(ExitCode::SUCCESS)
}

/// The answer of `/readyz`, asked as a load balancer does. A node that hangs does not answer within `limit`.
pub async fn ask(node: &NodeUrl, limit: Duration) -> anyhow::Result<(u16, Value)> {
    let target = Target { node: node.clone(), api_key: None, authorities: Authorities::Any };
    let drain = Drain::new();
    let asked = async {
        let mut client = Client::connect(&target, &drain).await?;
        client.exchange(Method::GET, "/readyz", Bytes::new()).await
    };
    let asked = tokio::time::timeout(limit, asked).await;
    asked.with_context(|| format!("{node} has not answered within {} s", limit.as_secs()))?
}
