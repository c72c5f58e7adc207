//! Keeps the house in order: who may know whom, what pure files may not touch, how long files and functions may be.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `src/`, each with its rank: a module may use those of a lower rank, and of its own only itself.
const LAYERS: &[(&str, u32)] = &[
    ("json", 0),
    ("model", 1),
    ("clock", 2),
    ("telemetry", 2),
    ("drain", 2),
    ("store", 3),
    ("credentials", 3),
    ("apns", 4),
    ("registry", 5),
    ("events", 5),
    ("cluster", 6),
    ("delivery", 7),
    ("http", 8),
    ("api", 9),
    ("autoprovision", 10),
    ("config", 11),
    ("node", 12),
    ("cli", 13),
    ("main", 14),
    ("lib", 15),
];

/// Files (or folders) that decide and do nothing else.
const PURE: &[&str] = &[
    "model",
    "apns/endpoint.rs",
    "apns/pulse.rs",
    "apns/request.rs",
    "apns/response.rs",
    "delivery/backoff.rs",
    "delivery/bound.rs",
    "delivery/cut.rs",
    "delivery/job.rs",
    "delivery/lane/health.rs",
    "delivery/lane/routes.rs",
    "delivery/lane/throttle.rs",
    "delivery/shard.rs",
    "delivery/verdict.rs",
    "events/disconnection.rs",
    "events/guard.rs",
];

/// What has no place in a pure file.
const IMPURE: &[&str] = &[
    "async fn",
    ".await",
    "tokio::net",
    "tokio::spawn",
    "std::net",
    "std::fs",
    "SystemTime",
    "Instant::now",
    "fastrand",
    "std::thread",
];

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Everything that may stand at the top of the repository.
const TOP_LEVEL: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "crates",
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

struct Source {
    /// Relative to `src/`.
    path: String,
    text: String,
}

impl Source {
    /// The first folder or file name: the module that the layers speak of.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs" || part == "contract.rs")
    }

    /// The lines that are not its tests.
    fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        lines.take_while(|(_, line)| *line != "#[cfg(test)]")
    }

    /// The lines that are code, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.product().filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut found = Vec::new();
    walk(&src, &mut |path| {
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).expect("a source file is text");
            let path = path.strip_prefix(&src).expect("below src").to_string_lossy().into_owned();
            found.push(Source { path, text });
        }
    });
    assert!(found.len() > 20, "the walk found the sources");
    found
}

fn walk(folder: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() { walk(&path, visit) } else { visit(&path) }
    }
}

/// Collects complaints and fails with all of them at once.
#[derive(Default)]
struct Complaints(String);

impl Complaints {
    fn add(&mut self, source: &Source, line: usize, what: impl std::fmt::Display) {
        let _ = writeln!(self.0, "src/{}:{line}: {what}", source.path);
    }
}

impl Drop for Complaints {
    fn drop(&mut self) {
        assert!(std::thread::panicking() || self.0.is_empty(), "\n{}", self.0);
    }
}

fn rank(module: &str) -> u32 {
    let found = LAYERS.iter().find(|(name, _)| *name == module);
    found.unwrap_or_else(|| panic!("src/{module} has no place in the layers")).1
}

