//! The output of `pyapns completions`, read by its shells. A shell that is not installed is skipped.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The printed script, in a file that has the name its shell looks for.
fn script(folder: &TempDir, shell: &str, name: &str) -> PathBuf {
    let output = Command::new(env!("CARGO_BIN_EXE_pyapns")).args(["completions", shell]).output();
    let output = output.expect("the program runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let file = folder.path().join(name);
    std::fs::write(&file, output.stdout).expect("a file");
    file
}

/// Returns the output of a shell, and asserts that it prints no error; `None` if the shell is not installed.
fn run(shell: &str, arguments: &[&str], script: &Path) -> Option<String> {
    let output = match Command::new(shell).args(arguments).arg(script).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("{shell} is not installed: what is printed for it was not tried");
            return None;
        }
        output => output.expect("the shell runs"),
    };
    assert!(output.status.success() && output.stderr.is_empty(), "{shell} {arguments:?}: {output:?}");
    Some(String::from_utf8(output.stdout).expect("text"))
}

/// Words as a caller has typed them, the last one still being written: what bash offers in its place.
fn in_bash(script: &Path, words: &[&str]) -> Vec<String> {
    let (typed, at) = (words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "), words.len() - 1);
    let (current, previous) = (words[at], words[at - 1]);
    let ask = format!(
        "source \"$0\"; COMP_WORDS=({typed}); COMP_CWORD={at}; \
         $(complete -p pyapns | sed 's/.* -F \\([^ ]*\\) .*/\\1/') pyapns '{current}' '{previous}'; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let offered = run("bash", &["--norc", "-c", &ask], script).expect("bash is installed");
    let mut offered: Vec<_> = offered.lines().map(str::to_owned).collect();
    offered.sort();
    offered
}

#[test]
fn bash_completes_commands_options_and_the_names_of_shells() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = script(&folder, "bash", "pyapns.bash");
    run("bash", &["-n"], &script).expect("bash is installed");
    let known =
        run("bash", &["--norc", "-c", "source \"$0\"; complete -p pyapns"], &script).expect("bash is installed");
    assert!(known.starts_with("complete ") && known.ends_with(" pyapns\n"), "{known}");
    for (words, offered) in [
        (&["pyapns", "se"][..], &["send", "serve"][..]),
        (&["pyapns", "che"], &["check-config"]),
        (&["pyapns", "send", "--to"], &["--token", "--topic"]),
        (&["pyapns", "serve", "--simu"], &["--simulator"]),
        (&["pyapns", "completions", "f"], &["fish"]),
        (&["pyapns", "nothing"], &[]),
    ] {
        let found = in_bash(&script, words);
        assert_eq!(found.iter().filter(|word| !word.is_empty()).collect::<Vec<_>>(), offered, "{words:?}");
    }
}

#[test]
fn zsh_takes_the_script_for_its_completion_of_pyapns() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = script(&folder, "zsh", "_pyapns");
    let ask = "fpath=(${0:h} $fpath); autoload -U compinit; compinit -u -D; print -r -- $_comps[pyapns]";
    if run("zsh", &["-f", "-n"], &script).is_some() {
        assert_eq!(run("zsh", &["-f", "-c", ask], &script).as_deref(), Some("_pyapns\n"));
    }
}

#[test]
fn fish_completes_commands() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = script(&folder, "fish", "pyapns.fish");
    let ask = "source $argv[1]; complete -C 'pyapns se'";
    if run("fish", &["--no-execute"], &script).is_some() {
        let offered = run("fish", &["--no-config", "-c", ask], &script).expect("it was there");
        let words: Vec<_> = offered.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(words, ["send", "serve"], "{offered}");
    }
}
