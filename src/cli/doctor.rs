//! `pyapns doctor`: checks everything between this machine and Apple, step by step.

mod cluster;
mod credentials;
mod dry_run;
mod gateway;
mod machine;
mod report;
mod shared;
mod store;

use super::runtime;
use super::settings::Settings;
use crate::apns::endpoint::Endpoint;
use crate::apns::trust::Trust;
use crate::config::Config;
use crate::node::World;
use dry_run::DryRun;
use report::Report;
use std::process::ExitCode;
use std::sync::Arc;

/// The maximum number of apps that Apple is asked about.
const TEST_PUSHES_MAX: usize = 100;

pub const EXAMPLES: &str = "\
Examples:
  pyapns doctor --config /etc/pyapns/pyapns.toml
  sudo -u pyapns pyapns doctor --data-dir /var/lib/pyapns --no-push

Checks the configuration, clock, disk and open files; name, TCP, TLS and HTTP/2 of Apple's gateways; the store; and the
credential of each app in the store and in [[autoprovision]]. For a node of a cluster it also checks Redis, the key files,
the identity, each other member, and what a load balancer sees. For a credential it sends Apple a push to a device that does
not exist. It also asks a running node for the state of its apps (with the API key in PYAPNS_API_KEY, if the node requires
one). Each line is ok, warn or fail, with a remedy. Exit codes: 0 no check failed; 1 a check failed; 2 wrong usage.";

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Do not send Apple a push to a device that does not exist to check each credential.
    #[arg(long)]
    no_push: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    Settings::warnings().iter().for_each(|warning| report.warn("configuration", warning));
    match arguments.settings.origin().load_and_check_files() {
        Err(faults) => faults.0.iter().for_each(|fault| report.fail("configuration", fault)),
        Ok(config) => {
            report.ok("configuration", arguments.settings.source());
            config.notices.iter().for_each(|notice| report.warn("configuration", notice));
            runtime()?.block_on(examine(&mut report, &config, !arguments.no_push));
        }
    }
    Ok(if report.finish()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(report: &mut Report, config: &Config, push: bool) {
    let World { clock, connect, .. } = World::real(config);
    machine::examine(report, config, &clock);
    let trust = match Trust::load(config.apple.ca_file.as_deref()) {
        Ok(trust) => Arc::new(trust),
        Err(error) => return report.fail("configuration", error),
    };
    let mut endpoints: Vec<&Endpoint> = Vec::new();
    for endpoint in config.apple.sandbox.iter().chain(&config.apple.production) {
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }
    let mut reached = false;
    for endpoint in endpoints {
        reached |= gateway::examine(report, &*connect, &trust, endpoint).await;
    }
    let found = store::examine(report, config, &clock).await;
    let Some(kept) = found.kept else { return };
    let dry_run = match DryRun::new(config, kept, clock.clone(), connect, trust).await {
        Ok(dry_run) => dry_run,
        Err(error) => return report.fail("store", error),
    };
    dry_run.apply_configured_apps(report, &config.autoprovision).await;
    let apps = dry_run.apps();
    let intake = (push && reached).then_some(&*dry_run.intake);
    for (index, app) in apps.iter().enumerate() {
        let intake = intake.filter(|_| index < TEST_PUSHES_MAX);
        credentials::examine(report, app, clock.unix_seconds(), intake, found.node.as_ref()).await;
    }
    if push && apps.len() > TEST_PUSHES_MAX {
        report.ok("apple", format!("only asked about the first {TEST_PUSHES_MAX} of {} apps", apps.len()));
    }
    dry_run.finish().await;
}
