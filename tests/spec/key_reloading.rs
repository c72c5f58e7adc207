//! API keys that change while the node runs: in the configuration, and in separate files.

use crate::support::bare_node::curl;
use crate::support::process::{Home, Process};
use crate::support::world::World;
use pyapns::api::auth::key::Digest;

const LISTEN: &str = "listen = '127.0.0.1:0'\n";
const OLD: &str = "old-canary-0123456789";
const NEW: &str = "new-canary-0123456789";

/// Returns the status at `/apps` with this key.
fn get(process: &Process, key: &str) -> u16 {
    curl(&["-H", &format!("Authorization: Bearer {key}"), &format!("http://{}/apps", process.address)]).status
}

fn in_file(id: &str, scope: &str) -> String {
    format!("[[api_keys]]\nid = '{id}'\nsecret_file = '{id}.key'\nscopes = '{scope}'\n")
}

fn as_digest(id: &str, secret: &str) -> String {
    let digest = Digest::of(secret.as_bytes());
    format!("[[api_keys]]\nid = '{id}'\nsecret_sha256 = '{digest}'\nscopes = 'apps:read'\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_secret_file_changes_the_key_and_a_bad_one_does_not() {
    let world = World::start().await;
    let home = Home::new(&world, "secrets", "pyapns.toml");
    home.put("shop.key", &format!("shop.{OLD}\n"));
    home.configure(&format!("{LISTEN}{}", in_file("shop", "apps:read")));
    let mut process = home.start().await;
    let [old, new] = [OLD, NEW].map(|secret| format!("shop.{secret}"));
    assert_eq!((get(&process, &old), get(&process, &new)), (200, 401));

    home.put("shop.key", NEW);
    process.logs("read the configuration again", 1).await;
    assert_eq!((get(&process, &old), get(&process, &new)), (401, 200));

    home.put("shop.key", "");
    process.logs("the API key keeps the secret it had: [[api_keys]] 1 of", 1).await;
    std::fs::remove_file(home.folder.join("shop.key")).expect("it was there");
    process.logs("the API key keeps the secret it had: [[api_keys]] 1 of", 2).await;
    assert_eq!((get(&process, &old), get(&process, &new)), (401, 200));
    assert_eq!(process.lines_with("canary"), 0, "the log tells no secret");
    process.stop().await;
    let (code, said) = home.refused().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("[[api_keys]] 1 of") && said.contains("its `secret_file` cannot be read"), "{said}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_with_the_configuration_and_removing_the_last_one_refuses_every_caller() {
    let world = World::start().await;
    let home = Home::new(&world, "entries", "pyapns.toml");
    home.put("shop.key", OLD);
    home.configure(&format!("{LISTEN}{}", in_file("shop", "apps:read")));
    let mut process = home.start().await;
    let (shop, blog) = (format!("shop.{OLD}"), format!("blog.{NEW}"));
    assert_eq!((get(&process, &shop), get(&process, &blog)), (200, 401));

    home.configure(&format!("{LISTEN}{}{}", in_file("shop", "send"), as_digest("blog", NEW)));
    process.reload().await;
    assert_eq!((get(&process, &shop), get(&process, &blog)), (403, 200), "another scope, another key");
    home.configure(&format!("{LISTEN}{}", as_digest("blog", OLD)));
    process.reload().await;
    assert_eq!((get(&process, &shop), get(&process, &blog), get(&process, &format!("blog.{OLD}"))), (401, 401, 200));

    home.overwrite("");
    process.logs("the configuration file is empty", 1).await;
    assert_eq!(get(&process, &format!("blog.{OLD}")), 200, "a file about to be written takes no key away");
    home.configure(LISTEN);
    process.reload().await;
    process.logs("no API key is left: every call is refused", 1).await;
    assert_eq!(get(&process, &format!("blog.{OLD}")), 401);
    assert_eq!(curl(&[&format!("http://{}/apps", process.address)]).reason(), "api_key_missing");
    assert_eq!(process.lines_with("take effect only after a restart"), 0, "keys are not");
    process.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_keys_warns_that_new_keys_need_a_restart() {
    let world = World::start().await;
    let home = Home::new(&world, "open", "pyapns.toml");
    home.configure(LISTEN);
    let mut process = home.start().await;
    home.configure(&format!("{LISTEN}{}", as_digest("blog", NEW)));
    process.reload().await;
    process.logs("take effect only after a restart: api_keys", 1).await;
    assert_eq!(curl(&[&format!("http://{}/apps", process.address)]).status, 200);
    process.stop().await;
    world.stop().await;
}
