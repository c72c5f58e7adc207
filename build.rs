//! Gives `pyapns --version` the commit that the program is built from.
#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a build script prints and runs git")]

use std::path::Path;
use std::process::Command;

/// The commit, for builds without the repository.
const VARIABLE: &str = "PYAPNS_COMMIT";

fn main() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    println!("cargo::rerun-if-changed=build.rs");
    let given = std::env::var(VARIABLE).ok().filter(|commit| !commit.is_empty());
    // Other builds would compile everything again after each commit.
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = given.or_else(|| if is_release { of_repository(Path::new(".")) } else { None });
    let suffix = commit.map(|commit| format!(" ({commit})")).unwrap_or_default();
    // Cargo sets the variable for tests, too: with the prefix PYAPNS_ it would look like a mistyped setting.
    println!("cargo::rustc-env=VERSION_WITH_COMMIT={}{suffix}", env!("CARGO_PKG_VERSION"));
    if is_release {
        // Any of these makes the build differ from its commit.
        for path in ["src", "crates", "Cargo.toml", "Cargo.lock"] {
            println!("cargo::rerun-if-changed={path}");
        }
        for file in ["HEAD", "logs/HEAD", "index"]
            .into_iter()
            .filter_map(|name| git(Path::new("."), &["rev-parse", "--git-path", name]))
        {
            // Cargo takes a file that does not exist for a change.
            if Path::new(&file).exists() {
                println!("cargo::rerun-if-changed={file}");
            }
        }
    }
}

/// The commit of the repository that `folder` is the top of, with `-dirty` if files have changed since. `None` without
/// git, and for sources inside another repository.
pub fn of_repository(folder: &Path) -> Option<String> {
    let top = git(folder, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != folder.canonicalize().ok()? {
        return None;
    }
    git(folder, &["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
}
