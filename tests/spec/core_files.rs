//! No secret gets into a core file, unless the operator wants core files.

use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::world::{APP, World};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The largest core files that this process may allow to others, as `/proc` and `prlimit` write it.
fn largest() -> String {
    getrlimit(Resource::Core).maximum.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string())
}

/// Runs a command with unlimited core files in a separate folder.
fn unlimited(inner: &Command, folder: &Path) -> Command {
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--core={0}:{0}", largest()))
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(folder);
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// The limit on core files that a process has: the soft one.
fn core_limit(process: u32) -> String {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).expect("a running process");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).expect("it is listed");
    line.split_whitespace().next().expect("a limit").to_owned()
}

fn cores(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.starts_with("core")).collect()
}

/// Returns true if a crash leaves a file in the working directory on this machine.
fn leaves_files() -> bool {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("Linux");
    pattern.starts_with("core") && largest() != "0"
}

fn abort(process: u32) {
    let process = process.try_into().ok().and_then(Pid::from_raw).expect("a process");
    kill_process(process, Signal::ABORT).expect("it runs");
}

/// A node that holds a credential, killed as a crash would: the core files that it leaves.
async fn cores_of_a_crash(world: &World, name: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let folder = world.directory.path().join(name);
    fs::create_dir(&folder).expect("a folder");
    let inner = Daemon::command(world, &folder.join("data"), variables);
    let daemon = Daemon::run(unlimited(&inner, &folder)).await;
    let pem = world.simulator.identity().client_pem.clone();
    assert_eq!(Client::connect(daemon.address).await.post(APP, pem).await.status, 201);
    let wanted = if variables.is_empty() { "0".to_owned() } else { largest() };
    assert_eq!(core_limit(daemon.id()), wanted);
    abort(daemon.id());
    tokio::task::spawn_blocking(move || daemon.wait()).await.expect("it ends");
    cores(&folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_leaves_no_core_file_unless_core_dumps_allows_them() {
    let world = World::start().await;
    assert_eq!(cores_of_a_crash(&world, "quiet", &[]).await, [""; 0]);
    let left = cores_of_a_crash(&world, "wanted", &[("PYAPNS_CORE_DUMPS", "true")]).await;
    assert_eq!(left.len(), usize::from(leaves_files()), "{left:?}");
    world.stop().await;
}

/// Returns true if a process's files in `/proc` belong to root.
fn belongs_to_root(process: u32) -> bool {
    fs::metadata(format!("/proc/{process}/environ")).expect("a running process").uid() == 0
}

/// The command that runs it as a user without rights, if that is needed.
fn unprivileged(inner: &Command) -> Command {
    if !root() {
        let mut command = Command::new(inner.get_program());
        command.args(inner.get_args()).envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        return command;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// Makes folder and program reachable for a user without rights.
fn share(world: &World, folder: &Path) -> std::path::PathBuf {
    use std::os::unix::fs::{PermissionsExt, chown};
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("our folder");
    fs::create_dir(folder).expect("a folder");
    [world.directory.path(), &world.directory.path().join("simulator"), folder].into_iter().for_each(open);
    open(&world.directory.path().join("simulator/ca.pem"));
    if root() {
        chown(folder, Some(65_534), Some(65_534)).expect("root may do that");
    }
    let program = folder.join("pyapns");
    fs::copy(env!("CARGO_BIN_EXE_pyapns"), &program).expect("a copy");
    program
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_user_without_rights_is_closed_to_that_user_and_sees_its_own_figures() {
    let world = World::start().await;
    let folder = world.directory.path().join("unprivileged");
    let program = share(&world, &folder);
    for (allowed, data) in [("false", "closed"), ("true", "open")] {
        let variables = [("PYAPNS_CORE_DUMPS", allowed)];
        let inner = Daemon::command(&world, &folder.join(data), &variables);
        let mut command = Command::new(&program);
        command.args(inner.get_args()).envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let daemon = Daemon::run(unprivileged(&command)).await;
        assert_eq!(belongs_to_root(daemon.id()), allowed == "false");
        let metrics = daemon.client().await.text("/metrics").await;
        for figure in ["process_open_fds", "process_max_fds", "process_resident_memory_bytes", "process_threads"] {
            let value = metrics.lines().find_map(|line| line.strip_prefix(figure)?.trim().parse::<f64>().ok());
            assert!(value.is_some_and(|value| value > 0.0), "{figure} with core_dumps = {allowed}: {metrics}");
        }
        let doctor = ["doctor", "--data-dir"];
        let mut look = Command::new(&program);
        look.args(doctor)
            .arg(folder.join(data))
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let told = unprivileged(&look).output().expect("it runs");
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.contains("is held by a running node") && !told.contains("belongs to user"), "{told}");
        daemon.kill();
    }
    world.stop().await;
}

/// A command with secrets in its environment, which goes with the test.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str], folder: &Path) -> Self {
        let mut inner = Command::new(env!("CARGO_BIN_EXE_pyapns"));
        inner.args(arguments).env("PYAPNS_API_KEY", "shop.0000");
        Self(unlimited(&inner, folder).stdout(Stdio::piped()).spawn().expect("the program starts"))
    }

    /// Crashes it while it can leave no core file.
    fn crash(mut self, what: &str) {
        assert_eq!(core_limit(self.0.id()), "0", "{what}");
        abort(self.0.id());
        assert_eq!(self.0.wait().expect("it ends").code(), None, "a signal ended {what}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn commands_that_read_secrets_leave_no_core_file_either() {
    let folder = tempfile::tempdir().expect("a folder");
    let listening = ["simulator", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"];
    let mut simulator = Running::start(&listening, folder.path());
    let said = BufReader::new(simulator.0.stdout.take().expect("piped")).lines().next();
    assert!(said.is_some_and(|said| said.is_ok()), "it is ready");
    simulator.crash("simulator");
    // A configuration that comes through a pipe: each waits in the middle of reading it.
    let pipe = folder.path().join("settings");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("coreutils").success());
    let settings = pipe.to_str().expect("text");
    for verb in ["check-config", "doctor", "serve"] {
        let reading = Running::start(&[verb, "--config", settings], folder.path());
        let _writer = fs::OpenOptions::new().write(true).open(&pipe).expect("it reads");
        reading.crash(verb);
    }
    assert_eq!(cores(folder.path()), [""; 0]);
}
