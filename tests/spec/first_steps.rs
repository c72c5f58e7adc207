//! The commands of an operator's first minutes: `init`, `healthcheck`, the manual pages, the version; and colours.

#[expect(dead_code, reason = "cargo runs its main")]
#[path = "../../build.rs"]
mod build_script;

use crate::support::forms::openssl;
use crate::support::process::{Home, Process};
use crate::support::shared::{pyapns, said};
use crate::support::world::World;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command as AsyncCommand;
use tokio::time::timeout;

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Runs `pyapns healthcheck` without blocking the tests' runtime.
async fn healthcheck(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = AsyncCommand::new(env!("CARGO_BIN_EXE_pyapns"));
    let output = command.arg("healthcheck").args(arguments).output().await.expect("the program runs");
    let all = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(all).expect("text"))
}

#[tokio::test]
async fn healthcheck_says_if_the_node_of_a_configuration_is_ready() {
    let world = World::start().await;
    let home = Home::new(&world, "home", "pyapns.toml");
    home.configure("listen = '127.0.0.1:0'\ndrain_notice_seconds = 5");
    let process = home.start().await;
    let file = home.path("pyapns.toml");
    let address = process.address.to_string();
    let told = healthcheck(&["--config", &file, "--listen", &address]).await;
    assert_eq!(told, (Some(0), format!("http://{address} is ready\n")));
    let everywhere = format!("0.0.0.0:{}", process.address.port());
    let told = healthcheck(&["--listen", &everywhere, "--insecure"]).await;
    assert_eq!(told, (Some(0), format!("http://{address} is ready\n")), "on loopback");
    let (code, told) = healthcheck(&["--config", &file]).await;
    assert!(code == Some(1) && told.contains("--listen"), "the port is not known: {told}");

    process.signal("TERM");
    let mut process = process;
    process.logs("draining", 1).await;
    let (code, told) = healthcheck(&["--listen", &address]).await;
    assert!(code == Some(1) && told.contains("the node is not ready") && told.contains("stopping"), "{told}");
    assert_eq!(process.ended().await, Some(0));
    let (code, told) = healthcheck(&["--listen", &address]).await;
    assert!(code == Some(1) && told.contains("no node answers"), "{told}");
    world.stop().await;
}

#[tokio::test]
async fn healthcheck_asks_a_unix_socket_and_a_listener_with_tls() {
    let world = World::start().await;
    let home = Home::new(&world, "home", "pyapns.toml");
    let socket = home.path("api.sock");
    home.configure(&format!("listen = 'unix:{socket}'\nadmin.listen = '127.0.0.1:0'"));
    let mut process = AsyncCommand::new(env!("CARGO_BIN_EXE_pyapns"));
    process.args(["serve", "--config", &home.path("pyapns.toml"), "--data-dir", &home.path("data")]);
    let process = Process::run_printing(process, 1).await;
    let told = healthcheck(&["--config", &home.path("pyapns.toml")]).await;
    assert_eq!(told, (Some(0), format!("unix:{socket} is ready\n")));
    process.stop().await;

    let tls = Home::new(&world, "tls", "pyapns.toml");
    let made =
        "req -x509 -noenc -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -keyout key.pem -out cert.pem";
    openssl(&tls.folder, made, &["-subj", "/CN=push.example.com"], "");
    let files = format!("certificate = '{}'\nkey = '{}'", tls.path("cert.pem"), tls.path("key.pem"));
    tls.configure(&format!("listen = '127.0.0.1:0'\n[tls]\n{files}"));
    let process = tls.start().await;
    let address = process.address.to_string();
    let told = healthcheck(&["--config", &tls.path("pyapns.toml"), "--listen", &address]).await;
    assert_eq!(told, (Some(0), format!("https://{address} is ready\n")), "whatever name the certificate has");
    process.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn healthcheck_gives_up_on_a_node_that_does_not_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let (code, told) = healthcheck(&["--listen", &address, "--timeout", "1"]).await;
    assert!(code == Some(1) && told.contains("within 1 s"), "{told}");
    assert_eq!(healthcheck(&["--timeout", "0"]).await.0, Some(2));
    let (code, told) = healthcheck(&["--listen", "nonsense"]).await;
    assert!(code == Some(1) && told.starts_with("--listen: "), "{told}");
}

