//! The sources of a configuration: a file or none, variables, and flags. They can be read again while the node runs.

use super::{Config, Fault, Faults, File};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Variable = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The source of a configuration. Clones read the same one.
#[derive(Clone)]
pub struct Origin {
    file: Option<PathBuf>,
    variable: Arc<Variable>,
    flags: Vec<Flag>,
}

/// A flag that overrides a variable. Faults name the flag.
#[derive(Clone)]
struct Flag {
    name: &'static str,
    variable: &'static str,
    text: String,
}

impl fmt::Debug for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Origin({:?})", self.file)
    }
}

impl Origin {
    /// `variable` looks up an environment variable.
    pub fn new(file: Option<PathBuf>, variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { file, variable: Arc::new(variable), flags: Vec::new() }
    }

    /// Lets a flag of the command line, if given, override a variable.
    pub fn with_flag(mut self, name: &'static str, variable: &'static str, text: Option<String>) -> Self {
        self.flags.extend(text.map(|text| Flag { name, variable, text }));
        self
    }

    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the settings as they are now. A file that cannot be read is a fault too. Blocks on the disk.
    pub fn load(&self) -> Result<Config, Faults> {
        self.load_with(Config::parse)
    }

    /// Like [`Origin::load`], and tries every file that the settings name.
    pub fn load_and_check_files(&self) -> Result<Config, Faults> {
        self.load_with(Config::parse_and_check_files)
    }

    /// Like [`Config::parse_for_start`].
    pub fn load_for_start(&self) -> Result<Config, Faults> {
        self.load_with(Config::parse_for_start)
    }

    fn load_with(
        &self,
        parse: impl FnOnce(Option<File<'_>>, &dyn Fn(&str) -> Option<String>) -> Result<Config, Faults>,
    ) -> Result<Config, Faults> {
        let lookup = |asked: &str| {
            let flag = self.flags.iter().find(|flag| flag.variable == asked);
            flag.map(|flag| flag.text.clone()).or_else(|| (self.variable)(asked))
        };
        let config = match &self.file {
            None => parse(None, &lookup),
            Some(path) => {
                let name = path.display().to_string();
                match std::fs::read_to_string(path) {
                    Ok(text) => parse(Some(File { name: &name, text: &text }), &lookup),
                    Err(why) => Err(Faults(vec![Fault { place: name, what: format!("cannot be read: {why}") }])),
                }
            }
        };
        config.map_err(|faults| self.naming_flags(faults))
    }

    /// Replaces the names of variables in faults by their flags.
    fn naming_flags(&self, Faults(mut faults): Faults) -> Faults {
        for fault in &mut faults {
            if let Some(flag) = self.flags.iter().find(|flag| flag.variable == fault.place) {
                fault.place = flag.name.to_owned();
            }
        }
        Faults(faults)
    }
}
