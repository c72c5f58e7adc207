//! The one line of each request in the log.

use crate::support::process::{Home, Process};
use crate::support::world::{World, to, token};
use serde_json::Value;
use tokio::process::Command;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

async fn start(world: &World, settings: &str) -> Process {
    let home = Home::new(world, "home", "pyapns.toml");
    home.put("shop.pem", &world.simulator.identity().client_pem);
    let app = crate::support::process::entry("shop", "shop.pem", "topic = 'com.example.app'");
    home.configure(&format!("listen = '127.0.0.1:0'\nlog.format = 'json'\n{settings}\n{app}"));
    home.start().await
}

/// Sends a request with curl; `id` is its request id.
async fn curl(process: &Process, id: &str, path: &str, more: &[&str]) {
    let (url, id) = (format!("http://{}{path}", process.address), format!("X-Request-Id: {id}"));
    let output = Command::new("curl").args(["-sS", "-o", "/dev/null", "-H", &id]).args(more).arg(url).output().await;
    assert!(output.expect("curl is installed").status.success());
}

/// The line of the request with this id; there is exactly one.
async fn line(process: &mut Process, id: &str) -> Value {
    let wanted = format!("\"request_id\":\"{id}\"");
    process.logs(&wanted, 1).await;
    assert_eq!(process.lines_with(&wanted), 1);
    serde_json::from_str(&process.line_with(&wanted)).expect("JSON")
}

#[tokio::test]
async fn every_request_has_one_line_with_its_trace_its_client_and_its_end() {
    let world = World::start().await;
    let mut process = start(&world, "log.access = 'all'").await;
    let trace = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01");
    let body = to(&token(1)).to_string();
    curl(&process, "sent", "/apps/shop/sandbox/notifications", &["-H", &trace, "-d", &body]).await;
    let sent = line(&mut process, "sent").await;
    for (field, value) in [
        ("level", "INFO"),
        ("message", "a request was answered"),
        ("route", "/apps/{app_id}/{environment}/notifications"),
        ("method", "POST"),
        ("trace_id", TRACE),
        ("url.path", "/apps/shop/sandbox/notifications"),
        ("client.address", "127.0.0.1"),
    ] {
        assert_eq!(sent[field], value, "{field}: {sent}");
    }
    assert_eq!((&sent["status"], &sent["http.request.body.size"]), (&201.into(), &body.len().into()), "{sent}");
    assert!(sent["http.response.body.size"].as_u64().is_some_and(|size| size > 100), "{sent}");
    assert!(sent["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0) && sent.get("reason").is_none(), "{sent}");
    assert!(!sent.to_string().contains(&token(1)), "no token");

    curl(&process, "refused", "/apps/gone/sandbox?token=secret", &["-H", "traceparent: 00-nonsense"]).await;
    let refused = line(&mut process, "refused").await;
    assert_eq!((&refused["status"], &refused["reason"]), (&400.into(), &"unknown_parameter".into()), "{refused}");
    assert!(refused.get("trace_id").is_none() && !refused.to_string().contains("secret"), "{refused}");

    curl(&process, "nowhere", "/secret-in-a-path", &[]).await;
    let nowhere = line(&mut process, "nowhere").await;
    assert_eq!((&nowhere["route"], &nowhere["reason"]), (&"none".into(), &"no_such_path".into()), "{nowhere}");
    assert!(!nowhere.to_string().contains("secret-in-a-path"), "{nowhere}");
    process.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn by_default_only_changes_are_logged_and_a_line_names_the_key_of_its_caller() {
    let world = World::start().await;
    let key = crate::support::shared::pyapns(&["key", "--id", "ops", "--scope", "admin"]);
    let told = String::from_utf8(key.stderr).expect("text");
    let secret = told.split_whitespace().last().expect("the key");
    let entry = String::from_utf8(key.stdout).expect("text");
    let home = Home::new(&world, "home", "pyapns.toml");
    home.configure(&format!("listen = '127.0.0.1:0'\nlog.format = 'json'\n{entry}"));
    let mut process = home.start().await;
    let bearer = format!("Authorization: Bearer {secret}");
    curl(&process, "read", "/apps", &["-H", &bearer]).await;
    curl(&process, "unknown", "/apps/shop/sandbox", &["-X", "DELETE"]).await;
    curl(&process, "change", "/apps/shop/sandbox", &["-X", "DELETE", "-H", &bearer]).await;
    let change = line(&mut process, "change").await;
    assert_eq!((&change["key_id"], &change["level"]), (&"ops".into(), &"INFO".into()), "{change}");
    let unknown = line(&mut process, "unknown").await;
    assert_eq!((unknown.get("key_id"), &unknown["reason"]), (None, &"api_key_missing".into()), "{unknown}");
    assert_eq!(process.lines_with("\"read\""), 0, "a read has level debug");
    assert_eq!(process.lines_with(secret.split_once('.').expect("ID.SECRET").1), 0);
    process.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn the_line_of_a_refused_call_names_a_known_key_and_no_other() {
    let world = World::start().await;
    let keys = [["sender", "send"], ["ops", "admin"]].map(|[id, scope]| {
        let made = crate::support::shared::pyapns(&["key", "--id", id, "--scope", scope]);
        let told = String::from_utf8(made.stderr).expect("text");
        let key = told.split_whitespace().last().expect("the key").to_owned();
        (key, String::from_utf8(made.stdout).expect("text"))
    });
    let [(sender, entry), (_, other)] = &keys;
    let home = Home::new(&world, "home", "pyapns.toml");
    home.configure(&format!("listen = '127.0.0.1:0'\nlog.format = 'json'\n{entry}\n{other}"));
    let mut process = home.start().await;
    let bearer = |key: &str| format!("Authorization: Bearer {key}");
    let remove = ["-X", "DELETE", "-H"];
    curl(&process, "weak", "/apps/shop/sandbox", &[&remove[..], &[&bearer(sender)]].concat()).await;
    let weak = line(&mut process, "weak").await;
    assert_eq!((&weak["key_id"], &weak["reason"]), (&"sender".into(), &"scope_missing".into()), "{weak}");
    // The id is right, and the secret is not: nobody knows whose call it is.
    let wrong = bearer(&format!("ops.{}", "x".repeat(43)));
    curl(&process, "wrong", "/apps/shop/sandbox", &[&remove[..], &[&wrong]].concat()).await;
    let wrong = line(&mut process, "wrong").await;
    assert_eq!((wrong.get("key_id"), &wrong["reason"]), (None, &"api_key_unknown".into()), "{wrong}");
    process.stop().await;
    world.stop().await;
}
