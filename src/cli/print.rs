//! Prints, and ignores a closed pipe: `pyapns … | head` succeeds, and a node keeps running.

use crate::telemetry::logging;
use anyhow::Context;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// The colours of verdicts, as the parameter of the escape sequence.
#[derive(Debug, Clone, Copy)]
pub enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
}

/// The text in a colour, for a line on `stream`: only a terminal gets colours, and none with NO_COLOR.
pub fn in_colour(text: &str, colour: Colour, stream: &impl IsTerminal) -> String {
    let is_plain = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    if stream.is_terminal() && !is_plain && logging::allows_colours() {
        format!("\x1b[{}m{text}\x1b[0m", colour as u8)
    } else {
        text.to_owned()
    }
}

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
