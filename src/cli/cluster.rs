//! `pyapns cluster`: makes what the nodes of a cluster have in common, recovers the apps of their shared store, and seals
//! the credentials there again.

use super::send::Node;
use super::{print, runtime};
use crate::cluster::identity;
use crate::credentials::Secret;
use crate::credentials::keyring::{OWN_KEY, new_key_file};
use crate::drain::Drain;
use crate::http::client::{Client, refusal};
use anyhow::{Context, bail};
use http::Method;
use serde_json::{Value, json};
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

pub const RESEAL_EXAMPLES: &str = "\
Examples:
  pyapns cluster reseal --node http://10.0.0.1:8088

To change the key of a cluster: add the new file to credentials.key_files of all nodes as the last one, and restart them in
turn; make it the first one on all nodes, and restart them in turn; run this command against one node; remove the old file,
and restart the nodes in turn. The API key, if the node requires one, needs the scope admin. To run the command again is
harmless.";

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
    /// Encrypt all stored credentials of a cluster again, with the first key of a node. Every node must have this key.
    #[command(after_help = RESEAL_EXAMPLES)]
    Reseal {
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
        Command::Reseal { node } => runtime()?.block_on(reseal(node)),
    }
}

async fn restore(action: Action, node: &Node) -> anyhow::Result<ExitCode> {
    let action = match action {
        Action::WriteBack => "write_back",
        Action::Accept => "accept",
    };
    let [written, apps, _] = decide(action, node).await?;
    print::line(format_args!("{written} apps were written to the shared store; the node has {apps} apps."))?;
    Ok(ExitCode::SUCCESS)
}

async fn reseal(node: &Node) -> anyhow::Result<ExitCode> {
    let [written, apps, left] = decide("reseal", node).await?;
    print::line(format_args!("{written} of {apps} credentials were encrypted again, with the first key of the node."))?;
    if left.as_u64().is_some_and(|left| left > 0) {
        bail!("{left} credentials are still encrypted with another key: keep its file; `pyapns doctor` names the apps");
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a decision about the shared store through a node. Returns the numbers of apps that were written, of all, and of
/// those that are left.
async fn decide(action: &str, node: &Node) -> anyhow::Result<[Value; 3]> {
    let drain = Drain::new();
    let mut caller = Client::connect(&node.target()?, &drain).await?;
    let body = json!({"action": action}).to_string();
    let (status, answer) = caller.exchange(Method::POST, "/cluster/registry", body.into()).await?;
    if status != 200 {
        bail!("{}", refusal(status, &answer));
    }
    Ok(["written", "apps", "left"].map(|field| answer["response"][field].clone()))
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
