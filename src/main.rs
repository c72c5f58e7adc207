//! Parses the command line and hands over.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    pyapns::cli::Command::parse().run()
}
