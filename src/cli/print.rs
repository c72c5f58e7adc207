//! Prints, and goes on in silence once nobody reads any more: `pyapns … | head` ends well, and a node keeps running.

use anyhow::Context;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// A line on standard output.
pub fn line(text: impl Display) -> anyhow::Result<()> {
    ignore_closed_pipe(writeln!(io::stdout(), "{text}")).context("nothing can be written to standard output")
}

/// A line on standard error. What cannot be told there can be told nowhere.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Takes the place of the last line on a terminal's standard error.
pub fn progress(text: impl Display) {
    let _ = write!(io::stderr(), "\r\x1b[K{text}");
}

/// Ignores a closed pipe, whose reader left on purpose. Other errors stay.
pub fn ignore_closed_pipe(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
