//! `pyapns send`, as a person or a script runs it.

use crate::support::bare_node::BareNode;
use crate::support::world::{APP, World, token};
use serde_json::{Value, json};
use simulator::{Act, Fault, Script, TokenState};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The program, told to send to the world's app.
fn program(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
    command.args(["send", "--app", "com.example.app", "--environment", "sandbox"]).args(arguments);
    command.env("PYAPNS_NODE", format!("http://{}", world.node.address)).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn run(world: &World, arguments: &[&str]) -> Output {
    program(world, arguments).output().await.expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn outcomes(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("an outcome a line")).collect()
}

fn line(number: usize) -> String {
    format!("{{\"identifier\":{number},\"token\":\"{}\",\"payload\":{{\"aps\":{{}}}}}}\n", token(number))
}

#[tokio::test]
async fn one_push_arrives_with_its_options_and_its_outcome_is_printed() {
    let world = World::start().await;
    let payload = "{ \"aps\": {\"alert\":\"a\\u00e4\"}, \"n\":1.50 }";
    std::fs::write(world.directory.path().join("payload.json"), payload).expect("a file");
    let at = format!("@{}", world.directory.path().join("payload.json").display());
    let to = token(1);
    let options = ["--priority", "5", "--push-type", "background", "--collapse-id", "news", "--expiry", "4000000000"];
    let arguments = [&["--token", &to, "--payload", &at, "--identifier", "mine"][..], &options].concat();
    let output = run(&world, &arguments).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = outcomes(&text(&output.stdout));
    assert_eq!((told.len(), &told[0]["outcome"], &told[0]["identifier"]), (1, &json!("accepted"), &json!("mine")));
    assert_eq!(text(&output.stderr), "1 accepted\n");
    let entry = world.simulator.ledger().entries().pop().expect("an entry");
    assert_eq!((&entry.body[..], entry.token), (payload.as_bytes(), to));
    assert_eq!((entry.priority.as_deref(), entry.push_type.as_deref()), (Some("5"), Some("background")));
    assert_eq!((entry.collapse_id.as_deref(), entry.expiration.as_deref()), (Some("news"), Some("4000000000")));
    world.stop().await;
}

#[tokio::test]
async fn a_notification_that_was_not_accepted_shows_in_the_exit_code() {
    let world = World::start().await;
    let dead = TokenState::Dead { reason: "Unregistered", timestamp: None };
    world.simulator.set_token(&token(2), Some(dead));
    let (good, gone) = (token(1), token(2));
    let output = run(&world, &["--token", &good, "--token", &gone, "--alert", "Hello"]).await;
    assert_eq!(output.status.code(), Some(1));
    let kinds: Vec<_> = outcomes(&text(&output.stdout)).iter().map(|told| told["outcome"].clone()).collect();
    assert_eq!(kinds, ["accepted", "rejected"]);
    assert_eq!(text(&output.stderr), "1 accepted, 1 rejected (Unregistered 1)\n");

    let refused = run(&world, &["--token", "xyz", "--alert", "Hello"]).await;
    assert_eq!((refused.status.code(), text(&refused.stdout).as_str()), (Some(1), ""));
    assert!(text(&refused.stderr).starts_with("pyapns: ") && text(&refused.stderr).contains("token"), "{refused:?}");
    for wrong in [&["--alert", "no token"][..], &["--token", &good, "--file", "x"], &["--token", &good, "--node", "x"]]
    {
        assert_eq!(run(&world, wrong).await.status.code(), Some(2), "{wrong:?}");
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let node = format!("http://{nobody}");
    let lost = run(&world, &["--token", &good, "--alert", "Hello", "--node", &node]).await;
    assert_eq!(lost.status.code(), Some(1));
    assert!(text(&lost.stderr).contains(&format!("no node answers at {node}")), "{lost:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_many_gets_an_outcome_a_line_and_a_summary() {
    const LINES: usize = 3_000;
    let world = World::start().await;
    world.simulator.set_token(&token(7), Some(TokenState::Bad));
    let folder = world.directory.path();
    let (input, output) = (folder.join("many.ndjson"), folder.join("outcomes.ndjson"));
    let names = |path: &Path| path.to_str().expect("text").to_owned();
    let (input_name, output_name) = (names(&input), names(&output));
    let good: String = (10..LINES).map(line).collect();
    std::fs::write(&input, &good).expect("a file");
    let done = run(&world, &["--file", &input_name, "--output", &output_name]).await;
    assert_eq!((done.status.code(), text(&done.stdout).as_str()), (Some(0), ""), "{}", text(&done.stderr));
    assert_eq!(text(&done.stderr), format!("{0} notifications: {0} accepted\n", LINES - 10));
    let told = outcomes(&std::fs::read_to_string(&output).expect("outcomes"));
    assert!(
        told.iter()
            .map(|told| &told["identifier"])
            .eq((10..LINES).map(|number| json!(number)).collect::<Vec<_>>().iter())
    );

    let mut mixed = String::from("\n{\"identifier\":0,\"token\":\n");
    let _ = write!(mixed, "{}\n{}", line(7), line(8).trim_end());
    let mut child = program(&world, &["--file", "-"]).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(mixed.as_bytes()).await.expect("it reads");
    drop(stdin);
    let done = child.wait_with_output().await.expect("it ends");
    assert_eq!(done.status.code(), Some(1));
    let kinds: Vec<_> = outcomes(&text(&done.stdout)).iter().map(|told| told["outcome"].clone()).collect();
    assert_eq!(kinds, ["rejected", "rejected", "accepted"]);
    let summary = "3 notifications: 1 accepted, 2 rejected (BadDeviceToken 1, malformed_json 1)\n";
    assert_eq!(text(&done.stderr), summary);
    world.stop().await;
}

/// Sends from a stdin that stays open.
async fn typing(world: &World) -> (Child, ChildStdin, Lines<BufReader<ChildStdout>>) {
    let mut child = program(world, &["--file", "-", "--timeout", "30"]).spawn().expect("the program starts");
    let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    (child, stdin, BufReader::new(stdout).lines())
}

async fn interrupt(child: &Child) {
    let id = child.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().await.expect("kill is installed").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_reports_the_unsent_and_the_unanswered_notifications() {
    let world = World::start().await;
    let (child, mut stdin, mut told) = typing(&world).await;
    for number in 0..3 {
        stdin.write_all(line(number).as_bytes()).await.expect("it reads");
        assert!(told.next_line().await.expect("text").expect("an outcome").contains("accepted"));
    }
    interrupt(&child).await;
    let done = child.wait_with_output().await.expect("it ends");
    assert_eq!(done.status.code(), Some(1));
    let said = text(&done.stderr);
    assert!(said.contains("3 notifications: 3 accepted\nnot sent: notification 4 and all after it"), "{said}");

    let silence = Fault::new(Act::Silence { processed: true });
    world.simulator.set_script(Script { faults: vec![silence], ..Script::default() }).expect("a good script");
    let (mut child, mut stdin, _told) = typing(&world).await;
    let mut said = BufReader::new(child.stderr.take().expect("piped")).lines();
    stdin.write_all(format!("{}{}", line(4), line(5)).as_bytes()).await.expect("it reads");
    world.simulator.ledger().wait_until(|totals| totals.requests == 5).await;
    interrupt(&child).await;
    assert!(said.next_line().await.expect("text").expect("a line").starts_with("stopping: waiting for"));
    interrupt(&child).await;
    assert_eq!(child.wait().await.expect("it ends").code(), Some(1));
    let mut rest = String::new();
    while let Some(line) = said.next_line().await.expect("text") {
        rest += &format!("{line}\n");
    }
    assert!(rest.contains("not answered: notifications 1 to 2 were sent, and Apple may have received them"), "{rest}");
    assert!(rest.contains("not sent: notification 3 and all after it"), "{rest}");
    world.stop().await;
}

#[tokio::test]
async fn a_unix_socket_and_an_api_key_are_used_as_they_are_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new(env!("CARGO_BIN_EXE_pyapns")).args(["key", "--id", "shop"]).output().await.expect("a key");
    let key = text(&made.stderr).trim().rsplit(' ').next().expect("a key").to_owned();
    let (key_file, socket) = (folder.path().join("key"), folder.path().join("api.sock"));
    std::fs::write(&key_file, format!("{key}\n")).expect("a file");
    let bare_node = BareNode::start(&format!("listen = 'unix:{}'", socket.display()), &text(&made.stdout)).await;
    let run = async |key_file: Option<&Path>, variable: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        command.args(["send", "--app", "shop", "--environment", "sandbox", "--token", "00fc", "--alert", "Hello"]);
        command.arg("--node").arg(format!("unix:{}", socket.display())).env("PYAPNS_API_KEY", variable);
        if variable.is_empty() {
            command.env_remove("PYAPNS_API_KEY");
        }
        if let Some(key_file) = key_file {
            command.arg("--api-key-file").arg(key_file);
        }
        let output = command.output().await.expect("the program runs");
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    for said in [run(Some(&key_file), "shop.wrong").await, run(None, &key).await] {
        assert!(said.contains("no app `shop` is provisioned"), "{said}");
    }
    let refused = run(None, "").await;
    assert!(refused.contains("requires an API key: set the variable PYAPNS_API_KEY"), "{refused}");
    let refused = run(None, "shop.wrong-canary").await;
    assert!(refused.contains("API key") && !refused.contains("canary"), "{refused}");
    bare_node.stop().await;
}

#[tokio::test]
async fn the_nodes_refusal_of_a_whole_file_is_printed() {
    let world = World::start().await;
    let mut client = world.client().await;
    assert_eq!(client.call("DELETE", APP, "").await.status, 200);
    let input = world.directory.path().join("one.ndjson");
    std::fs::write(&input, line(1)).expect("a file");
    let refused = run(&world, &["--file", input.to_str().expect("text")]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("no app `com.example.app` is provisioned"), "{refused:?}");
    world.stop().await;
}
