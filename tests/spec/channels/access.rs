//! The scopes of calls of channels, and the line of the log of each change.

use crate::support::client::Client;
use crate::support::process::{Home, Process, entry};
use crate::support::shared;
use crate::support::world::World;
use serde_json::{Value, json};
use simulator::Environment;

const APP: &str = "/apps/shop/sandbox";

/// An API key with this scope: its entry in the configuration, and the header of its caller.
fn key(id: &str, scope: &str) -> (String, String) {
    let made = shared::pyapns(&["key", "--id", id, "--scope", scope]);
    let told = String::from_utf8(made.stderr).expect("text");
    let secret = told.split_whitespace().last().expect("the key").to_owned();
    (String::from_utf8(made.stdout).expect("text"), format!("Bearer {secret}"))
}

async fn call(process: &Process, bearer: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut client = Client::connect(process.address).await;
    let answer = client.call_with(method, path, ("authorization", bearer), body.to_owned()).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn each_call_needs_its_scope_and_a_change_is_logged_with_the_key_of_its_caller() {
    let world = World::start().await;
    let management = world.simulator.channels_address(Environment::Sandbox).expect("an address");
    let keys =
        [("reader", "apps:read"), ("writer", "apps:write"), ("sender", "send")].map(|(id, scope)| key(id, scope));
    let home = Home::new(&world, "home", "pyapns.toml");
    home.put("shop.pem", &world.simulator.identity().client_pem);
    let entries: String = keys.iter().map(|(entry, _)| entry.as_str()).collect();
    home.configure(&format!(
        "listen = '127.0.0.1:0'\nlog.format = 'json'\napple.sandbox_channels = 'https://{management}'\n{entries}\n{}",
        entry("shop", "shop.pem", "topic = 'com.example.app'")
    ));
    let mut process = home.start().await;
    let [reader, writer, sender] = keys.map(|(_, bearer)| bearer);
    let (channels, broadcasts) = (format!("{APP}/channels"), format!("{APP}/broadcasts"));
    let policy = r#"{"message_storage_policy":1}"#;
    let (status, created) = call(&process, &writer, "POST", &channels, policy).await;
    assert_eq!(status, 201, "{created}");
    let id = created["response"]["id"].as_str().expect("an id").to_owned();
    let one = format!("{channels}/{}", id.replace('+', "-").replace('/', "_").trim_end_matches('='));
    let message = json!({"channel": id, "payload": {"aps": {}}}).to_string();
    for (method, path, body, allowed) in [
        ("GET", channels.as_str(), "", &reader),
        ("GET", &one, "", &reader),
        ("POST", &channels, policy, &writer),
        ("POST", &broadcasts, &message, &sender),
        ("DELETE", &one, "", &writer),
    ] {
        for bearer in [&reader, &writer, &sender] {
            let (status, answer) = call(&process, bearer, method, path, body).await;
            let expected = if bearer == allowed { 200..=201 } else { 403..=403 };
            assert!(expected.contains(&status), "{method} {path}: {status} {answer}");
        }
    }
    for (message, lines) in [("a channel was created", 2), ("a channel was deleted", 1)] {
        process.logs(message, lines).await;
        let line: Value = serde_json::from_str(&process.line_with(message)).expect("JSON");
        let told = [&line["key_id"], &line["app"], &line["level"], &line["channel"]];
        assert_eq!(told[..3], [&json!("writer"), &json!("shop/sandbox"), &json!("INFO")], "{line}");
        assert!(line["channel"].is_string(), "{line}");
    }
    process.stop().await;
    world.stop().await;
}
