//! Keeps the house in order: who may know whom, what pure files may not touch, how long files and functions may be.
//!
//! Each kind of check is a file: its rule as data, one function over a source file, and tests that plant what it must see.

mod bans;
mod layers;
mod length;
mod log_lines;
mod paths;
mod purity;
mod shape;
mod source;

use source::{Complaint, Source};
use std::fmt::Write as _;

type Check = fn(&Source) -> Vec<Complaint>;

/// Everything that may stand at the top of the repository.
const TOP_LEVEL: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "benches",
    "clippy.toml",
    "crates",
    "deny.toml",
    "deploy",
    "docs",
    "fuzz",
    "grafana",
    "haproxy",
    "pyapns-data",
    "python",
    "rustfmt.toml",
    "src",
    "target",
    "tests",
];

/// Fails with all complaints together.
fn hold(check: Check, sources: impl IntoIterator<Item = &'static Source>) {
    let mut all = String::new();
    for source in sources {
        for Complaint { line, what } in check(source) {
            let _ = writeln!(all, "{}:{line}: {what}", source.place());
        }
    }
    assert!(all.is_empty(), "\n{all}");
}

/// The lines of a planted text that a check complains of.
fn lines(check: Check, path: &str, text: &str) -> Vec<usize> {
    check(&Source::new(path, text)).into_iter().map(|complaint| complaint.line).collect()
}

#[test]
fn no_module_knows_one_above_it() {
    hold(layers::check, source::product());
}

#[test]
fn pure_files_only_decide() {
    hold(purity::check, source::product());
    assert_eq!(purity::check_lists(source::all()), [""; 0]);
}

#[test]
fn banned_calls_are_only_in_their_place() {
    hold(bans::check, source::product());
}

#[test]
fn files_and_functions_stay_short() {
    hold(length::check, source::product());
}

#[test]
fn every_file_says_what_it_is_for() {
    hold(shape::check_opening, source::all());
}

#[test]
fn every_select_is_biased() {
    hold(shape::check_selects, source::all());
}

#[test]
fn nothing_is_left_open() {
    hold(shape::check_left_open, source::all());
}

#[test]
fn no_file_is_at_the_top_without_need() {
    let names = std::fs::read_dir(source::root())
        .expect("the root")
        .map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned());
    let strangers: Vec<_> =
        names.filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str())).collect();
    assert!(strangers.is_empty(), "{strangers:?} at the top of the repository");
}

#[test]
fn log_lines_about_sending_carry_the_app() {
    hold(log_lines::check, source::product());
}
