//! What was looked at: a line each, ok, warn or fail, with what to do.

use crate::cli::print;
use std::fmt::Display;

/// Prints each line as soon as it is known.
#[derive(Debug, Default)]
pub struct Report {
    warnings: usize,
    failures: usize,
    /// Why the first line that is missing could not be printed.
    unwritten: Option<anyhow::Error>,
}

impl Report {
    pub fn ok(&mut self, what: &str, told: impl Display) {
        self.line("ok", what, told);
    }

    /// Something that works now, and may not for long.
    pub fn warn(&mut self, what: &str, told: impl Display) {
        self.warnings += 1;
        self.line("warn", what, told);
    }

    pub fn fail(&mut self, what: &str, told: impl Display) {
        self.failures += 1;
        self.line("fail", what, told);
    }

    /// The last line: whether nothing failed.
    pub fn finish(mut self) -> anyhow::Result<bool> {
        let many = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let last = format!("{}, {}", many(self.failures, "failure"), many(self.warnings, "warning"));
        self.print(last);
        self.unwritten.map_or(Ok(self.failures == 0), Err)
    }

    fn line(&mut self, verdict: &str, what: &str, told: impl Display) {
        self.print(format_args!("{verdict:<5} {what:<14} {told}"));
    }

    /// What cannot be printed does not keep anything from being looked at.
    fn print(&mut self, line: impl Display) {
        if let Err(error) = print::line(line) {
            self.unwritten.get_or_insert(error);
        }
    }
}
