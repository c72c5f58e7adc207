//! Files that decide and do nothing else: no clock, socket, disk, task or chance.

use super::source::{Complaint, Source};

/// Files, or folders with the file that is called like them.
const PURE: &[&str] = &[
    "crates/http2/src",
    "hash",
    "json",
    "model",
    "apns/channels.rs",
    "apns/endpoint.rs",
    "apns/liveness.rs",
    "apns/request.rs",
    "apns/response.rs",
    "cluster/clock_offset.rs",
    "cluster/ring.rs",
    "cluster/view.rs",
    "delivery/backoff.rs",
    "delivery/bound.rs",
    "delivery/calls/verdict.rs",
    "delivery/split.rs",
    "delivery/descriptors.rs",
    "delivery/job.rs",
    "delivery/lane/health.rs",
    "delivery/lane/queue.rs",
    "delivery/lane/routes.rs",
    "delivery/lane/throttle.rs",
    "delivery/peer/clock.rs",
    "delivery/peer/greeting.rs",
    "delivery/peer/link/exchange.rs",
    "delivery/peer/link/liveness.rs",
    "delivery/peer/link/pauses.rs",
    "delivery/peer/outbox.rs",
    "delivery/peer/wire.rs",
    "delivery/refusal.rs",
    "delivery/shard.rs",
    "delivery/status/app.rs",
    "delivery/status/figures.rs",
    "delivery/verdict.rs",
    "events/disconnection.rs",
    "events/guard.rs",
];

/// Paths that no pure file may use.
const IMPURE: &[&str] = &[
    "crate::clock",
    "fastrand",
    "rustix",
    "socket2",
    "std::env",
    "std::fs",
    "std::io::stdin",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant::now",
    "std::time::SystemTime",
    "tokio::fs",
    "tokio::net",
    "tokio::process",
    "tokio::spawn",
    "tokio::task",
    "tokio::time::Instant::now",
    "tokio::time::sleep",
    "uuid::Uuid::new_v4",
];

/// The words of code that waits.
const WAITING: [&str; 2] = ["async", ". await"];

pub fn check(source: &Source) -> Vec<Complaint> {
    if !PURE.iter().any(|pure| covers(pure, &source.path)) {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for used in source.used() {
        if let Some(impure) = IMPURE.iter().find(|impure| used.is_in(impure)) {
            complaints.push(Complaint::new(used.line, format!("`{impure}` in a pure file")));
        }
    }
    for word in WAITING {
        let waits = source.lines_with(word).into_iter();
        complaints.extend(waits.map(|line| Complaint::new(line, format!("`{word}` in a pure file"))));
    }
    complaints
}

/// Returns `true` if a line of the list covers the file.
fn covers(pure: &str, path: &str) -> bool {
    let stem = pure.trim_end_matches(".rs");
    path == format!("{stem}.rs") || path.starts_with(&format!("{stem}/"))
}

/// Returns a sentence for each listed file that does not exist.
pub fn check_lists(sources: &[Source]) -> Vec<String> {
    let lost = PURE.iter().filter(|pure| !sources.iter().any(|source| covers(pure, &source.path)));
    lost.map(|pure| format!("{pure} is listed as pure and does not exist")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines;

    #[test]
    fn everything_impure_is_found_in_a_pure_file() {
        for impure in [
            "async fn f() {}",
            "fn f() { async { 1 }; }",
            "fn f() { g().await; }",
            "use std::fs;",
            "use std::{fmt, net::IpAddr};",
            "fn f() { std::thread::yield_now(); }",
            "use std::time; fn f() { time::SystemTime::now(); }",
            "use std::time::Instant; fn f() { Instant::now(); }",
            "use tokio::time::Instant as I; fn f() { I::now(); }",
            "use uuid::Uuid; fn f() { Uuid::new_v4(); }",
            "fn f(id: Option<Uuid>) { id.unwrap_or_else(uuid::Uuid::new_v4); }",
            "fn f() { fastrand::u64(..); }",
            "fn f() { #[cfg(test)]\nlet a = 1; tokio::spawn(g()); }",
            "fn f() { vec![tokio::spawn(g())]; }",
        ] {
            assert!(!lines(check, "delivery/verdict.rs", impure).is_empty(), "{impure}");
            assert!(!lines(check, "crates/http2/src/session/end.rs", impure).is_empty(), "{impure}");
            assert_eq!(lines(check, "delivery/lane.rs", impure), [0; 0], "{impure}");
        }
    }

    #[test]
    fn deciding_is_fine_and_so_are_the_tests_of_it() {
        for fine in [
            "use std::time::{Duration, Instant}; fn f(now: Instant) -> Instant { now }",
            "#[cfg(test)]\nmod tests { fn f() { std::time::Instant::now(); } }",
            "// std::fs",
            "fn is_async() {}",
        ] {
            assert_eq!(lines(check, "delivery/verdict.rs", fine), [0; 0], "{fine}");
        }
    }

    #[test]
    fn a_listed_file_that_does_not_exist_is_a_complaint() {
        let complaints = check_lists(&[Source::new("model/notification.rs", "")]);
        assert!(complaints.iter().any(|what| what.starts_with("delivery/verdict.rs is listed")), "{complaints:?}");
    }
}
