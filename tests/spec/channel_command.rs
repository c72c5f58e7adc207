//! `pyapns channel` and `pyapns send --channel`, as a person or a script runs them.

use crate::support::world::World;
use serde_json::{Value, json};
use simulator::{Act, Call, Environment, Fault, Script, Service, StoragePolicy};
use std::process::Output;
use tokio::process::Command;

const APP: [&str; 4] = ["--app", "com.example.app", "--environment", "sandbox"];
const UPDATE: &str = r#"{ "aps": {"timestamp":1900000000, "event":"update", "content-state":{"n":1.50}} }"#;

async fn pyapns(world: &World, command: &[&str], arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_pyapns"));
    program.args(command).args(APP).args(arguments);
    program.env("PYAPNS_NODE", format!("http://{}", world.node.address)).kill_on_drop(true);
    program.output().await.expect("the program runs")
}

async fn channel(world: &World, command: &str, arguments: &[&str]) -> Output {
    pyapns(world, &["channel", command], arguments).await
}

async fn send(world: &World, arguments: &[&str]) -> Output {
    pyapns(world, &["send"], arguments).await
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The output of a command that succeeded: one object on each line.
#[track_caller]
fn printed(output: &Output) -> Vec<Value> {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

/// The sentence of a command that was refused.
#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.starts_with("pyapns: "), "{said}");
    said
}

async fn created(world: &World, policy: &str) -> String {
    let told = printed(&channel(world, "create", &["--policy", policy]).await);
    assert_eq!((told.len(), &told[0]["type"]), (1, &json!("channel")));
    told[0]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn channels_of_both_policies_are_created_shown_used_and_deleted() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for policy in ["0", "1"] {
        let id = created(&world, policy).await;
        let shown = printed(&channel(&world, "show", &[&id]).await);
        let policy: u8 = policy.parse().expect("a number");
        assert_eq!(
            shown,
            [json!({"type": "channel", "id": id, "message_storage_policy": policy, "push_type": "liveactivity"})]
        );
        ids.push(id);
    }
    let listed = printed(&channel(&world, "list", &[]).await);
    ids.sort_unstable();
    assert_eq!(listed, [&ids[0], &ids[1]].map(|id| json!({"type": "channel", "id": id})));
    for id in &ids {
        for number in ["1", "2", "3"] {
            let arguments = ["--channel", id, "--payload", UPDATE, "--identifier", number, "--priority", "5"];
            let output = send(&world, &arguments).await;
            let told = printed(&output);
            assert_eq!((&told[0]["outcome"], &told[0]["identifier"]), (&json!("accepted"), &json!(number)));
            assert_eq!((told.len(), text(&output.stderr).as_str()), (1, "1 accepted\n"));
        }
        assert_eq!(printed(&channel(&world, "delete", &[id]).await), [json!({"type": "channel", "id": id})]);
    }
    assert_eq!(printed(&channel(&world, "list", &[]).await), [] as [Value; 0]);
    let ledger = world.simulator.ledger().entries();
    let broadcasts: Vec<_> = ledger.iter().filter(|entry| entry.service == Service::Broadcasts).collect();
    assert_eq!(broadcasts.len(), 6);
    for entry in broadcasts {
        assert_eq!((&entry.body[..], entry.priority.as_deref()), (UPDATE.as_bytes(), Some("5")));
        assert_eq!(entry.expiration.as_deref(), Some("0"));
    }
    world.stop().await;
}

#[tokio::test]
async fn every_id_that_apple_may_choose_works_as_an_argument() {
    let world = World::start().await;
    let ids = world.simulator.add_channels(Environment::Sandbox, "com.example.app", StoragePolicy::MostRecent, 40);
    let odd = ["+", "/"].map(|sign| ids.iter().find(|id| id.contains(sign)).expect("one of forty"));
    for id in odd {
        assert_eq!(printed(&channel(&world, "show", &[id]).await)[0]["id"], **id);
    }
    let (one, other) = (odd[0], odd[1]);
    let arguments = ["--channel", one, "--channel", other, "--payload", UPDATE, "--expiry", "4102444800"];
    let told = printed(&send(&world, &arguments).await);
    assert_eq!(told.iter().map(|told| &told["channel"]).collect::<Vec<_>>(), [one, other]);
    let kept = world.simulator.channels().into_iter().filter(|channel| channel.stored.as_deref() == Some(UPDATE));
    assert_eq!(kept.count(), if one == other { 1 } else { 2 });
    world.stop().await;
}

#[tokio::test]
async fn a_full_list_is_printed_page_by_page() {
    let world = World::start().await;
    let mut ids = world.simulator.add_channels(Environment::Sandbox, "com.example.app", StoragePolicy::Nothing, 10_001);
    ids.sort_unstable();
    let output = channel(&world, "list", &[]).await;
    let listed = printed(&output);
    assert!(listed.iter().map(|channel| channel["id"].as_str()).eq(ids.iter().map(|id| Some(id.as_str()))));
    let pages = world.simulator.ledger().entries().into_iter().filter(|entry| entry.call == Some(Call::ListChannels));
    assert_eq!(pages.count(), 2);
    world.stop().await;
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_shows_in_the_exit_code() {
    let world = World::start().await;
    let id = created(&world, "0").await;
    let never = "AAAAAAAAAAAAAAAAAAAAAA==";
    assert!(refused(&channel(&world, "show", &[never]).await).contains("GET …/channels lists the channels"));
    assert!(refused(&channel(&world, "delete", &["no id"]).await).contains("base64"));
    let output = send(&world, &["--channel", &id, "--channel", never, "--payload", UPDATE]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "1 accepted, 1 rejected (BadChannelId 1)\n");
    let output = send(&world, &["--channel", &id, "--payload", UPDATE, "--expiry", "4102444800"]).await;
    assert_eq!(text(&output.stderr), "1 rejected (BadExpirationDate 1)\n");
    world.simulator.set_broadcast("com.example.app", false);
    for arguments in [&["--policy", "0"][..], &[]] {
        let command = if arguments.is_empty() { "list" } else { "create" };
        assert!(refused(&channel(&world, command, arguments).await).contains("developer portal"));
    }
    world.stop().await;
}

#[tokio::test]
async fn a_creation_without_an_answer_is_told_as_unknown_and_the_list_has_the_channel() {
    let world = World::start().await;
    let fault = Fault {
        call: Some(Call::CreateChannel),
        times: Some(1),
        ..Fault::new(Act::Reset { code: 2, processed: true })
    };
    world.simulator.set_script(Script { faults: vec![fault], ..Script::default() }).expect("a script");
    let said = refused(&channel(&world, "create", &["--policy", "1"]).await);
    assert!(said.contains("the channel may exist"), "{said}");
    assert_eq!(printed(&channel(&world, "list", &[]).await).len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn wrong_usage_is_told_before_any_call() {
    let world = World::start().await;
    let before = world.simulator.ledger().totals().requests;
    for (command, wrong) in [
        (&["channel", "create"][..], &["--policy", "2"][..]),
        (&["channel", "create"], &[]),
        (&["channel", "delete"], &[]),
        (&["send"], &["--channel", "AAAA"]),
        (&["send"], &["--channel", "AAAA", "--token", "00ff", "--payload", "{}"]),
        (&["send"], &["--channel", "AAAA", "--file", "x"]),
        (&["send"], &["--channel", "AAAA", "--alert", "Hello"]),
        (&["send"], &["--channel", "AAAA", "--payload", "{}", "--topic", "com.example.app"]),
        (&["send"], &["--channel", "AAAA", "--payload", "{}", "--push-type", "liveactivity"]),
    ] {
        let output = pyapns(&world, command, wrong).await;
        assert_eq!(output.status.code(), Some(2), "{command:?} {wrong:?}");
    }
    assert_eq!(world.simulator.ledger().totals().requests, before);
    world.stop().await;
}

#[test]
fn every_action_explains_itself_with_an_example() {
    for action in ["create", "list", "show", "delete"] {
        let program =
            std::process::Command::new(env!("CARGO_BIN_EXE_pyapns")).args(["channel", action, "--help"]).output();
        let help = text(&program.expect("the program runs").stdout);
        assert!(help.contains(&format!("Example:\n  pyapns channel {action} --app ")), "{help}");
    }
}
