//! The program's output is not read, or not to its end: `pyapns … | head -1`.

use crate::support::world::{World, token};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// A stream whose reader has left already.
fn nobody() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// A command whose output is not read.
fn unread(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(nobody()).stderr(Stdio::piped());
    // No gateway is there to be asked.
    command.env("PYAPNS_APPLE_SANDBOX", "https://127.0.0.1:1").env("PYAPNS_APPLE_PRODUCTION", "https://127.0.0.1:1");
    command.kill_on_drop(true);
    command
}

#[tokio::test]
async fn a_reader_that_has_left_changes_no_exit_code_and_makes_no_noise() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, code) in [
        (&["completions", "zsh"][..], 0),
        (&["check-config"], 0),
        (&["key", "--id", "shop"], 0),
        (&["--help"], 0),
        (&["doctor", "--no-push"], 1),
        (&["check-config", "--config", "gone.toml"], 1),
        (&["serve", "--config", "gone.toml"], 2),
        (&["serve", "--data-dir", "/proc/pyapns"], 1),
    ] {
        let output = unread(folder.path(), arguments).output().await.expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && !said.contains("panicked"), "{arguments:?}: {output:?}");
        let output = unread(folder.path(), arguments).stderr(nobody()).output().await.expect("the program runs");
        assert_eq!(output.status.code(), Some(code), "nor on standard error: {arguments:?}");
    }
}

#[tokio::test]
async fn a_node_keeps_running_with_closed_output() {
    let folder = tempfile::tempdir().expect("a folder");
    let listen = format!("unix:{}", folder.path().join("api.sock").display());
    let serve = ["serve", "--simulator", "--listen", &listen];
    let mut node = unread(folder.path(), &serve).spawn().expect("the program starts");
    let send =
        ["send", "--node", &listen, "--app", "demo", "--environment", "sandbox", "--token", "00", "--alert", "a"];
    let sent = async {
        while unread(folder.path(), &send).status().await.expect("the program runs").code() != Some(0) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), sent).await.expect("the node takes a push soon");
    assert!(node.try_wait().expect("a status").is_none(), "it runs");
    node.kill().await.expect("it runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sending_a_file_stops_at_a_closed_pipe_and_reports_its_progress() {
    let world = World::start().await;
    let arguments = ["send", "--app", "com.example.app", "--environment", "sandbox", "--file", "-"];
    let mut command = unread(world.directory.path(), &arguments);
    command.env("PYAPNS_NODE", format!("http://{}", world.node.address)).stdin(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    let line = format!("{{\"token\":\"{}\",\"payload\":{{\"aps\":{{}}}}}}\n", token(1));
    stdin.write_all(line.as_bytes()).await.expect("it reads");
    let ended = timeout(Duration::from_secs(20), child.wait_with_output()).await.expect("it does not wait for more");
    let Output { status, stderr, .. } = ended.expect("an end");
    let said = String::from_utf8(stderr).expect("text");
    let expected = "1 notifications: 1 accepted\nnot sent: notification 2 and all after it";
    assert!(status.code() == Some(1) && said.starts_with(expected), "{status:?} {said}");
    drop(stdin);
    world.stop().await;
}
