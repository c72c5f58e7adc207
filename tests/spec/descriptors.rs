//! More apps than the process may have connections: who gets one, who waits, and that callers are always answered.

use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::full;
use crate::support::pipes::{Gateway, Manner, talk};
use crate::support::sender::{DEADLINE, Sender, app, is_accepted, sum, tally};
use crate::support::world::{World, to, token};
use pyapns::delivery::descriptors::Descriptors;
use serde_json::json;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// Lanes that share a budget of so many connections to a gateway, and the budget.
fn sharing(gateway: &Arc<Gateway>, connections: usize) -> (Sender, Descriptors) {
    let descriptors = Descriptors::new(connections, Instant::now());
    (Sender::with(gateway, |lanes| lanes.with_descriptors(descriptors.clone())), descriptors)
}

#[tokio::test(start_paused = true)]
async fn while_every_connection_is_busy_work_waits_until_its_deadline_and_a_freed_place_is_used() {
    let gateway = Gateway::new(|peer| talk(peer.serve(10, 9 * SECOND)));
    let (sender, descriptors) = sharing(&gateway, 1);
    let (busy, late, patient) = (app("busy"), app("late"), app("patient"));
    let began = Instant::now();
    let first = sender.begin(&busy, vec![(1, 1)], DEADLINE);
    sleep(SECOND).await;
    let second = sender.begin(&late, vec![(2, 2), (3, 3)], 3 * SECOND);
    let third = sender.begin(&patient, vec![(4, 4)], DEADLINE);
    let ended = second.await.expect("no panic");
    assert_eq!(tally(&ended).into_iter().collect::<Vec<_>>(), [("not_sent no_descriptors".to_owned(), 2)]);
    assert_eq!(began.elapsed().as_secs(), 4, "at the deadline");
    let error = sender.seen(&late).last_error.expect("it is shown").what;
    assert!(error.contains("all descriptors for them are in use"), "{error}");
    assert!(is_accepted(&first.await.expect("no panic")[0]));
    assert!(is_accepted(&third.await.expect("no panic")[0]), "the place was freed after nine seconds");
    let counts = descriptors.counts();
    assert_eq!((counts.used, counts.waiting, counts.reclaimed), (1, 0, 1));
    assert_eq!(gateway.ledger().dials.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_connection_of_any_app_that_was_idle_for_longest_is_closed_and_stays_closed() {
    let gateway = Gateway::new(|peer| talk(peer.serve(10, SECOND / 10)));
    let (sender, _) = sharing(&gateway, 2);
    let apps = ["a", "b", "c"].map(app);
    for turn in [0, 1, 0] {
        assert!(is_accepted(&sender.one(&apps[turn], turn, turn).await));
        sleep(SECOND).await;
    }
    assert!(is_accepted(&sender.one(&apps[2], 2, 2).await));
    sleep(90 * SECOND).await;
    let closed: Vec<usize> = gateway.ledger().closed.iter().map(|(number, _)| *number).collect();
    assert_eq!(closed, [1], "b's, although a's was opened before");
    assert_eq!(gateway.ledger().dials.len(), 3, "nothing is opened again without work");
    assert!(is_accepted(&sender.one(&apps[1], 1, 3).await), "b works as before");
    let closed: Vec<usize> = gateway.ledger().closed.iter().map(|(number, _)| *number).collect();
    assert_eq!(closed, [1, 0]);
    for app in &apps {
        assert_eq!(sender.log(app).await, [], "no incident for operators");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hot_app_gives_up_one_of_its_connections_for_an_app_that_has_none() {
    let gateway = Gateway::new(|peer| talk(peer.serve(10, SECOND)));
    let (sender, _) = sharing(&gateway, 3);
    let hot = sender.begin(&app("hot"), (0..2_000).map(|number| (number, number)).collect(), 100 * SECOND);
    sleep(10 * SECOND).await;
    assert_eq!(sender.metric("connections"), 3.0, "it has them all");
    let began = Instant::now();
    assert!(is_accepted(&sender.one(&app("cold"), 1, 1).await));
    assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
    assert!(hot.await.expect("no panic").iter().all(is_accepted));
}

/// As many lanes as in production, with alternating traffic: none is skipped.
#[tokio::test(start_paused = true)]
async fn a_hundred_apps_take_turns_on_ten_connections() {
    let gateway = Gateway::new(|peer| talk(peer.serve(10, SECOND / 10)));
    let (sender, descriptors) = sharing(&gateway, 10);
    let apps: Vec<_> = (0..100).map(|number| app(&format!("app-{number}"))).collect();
    for _ in 0..3 {
        let begun: Vec<_> = apps.iter().map(|app| sender.begin(app, vec![(1, 1), (2, 2)], DEADLINE)).collect();
        for outcomes in begun {
            let outcomes = outcomes.await.expect("no panic");
            assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
        }
        assert!(descriptors.counts().used <= 10);
    }
    assert_eq!(descriptors.counts().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lack_of_descriptors_does_not_count_as_a_failure_of_the_gateway() {
    let gateway = Gateway::new(|peer| match peer.number {
        0..20 => Manner::OutOfDescriptors,
        _ => talk(peer.serve(10, SECOND / 10)),
    });
    let sender = Sender::new(&gateway);
    let app = app("any");
    let ended = sender.begin(&app, vec![(1, 1)], 15 * SECOND).await.expect("no panic");
    assert_eq!(tally(&ended).into_keys().collect::<Vec<_>>(), ["not_sent no_descriptors"]);
    assert_eq!((sender.metric("breakers_open"), sender.seen(&app).state.as_str()), (0.0, "cannot_connect"));
    assert!(is_accepted(&sender.one(&app, 2, 2).await), "and it goes on by itself");
}

/// The program under a hard limit on open files, told everything from warnings on into `log`.
async fn under(limit: usize, world: &World, gateway: &str, log: &std::path::Path) -> Daemon {
    let data = world.directory.path().join("many");
    let gateways = [gateway.to_owned(), gateway.to_owned()];
    let variables = [("PYAPNS_LOG_LEVEL", "warn")];
    let inner = Daemon::between(world.directory.path(), &gateways, &data, &variables);
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={}:{limit}", limit / 2)).arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stderr(std::fs::File::create(log).expect("a log"));
    Daemon::run(command).await
}

/// Provisions its share of the apps, and sends one notification to each.
async fn provision_and_send(node: SocketAddr, body: String, apps: impl Iterator<Item = usize>) {
    let mut client = Client::connect(node).await;
    for number in apps {
        let path = format!("/apps/app-{number}/sandbox");
        assert_eq!(client.post(&path, body.clone()).await.status, 201);
        send(&mut client, number).await;
    }
}

async fn send(client: &mut Client, number: usize) {
    let path = format!("/apps/app-{number}/sandbox/notifications");
    let answer = client.post(&path, to(&token(number)).to_string()).await;
    assert_eq!((answer.status, answer.outcomes()), (201, vec!["accepted"]), "app {number}: {answer:?}");
}

/// 1,500 apps under a hard limit of 1,024 in the long form. States its own limit: two minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_apps_than_descriptors_leave_the_api_answering_and_every_send_accepted() {
    let (apps, limit) = if full() { (1_500, 1_024) } else { (120, 160) };
    let half = (limit - 64) / 2;
    let world = World::start().await;
    let gateway = format!("https://localhost:{}", world.simulator.address().port());
    let log = world.directory.path().join("log");
    let daemon = under(limit, &world, &gateway, &log).await;
    let node = daemon.address;
    let identity = world.simulator.identity();
    let (key, key_id, team_id) = (&identity.key_pem, &identity.key_id, &identity.team_id);
    let body = json!({"key": key, "key_id": key_id, "team_id": team_id, "topic": identity.topic}).to_string();
    let began = Instant::now();
    let callers: Vec<_> =
        (0..4).map(|first| tokio::spawn(provision_and_send(node, body.clone(), (first..apps).step_by(4)))).collect();
    for caller in callers {
        caller.await.expect("a caller without a fault");
    }
    let sent = began.elapsed();

    let mut client = daemon.client().await;
    let mut idle = Vec::new();
    for _ in 0..half - 4 {
        idle.push(TcpStream::connect(node).await.expect("a place"));
    }
    let metrics = client.text("/metrics").await;
    let figure = |name| sum(&metrics, name) as usize;
    assert_eq!(figure("apple_descriptors"), half);
    assert!(figure("apple_descriptors_used") >= half - 1, "{metrics}");
    assert!(figure("apple_descriptors_reclaimed_total") >= apps - half, "{metrics}");
    let began = Instant::now();
    for number in 0..50 {
        assert_eq!(client.get("/healthz").await.status, 200);
        send(&mut client, number).await;
    }
    assert!(Client::connect(node).await.get("/healthz").await.status == 200, "a new caller has a place, too");
    let metrics = client.text("/metrics").await;
    let open = metrics.lines().find_map(|line| line.strip_prefix("process_open_fds ")).expect("it is counted");
    println!(
        "{apps} apps under a hard limit of {limit}: provisioned and sent to in {sent:.1?}; then 50 sends and as many \
         /healthz in {:.1?} with {} callers idle and {open} descriptors open",
        began.elapsed(),
        idle.len(),
    );
    assert!(open.parse::<usize>().expect("a number") <= limit, "{open}");
    let log = std::fs::read_to_string(log).expect("a log");
    let told = format!("limits.connections is lowered from 10000 to {half}: the process may have {limit} files open");
    assert!(log.contains(&told), "{log}");
    assert!(!log.contains("cannot connect") && !log.contains("connections cannot be accepted"), "{log}");
    daemon.kill();
    world.stop().await;
}

/// The stand-in's ends of all connections to it are in the same process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_an_embedded_simulator_has_descriptors_for_both_ends() {
    const LIMIT: usize = 160;
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={LIMIT}")).arg(env!("CARGO_BIN_EXE_pyapns"));
    command.args(["serve", "--simulator", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
    let log = folder.path().join("log");
    command.env("PYAPNS_LOG_LEVEL", "warn").stderr(std::fs::File::create(&log).expect("a log"));
    let daemon = Daemon::run(command).await;
    let mut idle = Vec::new();
    for _ in 0..(LIMIT - 64) / 2 - 4 {
        idle.push(TcpStream::connect(daemon.address).await.expect("a place"));
    }
    let pem = std::fs::read_to_string(data.join("simulator/client.pem")).expect("a credential");
    provision_and_send(daemon.address, pem, 0..60).await;
    let metrics = daemon.client().await.text("/metrics").await;
    assert_eq!(sum(&metrics, "apple_descriptors"), 24.0);
    assert!(sum(&metrics, "apple_descriptors_used") <= 24.0, "{metrics}");
    let log = std::fs::read_to_string(log).expect("a log");
    assert!(!log.contains("cannot connect") && !log.contains("connections cannot be accepted"), "{log}");
    daemon.kill();
}
