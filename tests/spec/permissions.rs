//! Files with secrets: a file that others may write is refused, a file that everyone may read is used with a warning.

use crate::support::bare_node::Pair;
use crate::support::process::{Home, entry};
use crate::support::world::World;
use serde_json::json;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

/// Each kind of file with a secret in it, and the configuration that names them all.
const FILES: [&str; 6] = ["shop.pem", "signing.p8", "word", "credentials.hex", "server.key", "caller.key"];

fn chmod(home: &Home, file: &str, mode: u32) {
    std::fs::set_permissions(home.folder.join(file), Permissions::from_mode(mode)).expect("permissions");
}

fn furnish(world: &World, home: &Home) {
    let identity = world.simulator.identity();
    home.put("shop.pem", &identity.client_pem);
    home.put("signing.p8", &identity.key_pem);
    home.put("word", "not needed");
    home.put("credentials.hex", &"0a".repeat(32));
    home.put("caller.key", "caller.0123456789abcdef");
    Pair::make(&home.folder);
    let signing = format!(
        "[[autoprovision]]\napp_id = 'chat'\nenvironment = 'sandbox'\nkey = 'signing.p8'\nkey_id = '{}'\nteam_id = '{}'\n\
         topic = 'com.example.app'\n",
        identity.key_id, identity.team_id
    );
    let (keys, certificate) = (home.path("credentials.hex"), home.path("server.pem"));
    home.configure(&format!(
        "listen = '127.0.0.1:0'\n[credentials]\nkey_files = ['{keys}']\n[tls]\ncertificate = '{certificate}'\n\
         key = '{}'\n{}{signing}\
         [[api_keys]]\nid = 'caller'\nsecret_file = 'caller.key'\nscopes = 'send'\n",
        home.path("server.key"),
        entry("shop", "shop.pem", "passphrase_file = 'word'"),
    ));
    FILES.iter().for_each(|file| chmod(home, file, 0o640));
}

/// Runs a command on the node's configuration, without asking Apple anything.
fn pyapns(world: &World, home: &Home, verb: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyapns"));
    command.args([verb, "--config"]).arg(home.folder.join("pyapns.toml")).arg("--data-dir").arg(home.data()).args(more);
    let gateway = format!("https://{}", world.simulator.address());
    command.env("PYAPNS_APPLE_SANDBOX", &gateway).env("PYAPNS_APPLE_PRODUCTION", gateway);
    command.env("PYAPNS_APPLE_CA_FILE", world.directory.path().join("simulator/ca.pem"));
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_config_and_doctor_name_each_file_that_others_may_write_or_read_and_the_cure() {
    let world = World::start().await;
    let home = Home::new(&world, "checked", "pyapns.toml");
    furnish(&world, &home);
    let check = || pyapns(&world, &home, "check-config", &[]);
    let doctor = || pyapns(&world, &home, "doctor", &["--no-push"]);
    let output = check();
    assert!(output.status.success() && text(&output.stdout).lines().count() == 1, "{output:?}");
    for file in FILES {
        let path = home.path(file);
        for mode in [0o660, 0o642] {
            chmod(&home, file, mode);
            let output = check();
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{file} {mode:o}: {said}");
            assert_eq!(said.matches(&format!("chmod go-w {path}")).count(), 1, "{file} {mode:o}: {said}");
        }
        let output = doctor();
        let said = text(&output.stdout);
        let failed = said.lines().any(|line| line.starts_with("fail  configuration") && line.contains(&path));
        assert!(output.status.code() == Some(1) && failed, "{said}");
        chmod(&home, file, 0o444);
        let output = check();
        let said = text(&output.stdout);
        assert!(output.status.success() && said.contains(&format!("chmod o-r {path}")), "{output:?}");
        let output = doctor();
        let said = text(&output.stdout);
        let warned = said.lines().any(|line| line.starts_with("warn  configuration") && line.contains(&path));
        assert!(output.status.success() && warned, "{said}");
        chmod(&home, file, 0o640);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_warns_of_files_that_everyone_may_read_and_refuses_those_that_others_may_write() {
    let world = World::start().await;
    let home = Home::new(&world, "served", "pyapns.toml");
    furnish(&world, &home);
    // As Kubernetes mounts secrets: a link to a file that everyone may read.
    std::fs::create_dir(home.folder.join("..data")).expect("a folder");
    std::fs::rename(home.folder.join("shop.pem"), home.folder.join("..data/shop.pem")).expect("a file in place");
    chmod(&home, "..data/shop.pem", 0o644);
    symlink(Path::new("..data/shop.pem"), home.folder.join("shop.pem")).expect("a link");
    let mut process = home.start().await;
    process.logs(&format!("every user of this machine may read {}: chmod o-r", home.path("shop.pem")), 1).await;
    assert_eq!(process.lines_with("may read"), 1, "and of the others it says nothing");

    chmod(&home, "signing.p8", 0o644);
    process.logs(&format!("every user of this machine may read {}", home.path("signing.p8")), 1).await;
    chmod(&home, "signing.p8", 0o660);
    process.logs("the app stays unchanged: ", 1).await;
    process.logs(&format!("chmod go-w {}", home.path("signing.p8")), 1).await;
    process.stop().await;
    let (code, said) = home.refused().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&format!("chmod go-w {}", home.path("signing.p8"))), "{said}");
    world.stop().await;
}

#[tokio::test]
async fn a_path_over_the_api_is_held_to_the_same() {
    let world = World::start().await;
    let home = Home::new(&world, "api", "pyapns.toml");
    home.put("shop.pem", &world.simulator.identity().client_pem);
    home.configure(&format!("listen = '127.0.0.1:0'\ncredentials_dir = '{}'", home.folder.display()));
    let mut process = home.start().await;
    let body = json!({"certificate": "shop.pem"}).to_string();
    for (mode, status, told) in [(0o664, 400, "chmod go-w"), (0o644, 201, "chmod o-r"), (0o640, 201, "")] {
        chmod(&home, "shop.pem", mode);
        let answer = process.client().await.post("/apps/shop/sandbox", body.clone()).await;
        assert_eq!(answer.status, status, "{mode:o}: {answer:?}");
        assert!(!answer.body.to_string().contains("chmod"), "the responses reveal no file: {answer:?}");
        process.logs(told, 1).await;
    }
    assert_eq!(process.lines_with("chmod"), 2);
    process.stop().await;
    world.stop().await;
}
