//! `pyapns init`: makes a configuration to begin with.

use super::print;
use crate::api::auth::key::{Digest, new_secret};
use crate::config::DEFAULTS;
use anyhow::Context;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The name of the file.
const FILE: &str = "pyapns.toml";
/// The name of the data directory beside it.
const DATA: &str = "data";
/// The id of the key.
const KEY: &str = "admin";

pub const EXAMPLES: &str = "\
Examples:
  pyapns init /etc/pyapns --data-dir /var/lib/pyapns
  pyapns init . && pyapns serve --config pyapns.toml

Writes DIR/pyapns.toml: every setting with its default and its meaning, as comments, and one API key with the scope
admin. The key is printed once and stored nowhere; the file has only its hash. `pyapns key` makes more keys. Nothing is
ever overwritten.";

/// Write a commented configuration with an API key, and print the next commands.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder for the configuration; made if it does not exist.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The data directory of the node; it is not made here [default: DIR/data].
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let folder = &arguments.folder;
    let at = || format!("nothing was written to {}", folder.display());
    DirBuilder::new().recursive(true).create(folder).with_context(at)?;
    let folder = folder.canonicalize().with_context(at)?;
    let secret = new_secret().context("the system's random number generator failed")?;
    let file = folder.join(FILE);
    let data = arguments.data_dir.clone().unwrap_or_else(|| folder.join(DATA));
    // A relative path is relative to the folder in which this command runs.
    let data = std::path::absolute(data).context("the data directory has no absolute path")?;
    let text = configuration(&data, &Digest::of(secret.as_bytes()).to_string());
    write(&file, &text).with_context(at)?;
    let file = file.display();
    print::line(format_args!(
        "wrote {file}\n\
         the API key, which is shown only once: {KEY}.{key}\n\n\
         next, start the node (with --simulator to try it without an Apple account):\n  \
         pyapns serve --config {file}\n\
         and then ask it:\n  \
         curl -H 'Authorization: Bearer {KEY}.{key}' http://127.0.0.1:8088/apps",
        key = *secret
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The documented defaults as comments, with the settings that a new node needs.
fn configuration(data: &Path, digest: &str) -> String {
    let mut text = "# The settings of this node. A setting that is a comment has the value in the comment. Remove the `#` to change it.\n"
        .to_owned();
    // The first line is about the list of the defaults.
    for line in DEFAULTS.lines().skip(1) {
        if line.starts_with("data_dir = ") {
            text.push_str(&format!("data_dir = {}\n", toml::Value::from(data.display().to_string())));
            continue;
        }
        let is_setting = !line.is_empty() && !line.starts_with(['#', '[']);
        text.push_str(if is_setting { "# " } else { "" });
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&format!("\n[[api_keys]]\nid = \"{KEY}\"\nsecret_sha256 = \"{digest}\"\nscopes = [\"admin\"]\n"));
    text
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => anyhow::anyhow!(
            "{} exists already, and is not overwritten: choose another folder, or move it away",
            path.display()
        ),
        _ => error.into(),
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        drop(std::fs::remove_file(path));
    }
    Ok(written?)
}
