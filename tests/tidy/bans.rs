//! Calls that may occur in one file only.

use super::source::{Complaint, Source};

struct Ban {
    path: &'static str,
    /// Files, or folders with the file that is called like them, that may.
    but_in: &'static [&'static str],
    why: &'static str,
}

const PAST_THE_DRAIN: &str = "a task is started past the drain";
const WITHOUT_BOUND: &str = "a channel without a bound";
const ERROR_OUTSIDE: &str = "an error is written outside the tables of errors";
const ERROR_TABLES: &[&str] = &["api/error.rs", "http/envelope.rs", "http/error.rs", "http/guard/canned_responses.rs"];
const WALL_CLOCK: &str = "the wall clock is read outside clock.rs";

/// The simulator has its own tasks and clock.
const BANS: &[Ban] = &[
    Ban { path: "tokio::spawn", but_in: &["drain.rs", "crates/simulator"], why: PAST_THE_DRAIN },
    Ban { path: "tokio::task::spawn", but_in: &["drain.rs", "crates/simulator"], why: PAST_THE_DRAIN },
    // A look-up of a name can take long, and ends nothing that a drain waits for.
    Ban {
        path: "tokio::task::spawn_blocking",
        but_in: &["apns/connect/tls.rs", "drain.rs", "crates/simulator"],
        why: PAST_THE_DRAIN,
    },
    Ban { path: "tokio::task::spawn_local", but_in: &[], why: PAST_THE_DRAIN },
    Ban { path: "tokio::task::JoinSet", but_in: &["crates/simulator"], why: PAST_THE_DRAIN },
    Ban { path: "tokio::runtime::Handle", but_in: &[], why: PAST_THE_DRAIN },
    Ban { path: "tokio_util::task::TaskTracker", but_in: &["drain.rs", "crates/simulator"], why: PAST_THE_DRAIN },
    Ban { path: "tokio::sync::mpsc::unbounded_channel", but_in: &[], why: WITHOUT_BOUND },
    Ban { path: "std::sync::mpsc::channel", but_in: &[], why: WITHOUT_BOUND },
    // Their reasons are in tables, which a test compares with the API description.
    Ban { path: "crate::http::envelope::failure", but_in: ERROR_TABLES, why: ERROR_OUTSIDE },
    Ban { path: "crate::http::envelope::failure_with", but_in: ERROR_TABLES, why: ERROR_OUTSIDE },
    Ban { path: "crate::http::envelope::failure_json", but_in: ERROR_TABLES, why: ERROR_OUTSIDE },
    Ban { path: "std::time::SystemTime::now", but_in: &["clock.rs", "crates/simulator"], why: WALL_CLOCK },
];

const PRINTING: [&str; 4] = ["println !", "print !", "eprintln !", "eprint !"];
const PRINTS: &str = "cli/print.rs";

pub fn check(source: &Source) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for used in source.used() {
        for Ban { path, but_in, why } in BANS {
            let may = but_in.iter().any(|place| {
                source
                    .path
                    .strip_prefix(place)
                    .is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
            });
            if used.is_in(path) && !may {
                complaints.push(Complaint::new(used.line, format!("{why}: `{path}`")));
            }
        }
        if used.is_in("std::os::linux") && !used.of_one_system {
            complaints.push(Complaint::new(used.line, "`std::os::linux` without a `#[cfg(target_os = \"linux\")]`"));
        }
    }
    for macro_ in PRINTING.iter().filter(|_| source.path != PRINTS) {
        let found = source.lines_with(macro_).into_iter();
        complaints
            .extend(found.map(|line| Complaint::new(line, format!("`{macro_}` panics on a closed pipe: {PRINTS}"))));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines;

    #[test]
    fn what_has_one_place_is_seen_elsewhere_in_every_form() {
        for banned in [
            "fn f() { tokio::spawn(g()); }",
            "use tokio::spawn;",
            "use tokio::{net::TcpStream, spawn};",
            "use tokio::*;",
            "use tokio::task; fn f() { task::spawn(g()); }",
            "fn f() { tokio::task::spawn_blocking(g); }",
            "use tokio::task::spawn_blocking as beside;",
            "fn f() { tokio::runtime::Handle::current().spawn(g()); }",
            "use tokio::task::JoinSet;",
            "use tokio::sync::mpsc; fn f() { mpsc::unbounded_channel::<u8>(); }",
            "use std::sync::mpsc::channel;",
            "use std::time::SystemTime; fn f() { SystemTime::now(); }",
            "fn f() { g().unwrap_or_else(std::time::SystemTime::now); }",
            "use std::os::linux::net::SocketAddrExt;",
            "fn f() { println!(\"a\"); }",
            "fn f() { std::eprintln!(\"a\"); }",
            "fn f() { fn g() { print!(\"a\"); } }",
            "#[cfg(test)]\nmod tests {}\nfn f() { tokio::spawn(g()); }",
            "use crate::http::envelope; fn f() { envelope::failure(s, \"new\", \"\", &a); }",
            "use crate::http::envelope::failure_with;",
        ] {
            assert!(!lines(check, "api/server.rs", banned).is_empty(), "{banned}");
        }
    }

    #[test]
    fn each_is_fine_in_its_place_and_in_tests() {
        assert_eq!(lines(check, "drain.rs", "fn f() { tokio::spawn(g()); }"), [0; 0]);
        assert_eq!(lines(check, "crates/simulator/src/server.rs", "fn f() { tokio::spawn(g()); }"), [0; 0]);
        assert_eq!(lines(check, "clock.rs", "fn f() { std::time::SystemTime::now(); }"), [0; 0]);
        assert_eq!(lines(check, "cli/print.rs", "fn f() { println!(\"a\"); }"), [0; 0]);
        for fine in [
            "#[cfg(test)]\nmod tests { fn f() { tokio::spawn(g()); } }",
            "fn f(at: std::time::SystemTime) {}",
            "use tokio::sync::mpsc; fn f() { mpsc::channel(1); }",
            "#[cfg(target_os = \"linux\")]\nuse std::os::linux::net::SocketAddrExt;",
            "fn f(drain: &Drain) { drain.spawn(\"a\", g()); }",
        ] {
            assert_eq!(lines(check, "api/server.rs", fine), [0; 0], "{fine}");
        }
    }
}
