//! Faults of a configuration.

use std::fmt::{self, Display};
use toml::Value;

/// A fault and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The setting in the file, the variable or the flag.
    pub place: String,
    pub what: String,
}

impl Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.what)
    }
}

/// All faults, displayed one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            write!(out, "{}{fault}", if index > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Ends a fault with the value given for a number or a boolean. Settings of these types are never secret.
pub(super) fn but_got(given: &Value) -> String {
    const SHORT: usize = 32;
    let given = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
    if given.len() > SHORT { String::new() } else { format!(", not `{}`", given.escape_debug()) }
}
