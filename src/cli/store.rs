//! `pyapns store copy`: moves everything that a store keeps into another one.

mod place;

use super::{print, runtime};
use crate::clock::Clock;
use crate::credentials::{Keyring, sealed};
use crate::store::transfer::{self, Copied};
use crate::store::{AppRecord, Transfer};
use anyhow::{Context, bail};
use place::{Place, RedisFlags, Side};
use std::path::PathBuf;
use std::process::ExitCode;
use zeroize::Zeroizing;

pub const EXAMPLES: &str = "\
Examples:
  pyapns store copy sqlite:/var/lib/pyapns config:/etc/pyapns/cluster.toml
  pyapns store copy config:/etc/pyapns/cluster.toml sqlite:/var/lib/pyapns-alone
  pyapns store copy sqlite:/var/lib/pyapns redis://redis.example --to-password-file redis.password --to-keys new.key

FROM and TO are sqlite:DIR (a data directory), the URL of a Redis as in store.url, or config:FILE: what that configuration
uses, with its password, keys and certificates. Stop the nodes of both first. TO must be empty. If the copy is cut off, run
the same command again; no node starts with half a copy. Callers read their lists from the beginning afterwards, since
cursors of FROM are refused. Exit codes: 0 everything was copied; 1 it was not; 2 wrong usage.";

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Copy apps, feedback, held feedback and disconnections of one store into another, empty one. FROM stays as it is.
    #[command(after_help = EXAMPLES)]
    Copy(Box<Arguments>),
}

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The store to read.
    #[arg(value_name = "FROM")]
    from: String,
    /// The store to write.
    #[arg(value_name = "TO")]
    to: String,
    /// Key files that open the credentials in FROM [default: credentials.key in its DIR, or those of its FILE].
    #[arg(long, value_name = "FILE")]
    from_keys: Vec<PathBuf>,
    /// Key files for TO: the first seals the credentials [default: credentials.key in its DIR, or those of its FILE].
    #[arg(long, value_name = "FILE")]
    to_keys: Vec<PathBuf>,
    /// ACL user of a Redis that FROM names by its URL.
    #[arg(long, value_name = "NAME")]
    from_username: Option<String>,
    /// The file with its password.
    #[arg(long, value_name = "FILE")]
    from_password_file: Option<PathBuf>,
    /// PEM file of the CAs to trust for it (rediss://).
    #[arg(long, value_name = "FILE")]
    from_ca_file: Option<PathBuf>,
    /// The beginning of its keys [default: pyapns:].
    #[arg(long, value_name = "TEXT")]
    from_prefix: Option<String>,
    /// ACL user of a Redis that TO names by its URL.
    #[arg(long, value_name = "NAME")]
    to_username: Option<String>,
    /// The file with its password.
    #[arg(long, value_name = "FILE")]
    to_password_file: Option<PathBuf>,
    /// PEM file of the CAs to trust for it (rediss://).
    #[arg(long, value_name = "FILE")]
    to_ca_file: Option<PathBuf>,
    /// The beginning of its keys [default: pyapns:].
    #[arg(long, value_name = "TEXT")]
    to_prefix: Option<String>,
}

pub fn run(Command::Copy(arguments): Command) -> anyhow::Result<ExitCode> {
    let Arguments { from, to, from_keys, to_keys, .. } = *arguments;
    let of_from = RedisFlags {
        username: arguments.from_username,
        password_file: arguments.from_password_file,
        ca_file: arguments.from_ca_file,
        prefix: arguments.from_prefix,
    };
    let of_to = RedisFlags {
        username: arguments.to_username,
        password_file: arguments.to_password_file,
        ca_file: arguments.to_ca_file,
        prefix: arguments.to_prefix,
    };
    let from = Place::read(Side::From, &from, from_keys, of_from)?;
    let to = Place::read(Side::To, &to, to_keys, of_to)?;
    if from.name() == to.name() {
        bail!("FROM and TO are the same store: {}", from.name());
    }
    let copied = runtime()?.block_on(copy(&from, &to))?;
    print::line(format_args!("copied {} to {}: {copied}", from.name(), to.name()))?;
    print::line(
        "Callers must read feedback and disconnections from the beginning: cursors of the old store are refused.",
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn copy(from: &Place, to: &Place) -> anyhow::Result<Copied> {
    let clock = Clock::system();
    let source = from.open_source(&clock).await.with_context(|| format!("{} cannot be read", from.name()))?;
    let opening = from.source_keyring()?;
    let target = to.open_target(&clock).await.with_context(|| format!("{} cannot be written", to.name()))?;
    let sealing = to.target_keyring()?;
    let reseal = |app: &AppRecord| reseal(app, &opening, &sealing);
    let (source, target): (&dyn Transfer, &dyn Transfer) = (&*source, &*target);
    let copied = transfer::copy(source, target, from.name(), &reseal).await?;
    to.note_keys(&sealing, &clock).await?;
    Ok(copied)
}

/// A credential that the source's keys do not open would be lost with them.
fn reseal(app: &AppRecord, opening: &Keyring, sealing: &Keyring) -> Result<Zeroizing<Vec<u8>>, String> {
    let opened = sealed::open(opening, &app.key, &app.credential).map_err(|error| error.to_string())?;
    Ok(sealed::seal(sealing, &app.key, &opened.material))
}
