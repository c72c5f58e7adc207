//! A browser on the operator's machine: what other people's pages may have it send. A real one is in `tests/python`.

use crate::support::bare_node::{Answer, BareNode, curl};
use crate::support::raw::{envelope, said};
use std::process::Command;

const LISTEN: &str = "listen = \"127.0.0.1:0\"";
const PROTOCOLS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

/// `curl` that takes any name for this machine, as a resolver does for a page that moves its name.
fn call(protocol: &str, bare_node: &BareNode, host: &str, path: &str, more: &[&str]) -> Answer {
    let port = bare_node.address().port();
    let (moved, url) = (format!("{host}:{port}:127.0.0.1"), format!("http://{host}:{port}{path}"));
    curl(&[&["--globoff", protocol, "--resolve", &moved], more, &[url.as_str()]].concat())
}

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.reason())
}

const REFUSED: (u16, &str) = (403, "host_not_allowed");

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_a_node_answers_to_addresses_its_machines_name_and_the_setting_hosts() {
    let bare_node = BareNode::start(&format!("{LISTEN}\nhosts = [\"push.example\", \"pyapns\"]"), "").await;
    let machine = Command::new("uname").arg("-n").output().expect("uname").stdout;
    let machine = String::from_utf8(machine).expect("a name");
    for protocol in PROTOCOLS {
        for host in ["127.0.0.1", "localhost", "LOCALHOST", "localhost.", "push.example", "pyapns", machine.trim()] {
            let answer = call(protocol, &bare_node, host, "/apps", &[]);
            assert_eq!(answer.status, 200, "{protocol} {host}: {answer:?}");
        }
        for host in ["[::1]", "[::1]:8088", "10.1.2.3:80", "localhost:80"] {
            let answer = call(protocol, &bare_node, "localhost", "/apps", &["-H", &format!("Host: {host}")]);
            assert_eq!(answer.status, 200, "{protocol} {host}: {answer:?}");
        }
        for host in ["evil.example", "localhost.evil.example", "x.push.example", "x.localhost"] {
            let answer = call(protocol, &bare_node, host, "/apps", &[]);
            assert_eq!(told(&answer), REFUSED, "{protocol} {host}");
            assert_eq!(answer.body["args"]["setting"], "hosts", "{answer:?}");
            assert!(answer.text.contains(host) && answer.text.contains("the setting `hosts`"), "{answer:?}");
        }
        for path in ["/apps/a/sandbox", "/apps/a/sandbox/notifications", "/metrics", "/nowhere", "/"] {
            assert_eq!(told(&call(protocol, &bare_node, "evil.example", path, &["-d", "{}"])), REFUSED, "{path}");
        }
        for path in ["/healthz", "/readyz", "/healthz/"] {
            assert_eq!(call(protocol, &bare_node, "evil.example", path, &[]).status, 200, "{protocol} {path}");
        }
    }
    bare_node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_target_is_checked_by_its_host_and_http_1_0_needs_none() {
    let bare_node = BareNode::start(LISTEN, "").await;
    let ask = async |head: &str| said(bare_node.address(), format!("GET {head}\r\n\r\n").as_bytes(), false).await;
    let absolute = ask("http://evil.example/apps HTTP/1.1\r\nhost: localhost").await;
    assert_eq!(envelope(&absolute), (403, "host_not_allowed".to_owned()));
    assert!(ask("http://localhost/apps HTTP/1.1\r\nhost: localhost").await.starts_with("HTTP/1.1 200 "));
    assert!(ask("/apps HTTP/1.0").await.starts_with("HTTP/1.0 200 "));
    assert_eq!(envelope(&ask("/apps HTTP/1.0\r\nhost: evil.example").await).0, 403);
    bare_node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_a_page_of_another_origin_is_refused_before_a_send_or_any_other_route() {
    let bare_node = BareNode::start(&format!("{LISTEN}\nhosts = [\"tools.example\"]"), "").await;
    let own = format!("http://localhost:{}", bare_node.address().port());
    let foreign = ["null", "http://evil.example", "http://localhost:1", "https://tools.example.evil"];
    for protocol in PROTOCOLS {
        for path in ["/apps/a/sandbox/notifications", "/apps/a/sandbox", "/apps"] {
            let ask = |header: &str| call(protocol, &bare_node, "localhost", path, &["-d", "{}", "-H", header]);
            let plain = ask("X-Nothing: 1");
            assert_ne!(plain.status, 403, "{plain:?}");
            for origin in foreign {
                let answer = ask(&format!("Origin: {origin}"));
                assert_eq!(told(&answer), (403, "origin_not_allowed"), "{protocol} {path} {origin}");
                assert!(answer.text.contains(origin) && answer.text.contains("the setting `hosts`"), "{answer:?}");
            }
            for site in ["cross-site", "same-site"] {
                let answer = ask(&format!("Sec-Fetch-Site: {site}"));
                assert_eq!(told(&answer), (403, "cross_site"), "{protocol} {path} {site}");
                assert!(answer.text.contains("the setting `hosts`"), "{answer:?}");
            }
            for good in [&format!("Origin: {own}"), "Origin: https://tools.example", "Sec-Fetch-Site: none"] {
                assert_eq!(told(&ask(good)), told(&plain), "{protocol} {path} {good}");
            }
        }
        let preflight = ["-X", "OPTIONS", "-i", "-H", "Origin: http://evil.example", "-H"];
        let preflight = [&preflight[..], &["Access-Control-Request-Method: POST"]].concat();
        let answer = call(protocol, &bare_node, "localhost", "/apps/a/sandbox/notifications", &preflight);
        assert!(answer.status == 403 && !answer.text.to_lowercase().contains("access-control-"), "{answer:?}");
    }
    bare_node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_unix_socket_any_name_is_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("api.sock").display().to_string();
    let bare_node = BareNode::start(&format!("listen = \"unix:{socket}\""), "").await;
    for protocol in PROTOCOLS {
        let more = ["-H", "Origin: null", "http://evil.example/apps"];
        let answer = curl(&[&[protocol, "--unix-socket", &socket], &more[..]].concat());
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    bare_node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_any_name_is_good_and_only_a_remembered_password_is_asked_for_its_page() {
    let made =
        Command::new(env!("CARGO_BIN_EXE_pyapns")).args(["key", "--id", "shop", "--scope", "apps:read"]).output();
    let made = made.expect("the program runs");
    let (entry, said) = (String::from_utf8(made.stdout).expect("text"), String::from_utf8(made.stderr).expect("text"));
    let key = said.trim().rsplit(' ').next().expect("a key");
    let (bearer, password) = (format!("Authorization: Bearer {key}"), key.replacen('.', ":", 1));
    let bare_node = BareNode::start(LISTEN, &entry).await;
    for protocol in PROTOCOLS {
        let ask = |more: &[&str]| call(protocol, &bare_node, "any.example", "/apps", more);
        let from_a_page = ["-H", "Origin: http://evil.example", "-H", "Sec-Fetch-Site: cross-site"];
        assert_eq!(ask(&["-H", &bearer]).status, 200);
        assert_eq!(ask(&["-u", &password]).status, 200);
        assert_eq!(ask(&[&["-H", &bearer], &from_a_page[..]].concat()).status, 200);
        let refused = ask(&[&["-u", &password], &from_a_page[..]].concat());
        assert_eq!(told(&refused), (403, "origin_not_allowed"), "{refused:?}");
        assert_eq!(told(&ask(&from_a_page)), (401, "api_key_missing"));
    }
    bare_node.stop().await;
}
