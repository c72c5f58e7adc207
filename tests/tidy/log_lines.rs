//! A node sends for many apps, so a log line about sending must name the app.

use super::source::{Complaint, Source};

const ABOUT_SENDING: [&str; 2] = ["delivery", "events"];
const FROM_INFO_ON: [&str; 3] = ["error", "warn", "info"];

/// Files about links, whose lines may name a peer instead.
const ABOUT_PEERS: &str = "delivery/peer/";

/// The first field of each such line is `app`, or `peer` in a file about links.
pub fn check(source: &Source) -> Vec<Complaint> {
    if !ABOUT_SENDING.contains(&source.module()) {
        return Vec::new();
    }
    let text = |at: usize| source.tokens.get(at).map_or("", |token| token.text.as_str());
    let begins = |at: &usize| {
        text(*at) == "tracing" && text(at + 1) == "::" && FROM_INFO_ON.contains(&text(at + 2)) && text(at + 3) == "!"
    };
    let names_app = |at: usize| {
        let field = at + 5 + usize::from(text(at + 5) == "%");
        let names = text(field) == "app" || (text(field) == "peer" && source.path.starts_with(ABOUT_PEERS));
        names && [",", "="].contains(&text(field + 1))
    };
    let nameless = (0..source.tokens.len()).filter(begins).filter(|at| !names_app(*at));
    nameless
        .map(|at| Complaint::new(source.tokens[at].line, "a log line without its `app` as the first field"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines;

    #[test]
    fn a_line_about_sending_without_its_app_is_seen() {
        for nameless in [
            "fn f() { tracing::error!(%error, \"a\"); }",
            "fn f() { tracing::warn!(\"app\"); }",
            "fn f() { tracing::info!(\n    entries,\n    app,\n    \"a\"\n); }",
            "fn f() { tracing::info!(apps = 3, \"a\"); }",
        ] {
            assert!(!lines(check, "delivery/lane.rs", nameless).is_empty(), "{nameless}");
            assert_eq!(lines(check, "api/error.rs", nameless), [0; 0], "{nameless}");
        }
        let about_peer = "fn f() { tracing::warn!(peer = %self.node, \"a\"); }";
        assert_eq!(lines(check, "delivery/peer/link.rs", about_peer), [0; 0]);
        assert!(!lines(check, "delivery/lane.rs", about_peer).is_empty());
        for fine in [
            "fn f() { tracing::error!(app = %key, \"a\"); }",
            "fn f() { tracing::error!(\n    %app,\n    \"a\"\n); }",
            "fn f() { tracing::warn!(app, entries, \"a\"); }",
            "fn f() { tracing::debug!(\"a\"); }",
        ] {
            assert_eq!(lines(check, "events.rs", fine), [0; 0], "{fine}");
        }
    }
}
