//! The command line. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

mod key;
mod serve;
mod simulator;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A universal Apple Push Notification service provider, driven over REST.
#[derive(Debug, Parser)]
#[command(name = "pyapns", version, arg_required_else_help = true)]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a node: takes notifications over REST, delivers them to Apple.
    Serve(serve::Arguments),
    Key(key::Arguments),
    /// Run Apple's stand-in alone; prints one JSON line with its addresses and credentials when ready.
    Simulator(simulator::Arguments),
}

/// Wrong usage or configuration.
const USAGE: u8 = 2;

impl Command {
    /// Runs to the end and gives the process's exit code.
    pub fn run(self) -> ExitCode {
        // Crates that ask for the process's default must find the one provider there is.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let done = match self.verb {
            Verb::Serve(arguments) => serve::run(arguments),
            Verb::Key(arguments) => key::run(arguments),
            Verb::Simulator(arguments) => simulator::run(arguments),
        };
        done.unwrap_or_else(|error| {
            eprintln!("pyapns: {error:#}");
            ExitCode::FAILURE
        })
    }
}

/// The runtime of every command.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Resolves on the first SIGTERM or SIGINT.
async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
