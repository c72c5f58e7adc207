//! `pyapns man`: writes the manual pages, for packages.

use super::Command;
use anyhow::Context;
use clap::CommandFactory;
use std::path::PathBuf;
use std::process::ExitCode;

pub const EXAMPLES: &str = "\
Examples:
  pyapns man /usr/share/man/man1";

/// Write a manual page for each command, such as pyapns-serve.1.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder for the pages; made if it does not exist.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let folder = &arguments.folder;
    let at = || format!("the pages cannot be written to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(at)?;
    clap_mangen::generate_to(Command::command(), folder).with_context(at)?;
    Ok(ExitCode::SUCCESS)
}
