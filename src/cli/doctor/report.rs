//! The report: one line per check, ok, warn or fail, with advice.

use crate::cli::print::{self, Colour, in_colour};
use std::fmt::Display;
use std::io::stdout;

/// Prints each line as soon as its check is done.
#[derive(Debug, Default)]
pub struct Report {
    warnings: usize,
    failures: usize,
    /// The error of the first line that could not be printed.
    print_error: Option<anyhow::Error>,
}

impl Report {
    pub fn ok(&mut self, what: &str, text: impl Display) {
        self.line("ok", Colour::Green, what, text);
    }

    /// Reports something that works now, and may stop working.
    pub fn warn(&mut self, what: &str, text: impl Display) {
        self.warnings += 1;
        self.line("warn", Colour::Yellow, what, text);
    }

    pub fn fail(&mut self, what: &str, text: impl Display) {
        self.failures += 1;
        self.line("fail", Colour::Red, what, text);
    }

    /// Prints the last line. Returns true if nothing failed.
    pub fn finish(mut self) -> anyhow::Result<bool> {
        let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let last = format!("{}, {}", counted(self.failures, "failure"), counted(self.warnings, "warning"));
        self.print(last);
        self.print_error.map_or(Ok(self.failures == 0), Err)
    }

    fn line(&mut self, verdict: &str, colour: Colour, what: &str, text: impl Display) {
        let verdict = in_colour(&format!("{verdict:<5}"), colour, &stdout());
        self.print(format_args!("{verdict} {what:<14} {text}"));
    }

    /// Prints a line. A line that cannot be printed stops no check.
    fn print(&mut self, line: impl Display) {
        if let Err(error) = print::line(line) {
            self.print_error.get_or_insert(error);
        }
    }
}
