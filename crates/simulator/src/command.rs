//! The simulator's command line: its arguments, and its run until SIGTERM or SIGINT.

use crate::{LedgerMode, Options, Simulator};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

const LISTEN: &str = "127.0.0.1:2197";
/// Apple's ports of channel management.
const SANDBOX_CHANNELS_PORT: u16 = 2195;
const PRODUCTION_CHANNELS_PORT: u16 = 2196;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Apple's side: HTTP/2 over TLS; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = LISTEN)]
    listen: String,
    /// A further listener, such as 127.0.0.2:0; port 0 takes the port of the first. May be given several times.
    #[arg(long, value_name = "HOST:PORT")]
    beside: Vec<String>,
    /// Channel management in the sandbox. Default: a port beside `--listen`, 2195 if that has its default.
    #[arg(long, value_name = "HOST:PORT")]
    sandbox_channels: Option<String>,
    /// Channel management in production. Default: a port beside `--listen`, 2196 if that has its default.
    #[arg(long, value_name = "HOST:PORT")]
    production_channels: Option<String>,
    /// A listener for broadcasts to the channels of the sandbox alone; `--listen` takes broadcasts to both.
    #[arg(long, value_name = "HOST:PORT")]
    sandbox_broadcasts: Option<String>,
    /// A listener for broadcasts to the channels of production alone; `--listen` takes broadcasts to both.
    #[arg(long, value_name = "HOST:PORT")]
    production_broadcasts: Option<String>,
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
    let listen = arguments.listen;
    let channels = |asked: Option<String>, port| asked.unwrap_or_else(|| channels_address(&listen, port));
    let options = Options {
        sandbox_channels: Some(channels(arguments.sandbox_channels, SANDBOX_CHANNELS_PORT)),
        production_channels: Some(channels(arguments.production_channels, PRODUCTION_CHANNELS_PORT)),
        sandbox_broadcasts: arguments.sandbox_broadcasts,
        production_broadcasts: arguments.production_broadcasts,
        listen: listen.clone(),
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

/// The host of `listen`, with Apple's port beside the default address and a free one beside any other, so that two
/// simulators never ask for the same port unless they are told to.
fn channels_address(listen: &str, port: u16) -> String {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    format!("{host}:{}", if listen == LISTEN { port } else { 0 })
}
