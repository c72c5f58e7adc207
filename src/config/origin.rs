//! Where a configuration comes from: a file or none, and variables. It can be read again while the node runs.

use super::{Config, Fault, Faults, File};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Variable = dyn Fn(&str) -> Option<String> + Send + Sync;

/// See the module. Clones read the same.
#[derive(Clone)]
pub struct Origin {
    file: Option<PathBuf>,
    variable: Arc<Variable>,
}

impl fmt::Debug for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Origin({:?})", self.file)
    }
}

impl Origin {
    /// `variable` looks up an environment variable; command line flags can be put before it.
    pub fn new(file: Option<PathBuf>, variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { file, variable: Arc::new(variable) }
    }

    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the settings as they are now. A file that cannot be read is a fault, too. Blocks for as long as the disk
    /// does.
    pub fn read(&self) -> Result<Config, Faults> {
        self.read_as(Config::read)
    }

    /// The same, and tries every file that the settings name.
    pub fn read_with_files(&self) -> Result<Config, Faults> {
        self.read_as(Config::read_with_files)
    }

    fn read_as(
        &self,
        read: impl FnOnce(Option<File<'_>>, &dyn Fn(&str) -> Option<String>) -> Result<Config, Faults>,
    ) -> Result<Config, Faults> {
        let Some(path) = &self.file else { return read(None, &*self.variable) };
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => read(Some(File { name: &name, text: &text }), &*self.variable),
            Err(why) => Err(Faults(vec![Fault { place: name, what: format!("it cannot be read: {why}") }])),
        }
    }
}
