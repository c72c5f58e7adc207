//! `pyapns serve`: runs a node, and with `--simulator` an embedded simulator of Apple's gateway.

use super::core_dumps::SavedLimits;
use super::settings::Settings;
use super::simulator::EmbeddedSimulator;
use super::supervisor::Supervisor;
use super::{StopSignals, USAGE, print, runtime};
use crate::config::{Config, Origin};
use crate::drain::Drain;
use crate::node::{Node, StartError, World};
use crate::telemetry::Logging;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::oneshot;

/// The time limit for writing the last log lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

pub const EXAMPLES: &str = "\
Examples:
  pyapns serve --simulator
  pyapns serve --listen 127.0.0.1:8088 --data-dir /var/lib/pyapns
  pyapns serve --config /etc/pyapns/pyapns.toml

Every setting can be a variable too: PYAPNS_LISTEN, PYAPNS_LIMITS_BODY_BYTES. `pyapns check-config` reports the faults of a
configuration, `pyapns doctor` the problems between this machine and Apple. SIGTERM finishes what is in flight and exits 0.";

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Start the simulator too and deliver to it, with a demo app provisioned: no Apple account is needed.
    #[arg(long)]
    simulator: bool,
}

pub fn run(arguments: Arguments, core_dumps: SavedLimits) -> anyhow::Result<ExitCode> {
    let origin = arguments.settings.origin();
    let warnings = Settings::warnings();
    let mut config = match origin.load_for_start() {
        Ok(config) => config,
        Err(faults) => {
            warnings.iter().for_each(|warning| print::note(format_args!("warning: {warning}")));
            print::note(faults);
            return Ok(ExitCode::from(USAGE));
        }
    };
    config.notices.extend(warnings);
    let logging = Logging::install(config.log)?;
    if config.core_dumps {
        tracing::warn!("core_dumps is on: a core file has credentials and payloads in it");
        core_dumps.restore();
    } else {
        core_dumps.disable_for_good();
    }
    let runtime = runtime()?;
    let done = runtime.block_on(serve(config, origin, logging.clone(), arguments.simulator));
    runtime.shutdown_timeout(FLUSH_TIMEOUT);
    logging.flush(FLUSH_TIMEOUT);
    done
}

async fn serve(mut config: Config, origin: Origin, logging: Logging, with_simulator: bool) -> anyhow::Result<ExitCode> {
    let mut stop = StopSignals::new()?;
    let embedded = if with_simulator { Some(EmbeddedSimulator::start(&mut config).await?) } else { None };
    let world = World { has_simulator: with_simulator, ..World::real(&config) };
    let node = match Node::build(config.clone(), world).await {
        Err(StartError::Autoprovision(faults)) => {
            print::note(faults);
            return Ok(ExitCode::from(USAGE));
        }
        built => built?.with_reload(origin, &config, Some(logging))?,
    };
    print::line(format_args!("pyapns listens on {}", node.url()))?;
    if let Some(url) = node.admin_url() {
        print::line(format_args!("pyapns listens for operators on {url}"))?;
    }
    if let Some(embedded) = &embedded {
        embedded.provision_demo(&node).await?;
        embedded.print_hint(node.url(), !config.api_keys.is_empty())?;
    }
    let supervisor = Supervisor::from_environment().with_watchdog(&Drain::new());
    supervisor.notify(&format!("READY=1\nSTATUS=listening on {}", node.url()));
    let (begin_stop, stop_begun) = oneshot::channel::<()>();
    let mut running = pin!(node.run(async {
        let _ = stop_begun.await;
        supervisor.notify("STOPPING=1\nSTATUS=finishing what is in flight");
    }));
    let finished = tokio::select! {
        biased;
        finished = running.as_mut() => finished,
        () = stop.next() => {
            drop(begin_stop);
            tokio::select! {
                biased;
                finished = running => finished,
                () = stop.next() => {
                    tracing::warn!("second signal to stop: requests in flight are cut off");
                    false
                }
            }
        }
    };
    Ok(if finished { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
