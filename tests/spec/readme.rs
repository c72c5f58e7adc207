//! The README as a new user follows it: every command in it is run as it stands there.

use crate::support::daemon::Daemon;
use crate::support::forms::openssl;
use crate::support::world::{World, token};
use simulator::TokenState;
use std::fs;
use std::path::Path;
use tokio::process::Command;

const README: &str = include_str!("../../README.md");
const PASSPHRASE: &str = "a passphrase";

/// The blocks of shell commands, but for those that need a compiler or run all tests.
fn blocks() -> Vec<String> {
    let mut parts = README.split("```sh\n").skip(1).map(|part| part.split("```").next().unwrap_or_default());
    let blocks: Vec<String> = parts.by_ref().map(str::to_owned).collect();
    blocks.into_iter().filter(|block| !block.starts_with("cargo ") && !block.starts_with("tests/run")).collect()
}

/// Runs a block where the user stands, against this node; gives what it printed.
async fn run(folder: &Path, daemon: &Daemon, world: &World, block: &str) -> String {
    let identity = world.simulator.identity();
    let block = block.replace("127.0.0.1:8088", &daemon.address.to_string());
    let block = block.replace("\"ABCDE12345\"", &format!("\"{}\"", identity.key_id));
    let block = block.replace("\"FGHIJ67890\"", &format!("\"{}\"", identity.team_id));
    let program = Path::new(env!("CARGO_BIN_EXE_pyapns")).parent().expect("a folder");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").expect("a path"));
    let mut command = Command::new("bash");
    command.args(["-eo", "pipefail", "-c", &block]).current_dir(folder).env("PATH", path).env("PASSPHRASE", PASSPHRASE);
    command.env("PYAPNS_NODE", format!("http://{}", daemon.address));
    let output = command.output().await.expect("bash is installed");
    assert!(output.status.success(), "{block}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_readme_works_as_it_stands_there() {
    let world = World::start().await;
    let folder = world.directory.path().join("user");
    fs::create_dir_all(folder.join("pyapns-data/simulator")).expect("a folder");
    let put = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file");
    let identity = world.simulator.identity();
    put("pyapns-data/simulator/client.pem", &identity.client_pem);
    put("AuthKey_ABCDE12345.p8", &identity.key_pem);
    let line = |number| format!("{{\"token\":\"{}\",\"payload\":{{\"aps\":{{}}}}}}\n", token(number));
    put("million.ndjson", &(0..20).map(line).collect::<String>());
    let export = "pkcs12 -export -in pyapns-data/simulator/client.pem -passout env:PASS -out push.p12";
    openssl(&folder, export, &[], PASSPHRASE);
    let daemon = Daemon::on(&world, &folder.join("data"), &[]).await;
    let blocks = blocks();
    for what in ["curl -d ", ".p8", "X-Passphrase", "x-ndjson", "pyapns send", "/feedback"] {
        assert!(blocks.iter().any(|block| block.contains(what)), "the README shows {what}");
    }
    let dead = TokenState::Dead { reason: "Unregistered", timestamp: None };
    world.simulator.set_token(&token(7), Some(dead));
    let own = "curl -d '{\"token\":\"00fc\",\"payload\":{}}' http://127.0.0.1:8088/apps/com.example.app/production/notifications";
    for block in &blocks {
        // One of the file's tokens is dead, which the program says with its exit code.
        let forgiving = block.replace("--output outcomes.ndjson", "--output outcomes.ndjson || [ $? = 1 ]");
        let printed = run(&folder, &daemon, &world, &forgiving).await;
        if block.contains("outcomes.ndjson") {
            let outcomes = fs::read_to_string(folder.join("outcomes.ndjson")).expect("outcomes");
            assert_eq!(outcomes.matches("\"accepted\"").count(), 19, "{block}: {outcomes}");
            fs::remove_file(folder.join("outcomes.ndjson")).expect("a file");
        } else {
            assert!(printed.contains("\"code\":20"), "{block}: {printed}");
        }
        if block.contains(".p8") || block.contains("X-Passphrase") {
            assert!(
                run(&folder, &daemon, &world, own).await.contains("\"accepted\""),
                "sent with one's own credential"
            );
        }
    }
    let feedback = daemon.client().await.get("/apps/com.example.app/sandbox/feedback").await;
    assert_eq!(feedback.response().as_array().expect("a list").len(), 1, "{feedback:?}");
    daemon.kill();
    world.stop().await;
}
