//! `pyapns simulator`: runs the simulator of Apple's gateway, alone or beside a node.

use super::{print, runtime};
use crate::apns::endpoint::Endpoint;
use crate::config::Config;
use crate::credentials::{Material, Secret};
use crate::model::{AppId, AppKey, Environment};
use crate::node::Node;
use crate::registry::Provision;
use anyhow::Context;
pub use simulator::command::Arguments;
use simulator::{Options, Simulator, command};
use std::net::SocketAddr;
use std::process::ExitCode;

/// The app that `serve --simulator` provisions.
const DEMO_APP: &str = "demo";

pub const EXAMPLES: &str = "\
Examples:
  pyapns simulator
  pyapns simulator --listen 127.0.0.1:0 --control 127.0.0.1:0 --dir /tmp/apple

A node delivers to it with PYAPNS_APPLE_SANDBOX=https://127.0.0.1:2197 and PYAPNS_APPLE_CA_FILE=DIR/ca.pem, and manages
channels there with PYAPNS_APPLE_SANDBOX_CHANNELS=https://127.0.0.1:2195.";

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(command::run(arguments, |line| print::line(line)))?;
    Ok(ExitCode::SUCCESS)
}

/// A simulator that a node delivers to, in the same process.
pub struct EmbeddedSimulator {
    simulator: Simulator,
}

impl EmbeddedSimulator {
    /// Starts it and points the node's settings at it.
    pub async fn start(config: &mut Config) -> anyhow::Result<Self> {
        use simulator::Environment::{Production, Sandbox};
        let directory = config.data_dir.join("simulator");
        let options = Options {
            control: Some("127.0.0.1:0".to_owned()),
            directory: Some(directory.clone()),
            sandbox_broadcasts: Some("127.0.0.1:0".to_owned()),
            production_broadcasts: Some("127.0.0.1:0".to_owned()),
            ..Options::default()
        };
        let simulator = Simulator::start(options).await.context("the simulator does not start")?;
        let endpoint = format!("https://{}", simulator.address()).parse::<Endpoint>().map_err(anyhow::Error::msg)?;
        config.apple.sandbox = vec![endpoint.clone()];
        config.apple.production = vec![endpoint];
        config.apple.sandbox_channels = gateways(simulator.channels_address(Sandbox))?;
        config.apple.production_channels = gateways(simulator.channels_address(Production))?;
        config.apple.sandbox_broadcasts = gateways(simulator.broadcasts_address(Sandbox))?;
        config.apple.production_broadcasts = gateways(simulator.broadcasts_address(Production))?;
        config.apple.proxy = None;
        config.apple.ca_file = simulator.identity().file("ca.pem");
        Ok(Self { simulator })
    }

    /// Provisions the demo app with the simulator's certificate.
    pub async fn provision_demo(&self, node: &Node) -> anyhow::Result<()> {
        let key = AppKey::new(AppId::new(DEMO_APP)?, Environment::Sandbox);
        let pem = Secret::from(self.simulator.identity().client_pem.clone().into_bytes());
        node.registry().provision(Provision::new(key, Material::Certificate { pem })).await?;
        Ok(())
    }

    /// Prints a command to try. If the node requires an API key, the command has a place for it.
    pub fn print_hint(&self, node: &str, requires_key: bool) -> anyhow::Result<()> {
        let authorization = if requires_key { "-H 'Authorization: Bearer ID.SECRET' " } else { "" };
        let control = self.simulator.control_address().map(|address| address.to_string()).unwrap_or_default();
        let address = self.simulator.address();
        print::line(format_args!("the simulator listens on {address}; its ledger: http://{control}/ledger"))?;
        let channels = |environment| self.simulator.channels_address(environment).map(|address| address.to_string());
        print::line(format_args!(
            "it manages channels on {} (sandbox) and {} (production)",
            channels(simulator::Environment::Sandbox).unwrap_or_default(),
            channels(simulator::Environment::Production).unwrap_or_default()
        ))?;
        print::line(format_args!(
            "try: curl {authorization}-d '{{\"token\":\"00fc13ad\",\"payload\":{{\"aps\":{{\"alert\":\"Hello\"}}}}}}' \
             {node}/apps/{DEMO_APP}/sandbox/notifications"
        ))
    }
}

/// A listener of the simulator as the only gateway of a setting.
fn gateways(address: Option<SocketAddr>) -> anyhow::Result<Vec<Endpoint>> {
    let url = address.map(|address| format!("https://{address}"));
    url.map(|url| url.parse::<Endpoint>().map_err(anyhow::Error::msg)).into_iter().collect()
}
