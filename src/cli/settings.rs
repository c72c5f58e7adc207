//! Where a command takes the node's settings from: flags win over variables, variables over the file.

use crate::config::{Origin, unknown_variables};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Settings {
    /// TOML file with the settings; without it, the defaults and the environment's PYAPNS_… variables.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the REST API listens; port 0 takes a free one [default: 127.0.0.1:8088].
    #[arg(long, value_name = "HOST:PORT | unix:PATH")]
    listen: Option<String>,
    /// Listen where other machines can reach it, without API keys: something else guards it.
    #[arg(long)]
    insecure: bool,
    /// The data directory: everything that outlives the process [default: ./pyapns-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The Redis that the nodes of a cluster share, without a password [default: a database in the data directory].
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

impl Settings {
    /// Where to read them.
    pub fn origin(&self) -> Origin {
        let data_dir = self.data_dir.as_deref().map(|path| path.to_string_lossy().into_owned());
        Origin::new(self.config.clone(), |variable| std::env::var(variable).ok())
            .with_flag("--listen", "PYAPNS_LISTEN", self.listen.clone())
            .with_flag("--insecure", "PYAPNS_INSECURE", self.insecure.then(|| "true".to_owned()))
            .with_flag("--data-dir", "PYAPNS_DATA_DIR", data_dir)
            .with_flag("--store", "PYAPNS_STORE_URL", self.store.clone())
    }

    /// Variables that look like settings and are none: a sentence each.
    pub fn warnings() -> Vec<String> {
        let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
        unknown_variables::warnings(names, &super::variables())
    }

    /// The name of the source, for a person.
    pub fn source(&self) -> String {
        match &self.config {
            Some(path) => path.display().to_string(),
            None => "the defaults and the environment".to_owned(),
        }
    }
}
