//! Tests of a node's listeners and of the calls that they accept. The callers are real `curl` processes.

use crate::support::bare_node::{BareNode, Pair, curl};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_has_its_permissions_and_is_removed_at_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("api.sock");
    // As a node that was killed leaves it.
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    let settings = format!("listen = \"unix:{}\"\nsocket_mode = \"0600\"", socket.display());
    let bare_node = BareNode::start(&settings, "").await;
    assert_eq!(fs::metadata(&socket).expect("a socket").permissions().mode() & 0o777, 0o600);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&[version, "--unix-socket", &socket.display().to_string(), "http://localhost/apps"]);
        assert_eq!((answer.status, answer.body["response"].is_array()), (200, true), "{answer:?}");
    }
    bare_node.stop().await;
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_supports_both_protocols_and_a_changed_certificate_needs_no_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let pair = Pair::make(folder.path());
    let (certificate, key) = (&pair.certificate, &pair.key);
    let tls = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}");
    let bare_node = BareNode::start("listen = \"127.0.0.1:0\"", &tls).await;
    let url = format!("https://localhost:{}/healthz", bare_node.address().port());
    let trusted = |version: &str| curl(&[version, "--cacert", &certificate.display().to_string(), &url]);
    for (version, spoken) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let answer = trusted(version);
        assert_eq!((answer.status, answer.version.as_str()), (200, spoken), "{answer:?}");
    }
    let clear = curl(&["--http1.1", &url.replace("https:", "http:")]);
    assert_eq!(clear.status, 0, "{clear:?}");
    // Who does not finish the handshake is not waited for longer than five seconds.
    let mut silent = TcpStream::connect(bare_node.address()).expect("the node listens");
    let ended = tokio::task::spawn_blocking(move || silent.read(&mut [0; 16])).await.expect("no panic");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");

    // Half a pair changes nothing, the whole one does.
    let old = fs::read(certificate).expect("a file");
    let next = Pair::make(tempfile::tempdir_in(folder.path()).expect("a folder").keep().as_path());
    fs::copy(&next.certificate, certificate).expect("a copy");
    let next_trust = next.certificate.display().to_string();
    let old_file = folder.path().join("old.pem");
    fs::write(&old_file, old).expect("a file");
    assert_eq!(curl(&["--cacert", &old_file.display().to_string(), &url]).status, 200);
    fs::copy(&next.key, key).expect("a copy");
    while curl(&["--cacert", &next_trust, &url]).status != 200 {}
    bare_node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_listener_serves_operators_alone_and_answers_when_the_public_one_is_full() {
    let settings = "listen = \"127.0.0.1:0\"";
    let bare_node = BareNode::start(settings, "[admin]\nlisten = \"127.0.0.1:0\"\n[limits]\nconnections = 1").await;
    let (public, admin) = (bare_node.url(), bare_node.admin_url());
    for path in ["/metrics", "/cluster"] {
        let answer = curl(&[&format!("{public}{path}")]);
        assert_eq!((answer.status, answer.reason()), (403, "admin_listener_only"), "{answer:?}");
    }
    assert_eq!(curl(&["-d", "{}", &format!("{public}/apps/a/sandbox")]).reason(), "admin_listener_only");
    assert_eq!(curl(&["-d", "{}", &format!("{admin}/apps/a/sandbox")]).reason(), "credential_missing");
    assert_eq!(curl(&[&format!("{public}/apps")]).status, 200);

    // The place is free once the node has seen curl's connection close.
    let _only_place = loop {
        let mut place = TcpStream::connect(bare_node.address()).expect("the node listens");
        // Who is turned away may be so before this is written.
        let _ = place.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let mut answer = [0; 12];
        if place.read_exact(&mut answer).is_ok() && answer == *b"HTTP/1.1 200" {
            break place;
        }
    };
    assert_eq!(curl(&[&format!("{public}/healthz")]).reason(), "too_many_connections");
    let metrics = curl(&[&format!("{admin}/metrics")]);
    assert!(metrics.status == 200 && metrics.text.contains("pyapns_api_connections_refused_total"), "{metrics:?}");
    drop(_only_place);
    bare_node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_prints_where_each_of_its_listeners_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("api.sock");
    let settings = format!("listen = \"unix:{}\"\n[admin]\nlisten = \"127.0.0.1:0\"", socket.display());
    fs::write(folder.path().join("pyapns.toml"), settings).expect("a file");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pyapns"));
    command.args(["serve", "--config", "pyapns.toml"]).current_dir(folder.path()).kill_on_drop(true);
    let mut node = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
    let mut said = BufReader::new(node.stdout.take().expect("piped")).lines();
    let mut next = async || said.next_line().await.expect("text").expect("a line");
    assert_eq!(next().await, format!("pyapns listens on unix:{}", socket.display()));
    let line = next().await;
    let admin = line.strip_prefix("pyapns listens for operators on ").expect(&line);
    assert_eq!(curl(&[&format!("{admin}/metrics")]).status, 200);
    node.kill().await.expect("it runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_as_it_is_printed_opens_the_door_and_nothing_else_does() {
    let made =
        Command::new(env!("CARGO_BIN_EXE_pyapns")).args(["key", "--id", "shop", "--scope", "apps:read"]).output();
    let made = made.expect("the program runs");
    assert!(made.status.success(), "{made:?}");
    let (entry, said) = (String::from_utf8(made.stdout).expect("text"), String::from_utf8(made.stderr).expect("text"));
    let key = said.trim().rsplit(' ').next().expect("a key");
    let (id, secret) = key.split_once('.').expect("id and secret");
    assert!(id == "shop" && !entry.contains(secret), "{entry}");

    let bare_node = BareNode::start("listen = \"127.0.0.1:0\"", &entry).await;
    let apps = format!("{}/apps", bare_node.url());
    assert_eq!(curl(&["-H", &format!("Authorization: Bearer {key}"), &apps]).status, 200);
    assert_eq!(curl(&["-u", &format!("shop:{secret}"), &apps]).status, 200);
    let large = bare_node.directory.path().join("large");
    fs::write(&large, vec![b'x'; 3 << 20]).expect("a file");
    for (arguments, expected) in [
        (vec![apps.clone()], (401, "api_key_missing")),
        (vec!["-u".into(), "shop:other".into(), apps.clone()], (401, "api_key_unknown")),
        // A body of three mebibytes, sent whole before anything is read.
        (
            vec![
                "--data-binary".into(),
                format!("@{}", large.display()),
                "-H".into(),
                "Expect:".into(),
                format!("{apps}/a/sandbox"),
            ],
            (401, "api_key_missing"),
        ),
        (
            vec!["-u".into(), format!("shop:{secret}"), "-d".into(), "{}".into(), format!("{apps}/a/sandbox")],
            (403, "scope_missing"),
        ),
    ] {
        let answer = curl(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((answer.status, answer.reason()), expected, "{arguments:?}");
    }
    assert_eq!(curl(&[&format!("{}/healthz", bare_node.url())]).status, 200);
    bare_node.stop().await;
}

#[test]
fn an_open_address_without_keys_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let serve = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        // The steps after reading the settings fail here, immediately.
        command.args(["serve", "--listen", "0.0.0.0:0", "--data-dir", "/proc/pyapns"]).args(more);
        let output = command.current_dir(folder.path()).output().expect("the program runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    let (code, said) = serve(&[]);
    assert!(code == Some(2) && said.contains("no API keys") && said.contains("pyapns key"), "{code:?} {said}");
    let (code, said) = serve(&["--insecure"]);
    assert!(code == Some(1) && said.contains("data directory"), "{code:?} {said}");
}
