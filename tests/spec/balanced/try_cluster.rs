//! `deploy/try-cluster`: a whole cluster on this machine, and nothing of it afterwards.

use crate::support::client::Client;
use crate::support::lasting_address::lasting_address;
use crate::support::world::{to, token};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(60);

fn command(arguments: &[&str]) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/try-cluster");
    let mut command = Command::new(script);
    command.args(["--pyapns", env!("CARGO_BIN_EXE_pyapns")]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// A running script. It ends with the test.
struct Trial {
    child: Child,
    announced: Value,
    /// Its programs, and their processes.
    processes: Vec<u32>,
    addresses: Vec<SocketAddr>,
    folder: PathBuf,
}

impl Trial {
    async fn start(arguments: &[&str]) -> Self {
        let mut child = command(&[&["--port", "0"], arguments].concat()).spawn().expect("Python 3 is installed");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.expect("it starts soon").expect("text");
        let Some(line) = line else { panic!("it did not start: {:?}", child.wait_with_output().await) };
        let announced: Value = serde_json::from_str(&line).expect("a line of JSON");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let urls = announced["nodes"].as_array().expect("a list").iter().map(|node| text(&node["url"]));
        let urls = urls.chain([&announced["front"], &announced["redis"]["url"]].map(text));
        let urls = urls.chain([format!("http://{}", text(&announced["simulator"]["control"]))]);
        let addresses = urls.map(|url| address(&url)).collect();
        let folder = PathBuf::from(text(&announced["simulator"]["dir"])).parent().expect("a folder").to_owned();
        let processes = descendants(child.id().expect("it runs"));
        Self { child, announced, processes, addresses, folder }
    }

    fn signal(&self, name: &str, pid: u32) {
        let sent = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
        assert!(sent.expect("a shell").success());
    }

    fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Its exit code and what it said to standard error. Nothing is left then.
    async fn ended(self) -> (Option<i32>, String) {
        let Output { status, stderr, .. } =
            timeout(PATIENCE, self.child.wait_with_output()).await.expect("it ends soon").expect("a status");
        let left: Vec<_> = self.processes.iter().filter(|pid| is_running(**pid)).collect();
        assert!(left.is_empty(), "no process is left: {left:?}");
        for address in &self.addresses {
            assert!(TcpStream::connect(address).is_err(), "nothing listens on {address}");
        }
        (status.code(), String::from_utf8(stderr).expect("text"))
    }
}

/// The address in a URL.
fn address(url: &str) -> SocketAddr {
    url.split('/').nth(2).and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no address: {url}"))
}

fn descendants(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children: Vec<u32> = children.split_whitespace().map(|pid| pid.parse().expect("a number")).collect();
    children.into_iter().flat_map(|pid| [vec![pid], descendants(pid)].concat()).collect()
}

fn is_running(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

async fn starts_sends_and_leaves_nothing(balancer: &str, signal: &str, programs: usize) {
    let trial = Trial::start(&["--balancer", balancer]).await;
    let announced = &trial.announced;
    let shape = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(shape(announced), ["balancer", "front", "nodes", "redis", "simulator"]);
    assert_eq!(shape(&announced["redis"]), ["pid", "url"]);
    assert_eq!(
        (shape(&announced["balancer"]), shape(&announced["simulator"])),
        (vec!["pid".into()], vec!["control".into(), "dir".into()])
    );
    let nodes = announced["nodes"].as_array().expect("a list");
    let names: Vec<_> = nodes.iter().map(|node| node["name"].as_str().expect("text")).collect();
    assert_eq!(names, ["push-1", "push-2", "push-3"]);
    for program in nodes.iter().chain([&announced["redis"], &announced["balancer"]]) {
        let pid = program["pid"].as_u64().expect("a number") as u32;
        assert!(trial.processes.contains(&pid), "{program} is a process of the script");
    }
    assert!(trial.processes.len() >= programs, "{:?}", trial.processes);

    let mut front = Client::connect(address(announced["front"].as_str().expect("text"))).await;
    let sent = front.post("/apps/demo/sandbox/notifications", to(&token(7)).to_string()).await;
    assert_eq!(sent.outcomes(), ["accepted"], "{sent:?}");
    let control = format!("http://{}", announced["simulator"]["control"].as_str().expect("text"));
    let ledger = Client::of_simulator(address(&control)).await.get("/ledger").await;
    let seen: Vec<_> = ledger.body["entries"].as_array().expect("a list").iter().map(|entry| &entry["token"]).collect();
    assert_eq!(seen, [&json!(token(7))]);
    // Every node knows the app, and is the member of a cluster.
    for node in nodes {
        let mut node = Client::connect(address(node["url"].as_str().expect("text"))).await;
        assert_eq!(node.get("/apps/demo/sandbox").await.status, 200);
        assert!(node.text("/metrics").await.contains("\npyapns_cluster_members 3\n"));
    }

    let (folder, pid) = (trial.folder.clone(), trial.pid());
    trial.signal(signal, pid);
    assert_eq!(trial.ended().await, (Some(0), String::new()));
    assert!(!folder.exists(), "a temporary folder is removed");
}

#[tokio::test]
async fn try_cluster_with_haproxy_sends_through_the_front_and_leaves_nothing_after_sigterm() {
    starts_sends_and_leaves_nothing("haproxy", "TERM", 6).await;
}

#[tokio::test]
async fn try_cluster_with_nginx_sends_through_the_front_and_leaves_nothing_after_ctrl_c() {
    starts_sends_and_leaves_nothing("nginx", "INT", 7).await;
}

#[tokio::test]
async fn when_a_program_of_try_cluster_ends_it_names_it_and_takes_the_rest_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let trial = Trial::start(&["--nodes", "2", "--dir", folder.path().to_str().expect("text")]).await;
    let node = trial.announced["nodes"][1]["pid"].as_u64().expect("a number") as u32;
    // A second one of the same folder would disturb the first.
    let second = command(&["--dir", folder.path().to_str().expect("text")]).output().await.expect("it runs");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(1) && said.contains("another try-cluster uses"), "{said}");
    trial.signal("KILL", node);
    let (code, said) = trial.ended().await;
    assert_eq!(code, Some(1));
    assert!(said.starts_with(&format!("try-cluster: push-2 (process {node}) was killed by SIGKILL")), "{said}");
    assert!(folder.path().join("log/push-2.log").exists(), "a folder that was named is kept");
}

