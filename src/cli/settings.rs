//! Where a command takes the node's settings from: flags win over variables, variables over the file.

use crate::config::{Config, Fault, Faults, File};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct Settings {
    /// TOML file with the settings; without it, the defaults and the environment's PYAPNS_… variables.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the REST API listens; port 0 takes a free one [default: 127.0.0.1:8088].
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// What has to outlive the process is kept here [default: ./pyapns-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Settings {
    /// The settings, with every file that they name tried; or everything that is wrong with them.
    pub fn read(&self) -> Result<Config, Faults> {
        let named = self.config.as_deref();
        let text = named.map(read).transpose()?;
        let name = named.map(|path| path.display().to_string()).unwrap_or_default();
        let file = text.as_deref().map(|text| File { name: &name, text });
        let data_dir = self.data_dir.as_deref().map(|path| path.to_string_lossy().into_owned());
        Config::read_with_files(file, &|variable| {
            let flag = match variable {
                "PYAPNS_LISTEN" => self.listen.clone(),
                "PYAPNS_DATA_DIR" => data_dir.clone(),
                _ => None,
            };
            flag.or_else(|| std::env::var(variable).ok())
        })
    }

    /// What was read, for a person.
    pub fn source(&self) -> String {
        match &self.config {
            Some(path) => path.display().to_string(),
            None => "the defaults and the environment".to_owned(),
        }
    }
}

fn read(path: &Path) -> Result<String, Faults> {
    std::fs::read_to_string(path).map_err(|error| {
        let what = format!("the file cannot be read: {error}");
        Faults(vec![Fault { place: path.display().to_string(), what }])
    })
}
