//! `pyapns serve`: a node, and with `--simulator` Apple's stand-in beside it.

use super::simulator::Beside;
use super::{USAGE, runtime, stop_signal};
use crate::config::{Config, Origin};
use crate::node::{Node, World};
use crate::telemetry::Logging;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How long the last log lines may take.
const FLUSH: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// TOML file with the settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the REST API listens; port 0 takes a free one [default: 127.0.0.1:8088].
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// What has to outlive the process is kept here [default: ./pyapns-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Start Apple's stand-in too and deliver to it, with a demo app provisioned: no Apple account is needed.
    #[arg(long)]
    simulator: bool,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = match origin(&arguments).read() {
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

/// Flags win over variables, variables over the file.
fn origin(arguments: &Arguments) -> Origin {
    let listen = arguments.listen.clone();
    let data_dir = arguments.data_dir.as_deref().map(|path| path.to_string_lossy().into_owned());
    Origin::new(arguments.config.clone(), move |variable| {
        let flag = match variable {
            "PYAPNS_LISTEN" => listen.clone(),
            "PYAPNS_DATA_DIR" => data_dir.clone(),
            _ => None,
        };
        flag.or_else(|| std::env::var(variable).ok())
    })
}

async fn serve(mut config: Config, with_simulator: bool) -> anyhow::Result<ExitCode> {
    let beside = if with_simulator { Some(Beside::start(&mut config).await?) } else { None };
    let world = World::real(&config);
    let node = Node::build(config, world).await?;
    let address = node.address()?;
    println!("pyapns listens on http://{address}");
    if let Some(beside) = &beside {
        beside.provision_demo(&node).await?;
        beside.introduce(address);
    }
    let finished = node.run(async {
        if let Err(error) = stop_signal().await {
            tracing::error!(%error, "signals cannot be waited for: stopping");
        }
    });
    Ok(if finished.await { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
