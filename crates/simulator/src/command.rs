//! The simulator's command line: its arguments, and its run until SIGTERM or SIGINT.

use crate::{LedgerMode, Options, Simulator};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Apple's side: HTTP/2 over TLS; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2197")]
    listen: String,
    /// A further listener, such as 127.0.0.2:0; port 0 takes the port of the first. May be given several times.
    #[arg(long, value_name = "HOST:PORT")]
    beside: Vec<String>,
    /// The control port: JSON over HTTP.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2198")]
    control: String,
    /// The folder of its certificates and keys, which it creates once.
    #[arg(long, value_name = "DIR", default_value = "pyapns-simulator")]
    dir: PathBuf,
    /// Keep every request, or only count them (for measurements in constant memory).
    #[arg(long, value_enum, default_value_t = Ledger::Full)]
    ledger: Ledger,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Ledger {
    Full,
    Counts,
}

/// Runs a simulator until SIGTERM or SIGINT; passes one line of JSON to `announce` when it is ready.
///
/// # Errors
/// Fails for an address that cannot be bound or a folder that cannot be written, and with the error of `announce`.
pub async fn run(arguments: Arguments, announce: impl FnOnce(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let ledger = match arguments.ledger {
        Ledger::Full => LedgerMode::Full,
        Ledger::Counts => LedgerMode::Counts,
    };
    let options = Options {
        listen: arguments.listen,
        beside: arguments.beside,
        control: Some(arguments.control),
        directory: Some(arguments.dir),
        ledger,
        ..Options::default()
    };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let simulator = Simulator::start(options).await?;
    announce(&simulator.announcement().to_string())?;
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.stop().await;
    Ok(())
}