#[tokio::test]
async fn init_makes_a_configuration_that_works_and_a_key_that_opens_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = folder.path().join("etc/pyapns");
    let output = pyapns(&["init", text(&made)]);
    let printed = String::from_utf8(output.stdout.clone()).expect("text");
    assert_eq!((output.status.code(), output.stderr.is_empty()), (Some(0), true), "{output:?}");
    let file = made.canonicalize().expect("the folder").join("pyapns.toml");
    let key = printed.split_whitespace().find(|word| word.starts_with("admin.")).expect("a key").trim_end_matches('\'');
    assert!(printed.contains(&format!("pyapns serve --config {}", file.display())), "{printed}");
    assert!(!fs::read_to_string(&file).expect("the file").contains(&key["admin.".len()..]), "only its hash is kept");
    assert_eq!(pyapns(&["check-config", "--config", text(&file)]).status.code(), Some(0));

    let mut command = AsyncCommand::new(env!("CARGO_BIN_EXE_pyapns"));
    command.args(["serve", "--config", text(&file), "--listen", "127.0.0.1:0"]);
    let process = Process::run(command).await;
    let mut client = process.client().await;
    assert_eq!(client.get("/apps").await.reason(), "api_key_missing");
    let url = format!("http://{}/apps", process.address);
    let bearer = format!("Authorization: Bearer {key}");
    let curl = AsyncCommand::new("curl").args(["-sS", "-H", &bearer, &url]).output().await.expect("curl");
    assert_eq!(String::from_utf8_lossy(&curl.stdout), "{\"response\":[],\"cursor\":null,\"code\":200}", "{curl:?}");
    process.stop().await;
    assert!(made.join("data/pyapns.db").exists(), "the data is beside the configuration");
}

#[tokio::test]
async fn the_command_that_serve_with_the_simulator_prints_works_with_the_key_in_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = folder.path().join("made");
    let output = pyapns(&["init", text(&made)]);
    let told = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
    let (_, key) = told.split_once("shown only once: ").expect("a key");
    let key = key.lines().next().expect("a line");
    let mut serve = AsyncCommand::new(env!("CARGO_BIN_EXE_pyapns"));
    serve.args(["serve", "--simulator", "--listen", "127.0.0.1:0", "--config"]).arg(made.join("pyapns.toml"));
    let mut serve = serve.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().expect("a node");
    let mut lines = BufReader::new(serve.stdout.take().expect("piped")).lines();
    let hint = loop {
        let line = timeout(Duration::from_secs(20), lines.next_line()).await.expect("it starts soon");
        let line = line.expect("text").expect("a hint");
        if let Some(hint) = line.strip_prefix("try: ") {
            break hint.replace("ID.SECRET", key);
        }
    };
    let sent = AsyncCommand::new("sh").args(["-c", &format!("{hint} -s")]).output().await.expect("a shell");
    let answer = String::from_utf8_lossy(&sent.stdout).into_owned();
    assert!(answer.contains("\"outcome\":\"accepted\""), "{hint}: {answer}");
}

#[test]
fn init_puts_the_data_where_it_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let (made, data) = (folder.path().join("etc"), folder.path().join("var/data"));
    let (code, _) = said(&pyapns(&["init", text(&made), "--data-dir", text(&data)]));
    assert_eq!((code, data.exists()), (Some(0), false));
    let written = fs::read_to_string(made.join("pyapns.toml")).expect("the file");
    assert!(written.contains(&format!("\ndata_dir = \"{}\"\n", data.display())), "{written}");
}

#[test]
fn init_writes_every_setting_as_a_comment_and_never_overwrites() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pyapns.toml");
    let (code, _) = said(&pyapns(&["init", text(folder.path())]));
    assert_eq!(code, Some(0));
    let written = fs::read_to_string(&file).expect("the file");
    let set: Vec<_> = written
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '[']))
        .map(|line| line.split(' ').next())
        .collect();
    assert_eq!(set, [Some("data_dir"), Some("id"), Some("secret_sha256"), Some("scopes")]);
    for line in pyapns::config::DEFAULTS.lines().skip(1).filter(|line| !line.starts_with("data_dir")) {
        assert!(written.lines().any(|own| own.trim_start_matches("# ") == line.trim_start_matches("# ")), "{line}");
    }

    let (code, told) = said(&pyapns(&["init", text(folder.path())]));
    assert!(code == Some(1) && told.contains("exists already"), "{told}");
    assert_eq!(fs::read_to_string(&file).expect("the file"), written);
    let other = folder.path().join("other");
    fs::create_dir(&other).expect("a folder");
    symlink(folder.path().join("nowhere"), other.join("pyapns.toml")).expect("a link");
    assert_eq!(pyapns(&["init", text(&other)]).status.code(), Some(1), "nor follows a link");
    assert!(!folder.path().join("nowhere").exists());
}

