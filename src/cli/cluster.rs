//! `pyapns cluster init`: makes what the nodes of a cluster have in common.

use super::print;
use crate::cluster::identity;
use crate::credentials::Secret;
use crate::credentials::keyring::{OWN_KEY, new_key_file};
use anyhow::Context;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The file with the certificate and the key by which nodes know each other.
const IDENTITY: &str = "cluster.pem";

pub const EXAMPLES: &str = "\
Examples:
  pyapns cluster init /etc/pyapns/cluster
  pyapns cluster init cluster >> pyapns.toml";

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make the identity of a cluster and the key of its credentials, and print the settings that name them. Existing
    /// files are never overwritten. Every node gets a copy of both files.
    #[command(after_help = EXAMPLES)]
    Init {
        /// The folder for the two files; made if it does not exist.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Init { folder } = command;
    let [identity, key] = init(folder)?;
    print::line(format_args!(
        "[credentials]\nkey_files = [{}]\n\n[cluster]\nidentity_files = [{}]",
        quoted(&key),
        quoted(&identity)
    ))?;
    print::note(format_args!(
        "Made {} and {}. Who has them can join the cluster and open its credentials: keep a copy in a safe place.\n\
         Copy both files to every node, readable for its user alone, and the settings above. Each node also needs \
         store.url and cluster.allow, the same everywhere, and a node_name and a cluster.listen of its own; \
         `pyapns check-config` reports what is missing.",
        identity.display(),
        key.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Makes both files or none: their absolute paths.
fn init(folder: &Path) -> anyhow::Result<[PathBuf; 2]> {
    let at = || format!("nothing was made in {}", folder.display());
    DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(at)?;
    let folder = folder.canonicalize().with_context(at)?;
    let files = [(folder.join(IDENTITY), identity::generate()?), (folder.join(OWN_KEY), new_key_file()?)];
    if let Some((exists, _)) = files.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
        return Err(taken(exists)).with_context(at);
    }
    let mut made: Vec<&Path> = Vec::new();
    for (path, text) in &files {
        if let Err(error) = write(path, text) {
            // What was made a moment ago is of no use without the other.
            made.iter().for_each(|path| drop(std::fs::remove_file(path)));
            let cause = if error.kind() == ErrorKind::AlreadyExists { taken(path) } else { error.into() };
            return Err(cause).with_context(at);
        }
        made.push(path);
    }
    File::open(&folder).and_then(|folder| folder.sync_all()).with_context(at)?;
    Ok(files.map(|(path, _)| path))
}

fn taken(path: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "{} exists already, and is not overwritten: nodes may use it; choose another folder, or move it away",
        path.display()
    )
}

fn write(path: &Path, text: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(text.expose()).and_then(|()| file.sync_all());
    if written.is_err() {
        drop(std::fs::remove_file(path));
    }
    written
}

fn quoted(path: &Path) -> toml::Value {
    toml::Value::from(path.display().to_string())
}
