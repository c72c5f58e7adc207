//! `pyapns cluster`: makes what the nodes of a cluster have in common, and recovers the apps of their shared store.

use super::send::Node;
use super::{print, runtime};
use crate::cluster::identity;
use crate::credentials::Secret;
use crate::credentials::keyring::{OWN_KEY, new_key_file};
use crate::drain::Drain;
use crate::http::client::{Client, refusal};
use anyhow::{Context, bail};
use http::Method;
use serde_json::json;
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

pub const RESTORE_EXAMPLES: &str = "\
Examples:
  pyapns cluster restore-registry write-back --node http://10.0.0.1:8088
  pyapns cluster restore-registry accept --node http://10.0.0.1:8088 --api-key-file admin.key

/readyz of a node shows `registry` with `registry_foreign` while a decision is needed. The API key, if the node requires one,
needs the scope admin. To run the command again is harmless.";

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
    /// Decide about a shared store that has lost apps, or was replaced: the nodes keep their apps then, and refuse changes.
    #[command(after_help = RESTORE_EXAMPLES)]
    RestoreRegistry {
        #[arg(value_name = "ACTION")]
        action: Action,
        #[command(flatten)]
        node: Node,
    },
}

/// The end of the state in which the shared store has lost apps.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Action {
    /// Give the shared store the apps of one node, which has a copy of them. The other nodes follow.
    WriteBack,
    /// Take the apps that the shared store has now, on all nodes. All other apps are removed.
    Accept,
}

pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init { folder } => make(folder),
        Command::RestoreRegistry { action, node } => runtime()?.block_on(restore(*action, node)),
    }
}

async fn restore(action: Action, node: &Node) -> anyhow::Result<ExitCode> {
    let action = match action {
        Action::WriteBack => "write_back",
        Action::Accept => "accept",
    };
    let drain = Drain::new();
    let mut caller = Client::connect(&node.target()?, &drain).await?;
    let body = json!({"action": action}).to_string();
    let (status, answer) = caller.exchange(Method::POST, "/cluster/registry", body.into()).await?;
    if status != 200 {
        bail!("{}", refusal(status, &answer));
    }
    let (written, apps) = (&answer["response"]["written"], &answer["response"]["apps"]);
    print::line(format_args!("{written} apps were written to the shared store; the node has {apps} apps."))?;
    Ok(ExitCode::SUCCESS)
}

fn make(folder: &Path) -> anyhow::Result<ExitCode> {
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
