//! What was looked at: a line each, ok, warn or fail, with what to do.

use std::fmt::Display;

/// Prints each line as soon as it is known.
#[derive(Debug, Default)]
pub struct Report {
    warnings: usize,
    failures: usize,
}

impl Report {
    pub fn ok(&mut self, what: &str, told: impl Display) {
        line("ok", what, told);
    }

    /// Something that works now, and may not for long.
    pub fn warn(&mut self, what: &str, told: impl Display) {
        self.warnings += 1;
        line("warn", what, told);
    }

    pub fn fail(&mut self, what: &str, told: impl Display) {
        self.failures += 1;
        line("fail", what, told);
    }

    /// The last line: whether nothing failed.
    pub fn finish(&self) -> bool {
        let many = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        println!("{}, {}", many(self.failures, "failure"), many(self.warnings, "warning"));
        self.failures == 0
    }
}

fn line(verdict: &str, what: &str, told: impl Display) {
    println!("{verdict:<5} {what:<14} {told}");
}
