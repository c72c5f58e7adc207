//! The program as a person runs it: what it prints, and its exit codes.

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program to its end in `folder`, with these variables and no other of ours.
fn pyapns(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let ours = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("PYAPNS_"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
    command.current_dir(folder).args(arguments);
    for name in ours {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).output().expect("the program runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_fault_of_a_broken_configuration_is_named_in_one_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "
        listen = 'somewhere'
        [apple]
        port = 80
        ca_file = 'missing.pem'
        [limits]
        items = 0
        [credentials]
        key_files = ['short.key', 'gone.key']
        [aple]
        port = 443";
    std::fs::write(folder.path().join("broken.toml"), text).expect("a file");
    std::fs::write(folder.path().join("short.key"), "0123").expect("a file");
    let variables = [("PYAPNS_LOG_LEVEL", "loud"), ("PYAPNS_CREDENTIALS_DIR", "nowhere")];
    let output = pyapns(folder.path(), &variables, &["check-config", "--config", "broken.toml"]);
    let told = stderr(&output);
    let faults = [
        "listen in broken.toml: ",
        "apple.port in broken.toml: ",
        "limits.items in broken.toml: ",
        "PYAPNS_LOG_LEVEL: ",
        "PYAPNS_CREDENTIALS_DIR: the folder nowhere cannot be read",
        "credentials.key_files in broken.toml: the key file short.key does not hold 32 bytes",
        "credentials.key_files in broken.toml: the credential file gone.key cannot be read",
        "apple.ca_file in broken.toml: cannot read the ca_file missing.pem",
        "aple in broken.toml: is not a setting; did you mean the section [apple]?",
    ];
    for fault in faults {
        assert_eq!(told.lines().filter(|line| line.starts_with(fault)).count(), 1, "{fault}: {told}");
    }
    assert_eq!(told.lines().last(), Some("broken.toml: 9 faults"), "{told}");
    assert_eq!(output.status.code(), Some(1));

    let served = pyapns(folder.path(), &variables, &["serve", "--config", "broken.toml"]);
    assert_eq!(served.status.code(), Some(2), "a service manager must not start it again");
    assert_eq!(
        told.trim_end(),
        format!("{}\nbroken.toml: 9 faults", stderr(&served).trim_end()),
        "serve says the same"
    );
    assert!(!folder.path().join("pyapns-data").exists(), "nothing was started");
}

#[test]
fn a_valid_configuration_is_reported_as_valid() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("good.toml"), "listen = '127.0.0.1:0'\n[log]\nlevel = 'warn'").expect("a file");
    let output = pyapns(folder.path(), &[], &["check-config", "--config", "good.toml"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "good.toml: nothing is wrong\n"));
    let output = pyapns(folder.path(), &[], &["check-config"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = pyapns(folder.path(), &[], &["check-config", "--config", "gone.toml"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("gone.toml: cannot be read: "), "{}", stderr(&output));
}

#[test]
fn a_variable_that_is_not_a_setting_is_only_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let mistyped = "PYAPNS_LIMIT_ITEMS is not a setting; did you mean PYAPNS_LIMITS_ITEMS?";
    let variables = [
        ("PYAPNS_LIMIT_ITEMS", "3"),
        ("PYAPNS_QUEUE", "redis"),
        // The variables of Kubernetes and of other commands.
        ("PYAPNS_PORT", "tcp://10.0.0.1:8088"),
        ("PYAPNS_SERVICE_PORT_HTTP", "8088"),
        ("PYAPNS_NODE", "http://127.0.0.1:8088"),
        ("PYAPNS_API_KEY", "shop.secret"),
    ];
    let output = pyapns(folder.path(), &variables, &["check-config"]);
    let told = format!(
        "warning: {mistyped}\nwarning: PYAPNS_QUEUE is not a setting\nthe defaults and the environment: nothing is wrong\n"
    );
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), told));
    let output = pyapns(folder.path(), &variables, &["check-config", "--listen", "nonsense"]);
    assert!(stdout(&output).starts_with(&format!("warning: {mistyped}")), "also beside faults: {output:?}");
    assert!(stderr(&output).starts_with("--listen: "), "{output:?}");

    // It ends, since nothing can be stored there.
    let output = pyapns(folder.path(), &variables, &["serve", "--data-dir", "/proc/pyapns"]);
    let said = stderr(&output);
    let warned = |text: &str| said.lines().any(|line| line.contains("WARN") && line.contains(text));
    assert!(warned(mistyped) && warned("PYAPNS_QUEUE is not a setting"), "{said}");
    assert_eq!(said.matches("is not a setting").count(), 2, "{said}");
}

#[test]
fn wrong_usage_and_failure_have_different_exit_codes() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [&["check-config", "--colour"][..], &["frobnicate"], &["serve", "--listen"], &[]] {
        let output = pyapns(folder.path(), &[], arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains("--help"), "{}", stderr(&output));
    }
    std::fs::write(folder.path().join("data"), "a file, no folder").expect("a file");
    let output = pyapns(folder.path(), &[], &["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("the data directory data cannot be used"), "{}", stderr(&output));
}

#[test]
fn an_incomplete_push_is_wrong_usage_and_the_error_names_the_missing_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = ["--token", "00", "--alert", "Hello"];
    for (arguments, told) in [
        (&["--token", "00"][..], ["--payload <JSON>", "--alert <TEXT>"]),
        (&["--alert", "Hello"], ["--token <HEX>", "--file <FILE>"]),
        (&["--token", "00", "--payload", "nope"], ["--payload <JSON>", "must be JSON or @FILE"]),
        (&[&one[..], &["--timeout", "0"]].concat(), ["--timeout <SECONDS>", "a number of seconds from 1 to 300"]),
        (&[&one[..], &["--timeout", "soon"]].concat(), ["--timeout <SECONDS>", "a number of seconds from 1 to 300"]),
        (&[&one[..], &["--priority", "7"]].concat(), ["--priority <NUMBER>", "must be 10, 5 or 1"]),
    ] {
        let send = [&["send", "--app", "demo", "--environment", "sandbox"][..], arguments].concat();
        let output = pyapns(folder.path(), &[], &send);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(told.iter().all(|told| said.contains(told)), "{told:?}: {said}");
    }
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let folder = tempfile::tempdir().expect("a folder");
    let help = stdout(&pyapns(folder.path(), &[], &["--help"]));
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs: Vec<_> =
        listed.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help").collect();
    assert!(verbs.contains(&"serve") && verbs.contains(&"check-config"), "{help}");
    for verb in verbs {
        let output = pyapns(folder.path(), &[], &[verb, "--help"]);
        let help = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{verb}");
        assert!(help.contains("Example") && help.contains(&format!("  pyapns {verb}")), "{verb}: {help}");
    }
    let version = pyapns(folder.path(), &[], &["--version"]);
    assert_eq!(stdout(&version), concat!("pyapns ", env!("VERSION_WITH_COMMIT"), "\n"));
}
