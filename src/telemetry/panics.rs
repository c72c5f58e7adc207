//! Logs panics in the log's format, in place of the standard library's text on standard error.

use super::Logging;
use crate::subject;
use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;
use std::time::Duration;

/// The time limit for writing the last line of a process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Logs every panic of this process from now on, on any thread.
pub(super) fn install(logging: Logging) {
    panic::set_hook(Box::new(move |info| {
        log(info);
        // The process ends with its main thread.
        if thread::current().name() == Some("main") {
            logging.flush(FLUSH_TIMEOUT);
        }
    }));
}

fn log(info: &PanicHookInfo<'_>) {
    let subject = subject::current();
    let (request_id, app) = subject.as_ref().map_or((None, None), |subject| (subject.request_id(), subject.app()));
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let current = thread::current();
    let thread = current.name();
    // Captured only with RUST_BACKTRACE set. It holds names and locations, no values.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let why = literal(info.payload());
    tracing::error!(request_id, app, thread, location, backtrace, "a panic, which is a bug in pyapns: {why}");
}

/// The message, if it is a literal of the source. A formatted message may hold a caller's data or a secret: `unwrap`
/// prints the value that it found, a failed slice prints the text. The location is enough to find the bug.
fn literal(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("its message is not shown, since it may hold data")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(panic: impl FnOnce() + panic::UnwindSafe) -> &'static str {
        literal(&*panic::catch_unwind(panic).expect_err("a panic"))
    }

    #[test]
    fn a_literal_message_is_shown_and_a_formatted_one_is_not() {
        assert_eq!(shown(|| panic!("the places are counted")), "the places are counted");
        let secret = String::from("-----BEGIN PRIVATE KEY-----");
        let hidden = "its message is not shown, since it may hold data";
        assert_eq!(shown(|| panic!("{secret}")), hidden);
        assert_eq!(shown(|| assert_eq!(secret.parse::<u32>().expect("a number"), 0)), hidden);
        assert_eq!(shown(|| panic::panic_any(7)), hidden);
    }
}
