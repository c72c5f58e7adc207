//! `pyapns backup`: a copy of a node's store, while the node runs.

use super::settings::Settings;
use super::{USAGE, print};
use crate::credentials::keyring::OWN_KEY;
use crate::store::sqlite::backup::{Made, backup};
use anyhow::{Context, bail};
use std::path::PathBuf;
use std::process::ExitCode;

pub const EXAMPLES: &str = "\
Examples:
  pyapns backup --config /etc/pyapns/pyapns.toml /backup/pyapns-$(date +%F).db
  sudo -u pyapns pyapns backup --data-dir /var/lib/pyapns /backup/pyapns.db

To restore a backup: stop the node, make an empty data directory, put the backup there as pyapns.db and the key as
credentials.key, start the node. It answers an older cursor with `foreign_cursor`; the caller then reads its list from the
beginning. Entries that callers acknowledged after the backup are in the lists again. Exit codes: 0 success; 1 failure, and
no file is left; 2 wrong usage.";

/// Copy the store of a node, which may keep running, into a new file that only its owner may read. The key that seals
/// the credentials is not in it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// The new file. An existing file is never overwritten.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = match arguments.settings.origin().load() {
        Ok(config) => config,
        Err(faults) => {
            print::note(faults);
            return Ok(ExitCode::from(USAGE));
        }
    };
    if let Some(url) = &config.store.url {
        bail!(
            "the apps and events of this node are in the shared store {url}: back up Redis, or copy it with `pyapns store copy`"
        );
    }
    let file = arguments.file.display();
    let Made { apps, bytes } = backup(&config.data_dir, &arguments.file).context("no backup was made")?;
    print::line(format_args!("{file}: {apps} app{}, {bytes} bytes", if apps == 1 { "" } else { "s" }))?;
    let keys = match config.key_files.as_slice() {
        [] => vec![config.data_dir.join(OWN_KEY)],
        files => files.to_vec(),
    };
    let keys: Vec<_> = keys.iter().map(|key| key.display().to_string()).collect();
    print::line(format_args!(
        "The credentials in it are sealed, and the key is not in it: keep a copy of {} elsewhere.",
        keys.join(" and ")
    ))?;
    Ok(ExitCode::SUCCESS)
}