#[tokio::test]
async fn with_keep_going_try_cluster_continues_without_a_program_and_nodes_can_be_started_by_hand() {
    let folder = tempfile::tempdir().expect("a folder");
    let in_folder = ["--dir", folder.path().to_str().expect("text")];
    let trial = Trial::start(&[&["--nodes", "2", "--keep-going"], &in_folder[..]].concat()).await;
    let killed = trial.announced["nodes"][1]["pid"].as_u64().expect("a number") as u32;
    trial.signal("KILL", killed);
    let spare = PathBuf::from(trial.announced["spare"].as_str().expect("text"));
    assert_eq!(spare, folder.path().canonicalize().expect("a folder").join("push-3.toml"));
    let serve = |file: &Path| {
        let mut node = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        node.args(["serve", "--config"]).arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        node.kill_on_drop(true).spawn().expect("a node")
    };
    let by_hand = [spare.with_file_name("push-2.toml"), spare].map(|file| serve(&file));
    let mut first = Client::connect(trial.addresses[0]).await;
    let joined = async {
        let wanted = [2, 3].map(|number| format!("\npyapns_peer_reachable{{node=\"push-{number}\"}} 1\n"));
        loop {
            let text = first.text("/metrics").await;
            if wanted.iter().all(|line| text.contains(line)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, joined).await.is_ok(), "both join");
    let mut front = Client::connect(address(trial.announced["front"].as_str().expect("text"))).await;
    let sent = front.post("/apps/demo/sandbox/notifications", to(&token(7)).to_string()).await;
    assert_eq!(sent.outcomes(), ["accepted"], "{sent:?}");
    drop(by_hand);
    trial.signal("TERM", trial.pid());
    let (code, said) = trial.ended().await;
    assert_eq!(code, Some(0));
    assert!(said.starts_with(&format!("try-cluster: push-2 (process {killed}) was killed by SIGKILL")), "{said}");
}

#[tokio::test]
async fn when_try_cluster_itself_is_killed_its_programs_end() {
    let trial = Trial::start(&["--nodes", "1", "--balancer", "nginx"]).await;
    trial.signal("KILL", trial.pid());
    let gone = async {
        while trial.processes.iter().any(|pid| is_running(*pid)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, gone).await.is_ok(), "{:?}", trial.processes);
    let _ = std::fs::remove_dir_all(&trial.folder);
}

/// Its output when it must refuse to start.
async fn refused(command: &mut Command) -> String {
    let output = timeout(PATIENCE, command.output()).await.expect("it ends soon").expect("it runs");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[tokio::test]
async fn try_cluster_names_what_it_lacks() {
    let listener = TcpListener::bind(lasting_address()).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let said = refused(&mut command(&["--port", &port.to_string()])).await;
    assert!(said.contains(&format!("port {port} is taken")) && said.contains("--port"), "{said}");
    let said = refused(&mut command(&["--pyapns", "/nowhere/pyapns"])).await;
    assert!(said.contains("/nowhere/pyapns"), "{said}");
    // Only Python is in the path.
    let path: TempDir = tempfile::tempdir().expect("a folder");
    let python = std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let python = String::from_utf8(python.expect("Python 3 is installed").stdout).expect("text");
    std::os::unix::fs::symlink(python.trim(), path.path().join("python3")).expect("a link");
    let said = refused(command(&[]).env("PATH", path.path())).await;
    assert!(said.contains("redis-server is not installed") && said.contains("apt-get install redis-server"), "{said}");
}
