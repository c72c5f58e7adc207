//! `pyapns cluster init`: the files that the nodes of a cluster have in common.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn pyapns(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pyapns")).args(arguments).output().expect("the program runs")
}

fn init(folder: &Path) -> Output {
    pyapns(&["cluster", "init", folder.to_str().expect("text")])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn cluster_init_makes_files_for_their_owner_alone_and_settings_that_check_config_takes() {
    let directory = tempfile::tempdir().expect("a folder");
    let folder = directory.path().join("new/cluster");
    let made = init(&folder);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    assert_eq!(fs::metadata(&folder).expect("a folder").permissions().mode() & 0o777, 0o700);
    for file in ["cluster.pem", "credentials.key"] {
        assert_eq!(fs::metadata(folder.join(file)).expect(file).permissions().mode() & 0o777, 0o600, "{file}");
        let secret = fs::read_to_string(folder.join(file)).expect(file);
        let secret = secret.trim_end().lines().rev().find(|line| !line.starts_with('-')).expect("a line");
        assert!(!text(&made.stdout).contains(secret) && !text(&made.stderr).contains(secret), "{file} is not printed");
    }
    assert!(text(&made.stderr).contains("Copy both files to every node"), "{made:?}");

    let file = directory.path().join("pyapns.toml");
    let shared = "node_name = 'push-1'\ndrain_notice_seconds = 3\nstore.url = 'redis://localhost'\n";
    let cluster = "listen = '127.0.0.1:8090'\nallow = '127.0.0.1'\n";
    fs::write(&file, format!("{shared}{}{cluster}", text(&made.stdout))).expect("a file");
    let checked = pyapns(&["check-config", "--config", file.to_str().expect("text")]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    assert!(!text(&checked.stdout).contains("warning"), "{checked:?}");
}

#[test]
fn openssl_reads_the_identity_as_one_self_signed_certificate_on_p_256_with_its_key() {
    let directory = tempfile::tempdir().expect("a folder");
    assert!(init(directory.path()).status.success());
    let pem = directory.path().join("cluster.pem");
    let openssl = |arguments: &[&str]| {
        let output =
            Command::new("openssl").args(arguments).arg("-in").arg(&pem).output().expect("openssl is installed");
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout)
    };
    let certificate = openssl(&["x509", "-noout", "-text"]);
    assert!(certificate.contains("prime256v1"), "{certificate}");
    assert_eq!(openssl(&["x509", "-noout", "-pubkey"]), openssl(&["pkey", "-pubout"]), "the key is the certificate's");
    let verified = Command::new("openssl").args(["verify", "-CAfile"]).arg(&pem).arg(&pem).output().expect("openssl");
    assert!(verified.status.success(), "it signed itself: {verified:?}");
}

#[test]
fn cluster_init_never_overwrites_and_makes_both_files_or_none() {
    let directory = tempfile::tempdir().expect("a folder");
    assert!(init(directory.path()).status.success());
    let files = ["cluster.pem", "credentials.key"].map(|file| directory.path().join(file));
    let before = files.clone().map(|file| fs::read(file).expect("a file"));
    let again = init(directory.path());
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(text(&again.stderr).contains("cluster.pem exists already, and is not overwritten"), "{again:?}");
    assert_eq!(files.clone().map(|file| fs::read(file).expect("a file")), before);
    fs::remove_file(&files[0]).expect("a file");
    let half = init(directory.path());
    assert!(text(&half.stderr).contains("credentials.key exists already"), "{half:?}");
    assert!(!files[0].exists(), "nothing was made");
    assert_eq!(fs::read(&files[1]).expect("a file"), before[1]);
}
