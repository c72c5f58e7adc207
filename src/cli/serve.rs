//! `pyapns serve`: a node, and with `--simulator` Apple's stand-in beside it.

use super::settings::Settings;
use super::simulator::Beside;
use super::{USAGE, runtime, stop_signal};
use crate::config::Config;
use crate::node::{Node, World};
use crate::telemetry::Logging;
use std::process::ExitCode;
use std::time::Duration;

/// How long the last log lines may take.
const FLUSH: Duration = Duration::from_secs(1);

pub const EXAMPLES: &str = "\
Examples:
  pyapns serve --simulator
  pyapns serve --listen 127.0.0.1:8088 --data-dir /var/lib/pyapns
  pyapns serve --config /etc/pyapns/pyapns.toml

Every setting can be a variable too: PYAPNS_LISTEN, PYAPNS_LIMITS_BODY_BYTES. `pyapns check-config` tells what is wrong
with a configuration, `pyapns doctor` what is wrong with the way to Apple. SIGTERM finishes what is in flight and exits 0.";

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Start Apple's stand-in too and deliver to it, with a demo app provisioned: no Apple account is needed.
    #[arg(long)]
    simulator: bool,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = match arguments.settings.origin().read_with_files() {
        Ok(config) => config,
        Err(faults) => {
            eprintln!("{faults}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    let logging = Logging::install(config.log)?;
    let done = runtime()?.block_on(serve(config, arguments.simulator));
    logging.flush(FLUSH);
    done
}

async fn serve(mut config: Config, with_simulator: bool) -> anyhow::Result<ExitCode> {
    let beside = if with_simulator { Some(Beside::start(&mut config).await?) } else { None };
    let world = World::real(&config);
    let node = Node::build(config, world).await?;
    println!("pyapns listens on {}", node.url());
    if let Some(beside) = &beside {
        beside.provision_demo(&node).await?;
        beside.introduce(node.url());
    }
    let finished = node.run(async {
        if let Err(error) = stop_signal().await {
            tracing::error!(%error, "signals cannot be waited for: stopping");
        }
    });
    Ok(if finished.await { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
