//! `pyapns-simulator`: the simulator alone, without a daemon.

use clap::Parser;
use simulator::command::Arguments;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// Simulate Apple's push gateway; print one JSON line with addresses and credentials when ready.
#[derive(Debug, Parser)]
#[command(name = "pyapns-simulator", version)]
struct Command {
    #[command(flatten)]
    arguments: Arguments,
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    match runtime.block_on(simulator::command::run(Command::parse().arguments, announce)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// A closed pipe does not stop the simulator.
fn announce(line: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // A closed standard error changes nothing about the failure.
    let _ = writeln!(std::io::stderr(), "pyapns-simulator: {error:#}");
    ExitCode::FAILURE
}