/// The modules named after `crate::` (or `pyapns::` in main) in a line.
fn mentions(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").chain(line.match_indices("pyapns::")).map(|(at, prefix)| {
        let rest = &line[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

/// Whether `text` stands in the line and does not merely begin a longer name.
fn holds_word(line: &str, text: &str) -> bool {
    let ends = |at: usize| !line[at + text.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
    line.match_indices(text).any(|(at, _)| ends(at))
}

#[test]
fn no_module_knows_one_above_it() {
    let mut complaints = Complaints::default();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let own = source.module();
        for (at, line) in source.code() {
            for other in mentions(line).filter(|other| !other.is_empty() && *other != own && own != "lib") {
                if rank(other) >= rank(own) {
                    complaints.add(source, at, format_args!("{own} may not know {other}"));
                }
            }
        }
    }
}

#[test]
fn pure_files_only_decide() {
    let mut complaints = Complaints::default();
    for pure in PURE {
        let found = sources().into_iter().filter(|source| {
            let path = source.path.as_str();
            let parent = format!("{}.rs", pure.trim_end_matches(".rs"));
            path == *pure || path == parent || path.starts_with(&format!("{}/", pure.trim_end_matches(".rs")))
        });
        let mut any = false;
        for source in found.filter(|source| !source.is_test()) {
            any = true;
            for (at, line) in source.code() {
                for word in IMPURE.iter().filter(|word| holds_word(line, word)) {
                    complaints.add(&source, at, format_args!("`{word}` in a pure file"));
                }
            }
        }
        assert!(any, "{pure} is listed as pure and does not exist");
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut complaints = Complaints::default();
    for source in sources() {
        if !source.text.starts_with("//! ") {
            complaints.add(&source, 1, "does not open with a line that says what it is for");
        }
    }
}

#[test]
fn files_and_functions_stay_short() {
    let mut complaints = Complaints::default();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let lines = source.product().count();
        if lines > FILE_LINES_MAX {
            complaints.add(source, lines, format_args!("{lines} lines, at most {FILE_LINES_MAX}"));
        }
        let mut began: Option<(usize, usize)> = None;
        for (at, line) in source.code() {
            let indent = line.len() - line.trim_start().len();
            let head = line.trim_start();
            let names = ["fn ", "pub fn ", "async fn ", "pub async fn ", "const fn ", "pub const fn "];
            let opens = names.iter().any(|name| head.starts_with(name))
                || (head.starts_with("pub(") && head.contains(") fn ")
                    || head.starts_with("pub(") && head.contains(" fn "));
            if opens && !head.ends_with(';') && !(head.ends_with('}')) {
                began = Some((at, indent));
            } else if let Some((start, depth)) = began
                && indent == depth
                && head == "}"
            {
                let length = at - start + 1;
                if length > FUNCTION_LINES_MAX {
                    complaints.add(
                        source,
                        start,
                        format_args!("a function of {length} lines, at most {FUNCTION_LINES_MAX}"),
                    );
                }
                began = None;
            }
        }
    }
}

#[test]
fn every_select_is_biased() {
    let mut complaints = Complaints::default();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("select! {")) {
            if !line.contains("biased;") && lines.get(at + 1).is_none_or(|next| next.trim() != "biased;") {
                complaints.add(&source, at + 1, "select! without `biased;` first");
            }
        }
    }
}

#[test]
fn tasks_start_through_the_drain_and_channels_are_bounded() {
    let mut complaints = Complaints::default();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (at, line) in source.code() {
            let spawns = line.contains("tokio::spawn") || line.contains("task::spawn(");
            if spawns && source.path != "drain.rs" {
                complaints.add(source, at, "a task is started past the drain");
            }
            if line.contains("unbounded_channel") || line.contains("mpsc::channel()") {
                complaints.add(source, at, "a channel without a bound");
            }
            if line.contains("SystemTime::now") && source.path != "clock.rs" {
                complaints.add(source, at, "the wall clock is read outside clock.rs");
            }
        }
    }
}

#[test]
fn only_one_file_prints() {
    let mut complaints = Complaints::default();
    for source in sources().iter().filter(|source| !source.is_test() && source.path != "cli/print.rs") {
        for (at, line) in source.code().filter(|(_, line)| line.contains("println!(") || line.contains("print!(")) {
            complaints.add(source, at, format_args!("`{}` panics where nobody reads: cli/print.rs", line.trim()));
        }
    }
}

#[test]
fn nothing_is_left_open() {
    let mut complaints = Complaints::default();
    for source in sources() {
        for (at, line) in source.text.lines().enumerate() {
            for word in ["todo!(", "unimplemented!(", "dbg!(", "#[ignore", "TODO", "FIXME", "XXX"] {
                if line.contains(word) {
                    complaints.add(&source, at + 1, format_args!("`{word}` is left open"));
                }
            }
        }
    }
}

#[test]
fn nothing_stands_at_the_top_without_need() {
    let names = fs::read_dir(root())
        .expect("the root")
        .map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned());
    let strangers: Vec<_> =
        names.filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str())).collect();
    assert!(strangers.is_empty(), "{strangers:?} at the top of the repository");
}
