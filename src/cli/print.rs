//! Prints, and ignores a closed pipe: `pyapns … | head` succeeds, and a node keeps running.

use anyhow::Context;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Prints a line on standard output.
pub fn line(text: impl Display) -> anyhow::Result<()> {
    ignore_closed_pipe(writeln!(io::stdout(), "{text}")).context("cannot write to standard output")
}

/// Prints a line on standard error. Ignores errors, as there is no other place to report them.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Replaces the last line on a terminal's standard error.
pub fn progress(text: impl Display) {
    let _ = write!(io::stderr(), "\r\x1b[K{text}");
}

/// Ignores the error of a closed pipe, whose reader stopped on purpose. Returns other errors.
pub fn ignore_closed_pipe(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
