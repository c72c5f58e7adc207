//! `pyapns simulator`: Apple's stand-in, alone or beside a node.

use super::{StopSignals, print, runtime};
use crate::apns::endpoint::Endpoint;
use crate::config::Config;
use crate::credentials::{Material, Secret};
use crate::model::{AppId, AppKey, Environment};
use crate::node::Node;
use crate::registry::Provision;
use crate::simulator::{LedgerMode, Options, Simulator};
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;

/// The app that `serve --simulator` provisions.
const DEMO_APP: &str = "demo";

pub const EXAMPLES: &str = "\
Examples:
  pyapns simulator
  pyapns simulator --listen 127.0.0.1:0 --control 127.0.0.1:0 --dir /tmp/apple

A node delivers to it with PYAPNS_APPLE_SANDBOX=https://127.0.0.1:2197 and PYAPNS_APPLE_CA_FILE=DIR/ca.pem.";

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Apple's side: HTTP/2 over TLS; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2197")]
    listen: String,
    /// A further listener, such as 127.0.0.2:0; port 0 takes that of the first. May be given several times.
    #[arg(long, value_name = "HOST:PORT")]
    beside: Vec<String>,
    /// The control port: JSON over HTTP.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2198")]
    control: String,
    /// Certificates and keys are kept here, made once.
    #[arg(long, value_name = "DIR", default_value = "pyapns-simulator")]
    dir: PathBuf,
    /// Whether every request is kept or only counted, for measurements in flat memory.
    #[arg(long, value_enum, default_value_t = Ledger::Full)]
    ledger: Ledger,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Ledger {
    Full,
    Counts,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let ledger = match arguments.ledger {
            Ledger::Full => LedgerMode::Full,
            Ledger::Counts => LedgerMode::Counts,
        };
        let (control, directory) = (Some(arguments.control), Some(arguments.dir));
        let options = Options {
            listen: arguments.listen,
            beside: arguments.beside,
            control,
            directory,
            ledger,
            ..Options::default()
        };
        let mut stop = StopSignals::new()?;
        let simulator = Simulator::start(options).await?;
        print::line(simulator.announcement())?;
        stop.next().await;
        simulator.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// A simulator that a node delivers to, in the same process.
pub struct Beside {
    simulator: Simulator,
}

impl Beside {
    /// Starts it and points the node's settings at it.
    pub async fn start(config: &mut Config) -> anyhow::Result<Self> {
        let directory = config.data_dir.join("simulator");
        let options = Options {
            control: Some("127.0.0.1:0".to_owned()),
            directory: Some(directory.clone()),
            ..Options::default()
        };
        let simulator = Simulator::start(options).await.context("the simulator does not start")?;
        let endpoint = format!("https://{}", simulator.address()).parse::<Endpoint>().map_err(anyhow::Error::msg)?;
        config.apple.sandbox = vec![endpoint.clone()];
        config.apple.production = vec![endpoint];
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

    /// Says what can be tried.
    pub fn introduce(&self, node: &str) -> anyhow::Result<()> {
        let control = self.simulator.control_address().map(|address| address.to_string()).unwrap_or_default();
        let address = self.simulator.address();
        print::line(format_args!("Apple's stand-in listens on {address}; its ledger: http://{control}/ledger"))?;
        print::line(format_args!(
            "try: curl -d '{{\"token\":\"00fc13ad\",\"payload\":{{\"aps\":{{\"alert\":\"Hello\"}}}}}}' \
             {node}/apps/{DEMO_APP}/sandbox/notifications"
        ))
    }
}
