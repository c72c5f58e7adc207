//! The flags of a command that reads the node's settings: flags override variables, variables override the file.

use crate::config::{Origin, unknown_variables};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Settings {
    /// TOML file with the settings; without it, the defaults and the environment's PYAPNS_… variables.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address of the REST API; port 0 takes a free one [default: 127.0.0.1:8088].
    #[arg(long, value_name = "HOST:PORT | unix:PATH")]
    listen: Option<String>,
    /// Allow an address that other machines can reach without API keys: a firewall or a proxy protects it.
    #[arg(long)]
    insecure: bool,
    /// The data directory, with everything that is stored [default: ./pyapns-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The Redis that the nodes of a cluster share, without a password [default: a database in the data directory].
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

impl Settings {
    /// The source of the settings.
    pub fn origin(&self) -> Origin {
        let data_dir = self.data_dir.as_deref().map(|path| path.to_string_lossy().into_owned());
        Origin::new(self.config.clone(), |variable| std::env::var(variable).ok())
            .with_flag("--listen", "PYAPNS_LISTEN", self.listen.clone())
            .with_flag("--insecure", "PYAPNS_INSECURE", self.insecure.then(|| "true".to_owned()))
            .with_flag("--data-dir", "PYAPNS_DATA_DIR", data_dir)
            .with_flag("--store", "PYAPNS_STORE_URL", self.store.clone())
    }

    /// A warning for each variable that looks like a setting and is not one.
    pub fn warnings() -> Vec<String> {
        let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
        unknown_variables::warnings(names, &super::variables())
    }

    /// The name of the source, for the operator.
    pub fn source(&self) -> String {
        match &self.config {
            Some(path) => path.display().to_string(),
            None => "the defaults and the environment".to_owned(),
        }
    }
}
