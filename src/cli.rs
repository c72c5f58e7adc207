//! The command line. Exit codes: 0 success, 1 failure, 2 wrong usage or an invalid configuration.

mod backup;
mod channel;
mod check_config;
mod cluster;
mod core_dumps;
mod doctor;
mod healthcheck;
mod init;
mod key;
mod man;
mod print;
mod send;
mod serve;
mod settings;
mod simulator;
mod store;
mod supervisor;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

const EXAMPLES: &str = "\
Try it without an Apple account, then with your own:
  pyapns serve --simulator
  pyapns serve --config /etc/pyapns/pyapns.toml

Exit codes: 0 success; 1 failure; 2 wrong usage, or an invalid configuration.
`pyapns COMMAND --help` has the details, and examples.";

const COMPLETIONS: &str = "\
Examples:
  pyapns completions bash > /etc/bash_completion.d/pyapns
  pyapns completions zsh > ~/.zfunc/_pyapns
  pyapns completions fish > ~/.config/fish/completions/pyapns.fish";

/// A universal Apple Push Notification service provider, driven over REST.
#[derive(Debug, Parser)]
#[command(name = "pyapns", version = env!("VERSION_WITH_COMMIT"), arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a node: takes notifications over REST, delivers them to Apple.
    #[command(after_help = serve::EXAMPLES)]
    Serve(serve::Arguments),
    #[command(after_help = init::EXAMPLES)]
    Init(init::Arguments),
    /// Read the configuration as `serve` does and report every fault.
    #[command(after_help = check_config::EXAMPLES)]
    CheckConfig(check_config::Arguments),
    /// Check everything between this machine and Apple, with a remedy for each problem.
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Arguments),
    #[command(after_help = healthcheck::EXAMPLES)]
    Healthcheck(healthcheck::Arguments),
    #[command(after_help = backup::EXAMPLES)]
    Backup(backup::Arguments),
    /// Send one push, a file of many, or a broadcast to a channel, through a running node.
    #[command(after_help = send::EXAMPLES)]
    Send(Box<send::Arguments>),
    /// Create, list, show and delete the broadcast channels of an app.
    #[command(subcommand, after_help = channel::EXAMPLES)]
    Channel(channel::Command),
    #[command(after_help = key::EXAMPLES)]
    Key(key::Arguments),
    /// Create the files that all nodes of a cluster share, or recover the apps in their shared store.
    #[command(subcommand, after_help = cluster::EXAMPLES)]
    Cluster(cluster::Command),
    /// Copy a store into another one.
    #[command(subcommand, after_help = store::EXAMPLES)]
    Store(store::Command),
    /// Run the simulator of Apple's gateway alone; prints one JSON line with its addresses and credentials when ready.
    #[command(after_help = simulator::EXAMPLES)]
    Simulator(simulator::Arguments),
    /// Print a script that completes this command line in a shell.
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: clap_complete::Shell,
    },
    #[command(hide = true, after_help = man::EXAMPLES)]
    Man(man::Arguments),
}

/// The exit code of wrong usage, and of an invalid configuration.
const USAGE: u8 = 2;

impl Command {
    /// Runs the command and returns the process's exit code.
    pub fn run(self) -> ExitCode {
        let core_dumps = core_dumps::disable();
        // Crates that use the process's default must find this provider.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let done = match self.verb {
            Verb::Serve(arguments) => serve::run(arguments, core_dumps),
            Verb::CheckConfig(arguments) => check_config::run(&arguments),
            Verb::Init(arguments) => init::run(&arguments),
            Verb::Doctor(arguments) => doctor::run(&arguments),
            Verb::Healthcheck(arguments) => healthcheck::run(&arguments),
            Verb::Man(arguments) => man::run(&arguments),
            Verb::Backup(arguments) => backup::run(&arguments),
            Verb::Send(arguments) => send::run(*arguments),
            Verb::Channel(command) => channel::run(command),
            Verb::Key(arguments) => key::run(arguments),
            Verb::Cluster(command) => cluster::run(&command),
            Verb::Store(command) => store::run(command),
            Verb::Simulator(arguments) => simulator::run(arguments),
            Verb::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "pyapns", &mut script);
                print::line(String::from_utf8_lossy(&script).trim_end()).map(|()| ExitCode::SUCCESS)
            }
        };
        done.unwrap_or_else(|error| {
            print::note(format_args!("pyapns: {error:#}"));
            ExitCode::FAILURE
        })
    }
}

/// The variables besides the settings: the flags' and the API key's.
fn variables() -> Vec<String> {
    fn of_flags(command: &clap::Command, found: &mut Vec<String>) {
        let named = command.get_arguments().filter_map(clap::Arg::get_env);
        found.extend(named.map(|name| name.to_string_lossy().into_owned()));
        command.get_subcommands().for_each(|command| of_flags(command, found));
    }
    let mut found = vec![send::API_KEY.to_owned()];
    of_flags(&Command::command(), &mut found);
    found
}

/// The runtime of every command.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// SIGTERM and SIGINT. Creating this value disables their default action, which ends the process.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal.
    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