#[test]
fn the_manual_has_a_page_for_each_command_that_groff_formats_without_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(pyapns(&["man", text(folder.path())]).status.code(), Some(0));
    let pages: Vec<_> =
        fs::read_dir(folder.path()).expect("the folder").map(|page| page.expect("a page").path()).collect();
    for verb in ["", "-serve", "-send", "-check-config", "-doctor", "-init", "-healthcheck", "-cluster-init"] {
        assert!(pages.iter().any(|page| page.ends_with(format!("pyapns{verb}.1"))), "{verb}: {pages:?}");
    }
    for page in &pages {
        let output = Command::new("groff")
            .args(["-man", "-ww", "-Kutf8", "-Tutf8"])
            .arg(page)
            .output()
            .expect("groff is installed");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
    let serve = folder.path().join("pyapns-serve.1");
    let output =
        Command::new("groff").args(["-man", "-Kutf8", "-Tutf8", "-P-cbou"]).arg(&serve).output().expect("groff");
    let read = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(read.contains("--simulator") && read.contains("pyapns serve --config /etc/pyapns/pyapns.toml"), "{read}");
    let help = pyapns(&["--help"]);
    assert!(!String::from_utf8_lossy(&help.stdout).contains("\n  man "), "packages need it, people do not");
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").arg("-C").arg(folder).args(identity).args(arguments).output().expect("git");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[test]
fn a_release_names_its_commit_and_says_if_files_have_changed_since() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(build_script::of_repository(folder.path()), None, "sources without a repository");
    git(folder.path(), &["init", "-q"]);
    fs::write(folder.path().join("file"), "one").expect("a file");
    git(folder.path(), &["add", "file"]);
    git(folder.path(), &["commit", "-qm", "one"]);
    git(folder.path(), &["tag", "v1.0.0"]);
    let commit = git(folder.path(), &["rev-parse", "--short=12", "HEAD"]);
    assert_eq!(build_script::of_repository(folder.path()), Some(commit.clone()));
    fs::write(folder.path().join("file"), "two").expect("a file");
    assert_eq!(build_script::of_repository(folder.path()), Some(format!("{commit}-dirty")));
    let inside = folder.path().join("inside");
    fs::create_dir(&inside).expect("a folder");
    assert_eq!(build_script::of_repository(&inside), None, "the commit of another project says nothing");
}

/// Runs `check-config` on a terminal, as `script` of util-linux makes one.
fn on_a_terminal(variables: &[(&str, &str)]) -> String {
    let program = env!("CARGO_BIN_EXE_pyapns");
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{program} check-config"), "/dev/null"]).env("PYAPNS_QUEUE", "redis");
    command.env_remove("NO_COLOR").env("TERM", "xterm").envs(variables.iter().copied());
    let Output { stdout, .. } = command.output().expect("script is installed");
    String::from_utf8(stdout).expect("text")
}

#[test]
fn a_terminal_gets_colours_and_a_pipe_and_no_color_get_none() {
    let coloured = on_a_terminal(&[]);
    assert!(coloured.contains("\u{1b}[33mwarning:\u{1b}[0m PYAPNS_QUEUE"), "{coloured:?}");
    assert!(coloured.contains("\u{1b}[32mnothing is wrong\u{1b}[0m"), "{coloured:?}");
    for plain in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        let text = on_a_terminal(&plain);
        assert!(text.contains("nothing is wrong") && !text.contains('\u{1b}'), "{plain:?}: {text:?}");
    }
    let piped = pyapns(&["check-config"]);
    assert!(!piped.stdout.contains(&0x1b), "{piped:?}");
}
