//! Parses the command line and runs its command.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    pyapns::cli::Command::parse().run()
}
