//! Servers that fail while a link uses them.

use super::black_hole::BlackHole;
use super::*;
use std::net::TcpListener;
use std::sync::Arc;

/// The longest that one call may take: a second to connect and one for the answer, and what a busy machine adds.
const CALL_MAX: Duration = Duration::from_millis(2500);
/// A link works again within this time of its server.
const BACK_WITHIN: Duration = Duration::from_secs(2);

async fn fails(link: &Link) -> StoreError {
    let began = Instant::now();
    let error = write(link).await.expect_err("there is no server");
    assert!(matches!(error, StoreError::Away { .. }), "{error}");
    assert!(began.elapsed() < CALL_MAX, "{:?}", began.elapsed());
    error
}

#[tokio::test]
async fn a_server_that_was_killed_and_started_again_is_used_again() {
    let mut server = RedisServer::start();
    let link = link(&settings(&server.url()));
    write(&link).await.unwrap();
    server.kill();
    for _ in 0..20 {
        fails(&link).await;
    }
    server.restart();
    assert!(written(&link, BACK_WITHIN).await < BACK_WITHIN);
}

#[tokio::test]
async fn a_server_that_was_stopped_is_used_again_within_two_seconds_of_going_on() {
    let server = RedisServer::start();
    let link = link(&settings(&server.url()));
    write(&link).await.unwrap();
    for _ in 0..runs(5) {
        server.pause();
        for _ in 0..5 {
            fails(&link).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        server.resume();
        assert!(written(&link, BACK_WITHIN).await < BACK_WITHIN);
    }
}

/// Needs root, to create a network namespace.
#[tokio::test]
async fn a_server_behind_a_black_hole_is_used_again_within_two_seconds_of_healing() {
    let Some(hole) = BlackHole::new() else {
        println!("skipped: no network namespace can be made without root");
        return;
    };
    let command = hole.exec("redis-server");
    let server = RedisServer::by(&command, &[&format!("bind {}", hole.address), "protected-mode no"]);
    let link = link(&settings(&format!("redis://{}:{}", hole.address, server.port)));
    write(&link).await.unwrap();
    for _ in 0..runs(5) {
        hole.open();
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            fails(&link).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        hole.close();
        assert!(written(&link, BACK_WITHIN).await < BACK_WITHIN);
    }
}

#[tokio::test]
async fn calls_at_the_same_time_share_one_attempt_to_connect_and_then_fail_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = Arc::new(link(&settings(&format!("redis://{}", listener.local_addr().unwrap()))));
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let link = Arc::clone(&link);
            tokio::spawn(async move { fails(&link).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    listener.set_nonblocking(true).unwrap();
    let attempts = std::iter::from_fn(|| listener.accept().ok()).count();
    assert_eq!(attempts, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_redis_closed_is_replaced_before_a_call_is_lost_on_it() {
    let server = RedisServer::start();
    let link = link(&settings(&server.url()));
    write(&link).await.unwrap();
    for expected in 2..20 {
        server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        let began = Instant::now();
        while link.address().await.is_some() {
            assert!(began.elapsed() < BACK_WITHIN, "the end of the connection is not noticed");
            tokio::task::yield_now().await;
        }
        assert_eq!(write(&link).await.unwrap(), expected);
    }
}

/// The number of connections so far, from a line of INFO.
fn received(line: &str) -> Option<u32> {
    line.strip_prefix("total_connections_received:")?.trim().parse().ok()
}

#[tokio::test]
async fn a_server_that_becomes_a_replica_is_left_and_used_again_as_primary() {
    let server = RedisServer::start();
    let link = link(&settings(&server.url()));
    write(&link).await.unwrap();
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let count = || server.cli(&["--raw", "INFO", "stats"]).lines().find_map(received).expect("a count");
    let before = count();
    for _ in 0..1000 {
        assert!(fails(&link).await.to_string().contains("READONLY"));
    }
    assert_eq!(link.address().await, None, "the connection is given up");
    assert!(count() - before < 20, "calls are refused without a new connection each");
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    assert!(written(&link, BACK_WITHIN).await < BACK_WITHIN);
}

#[tokio::test]
async fn a_full_server_refuses_whole_changes_and_keeps_its_connection() {
    let server = RedisServer::with(&["maxmemory 3mb"]);
    let link = link(&settings(&server.url()));
    let filler = "x".repeat(200_000);
    let mut error = None;
    for n in 0..40 {
        let script = redis::Script::new("#!lua\nreturn redis.call('SET', KEYS[1], ARGV[1])");
        let written: Result<(), _> = link.call(script.key(format!("pyapns:{n}")).arg(&filler)).await;
        error = written.err().or(error);
    }
    let error = error.expect("3 MB are full");
    assert!(matches!(error, StoreError::RedisFull), "{error}");
    assert_eq!(error.reason(), "store_full");
    assert!(link.address().await.is_some());
}

#[tokio::test]
async fn a_refusal_of_redis_is_repeated_and_keeps_the_connection() {
    let server = RedisServer::with(&["save 900 1", "stop-writes-on-bgsave-error yes"]);
    let link = link(&settings(&server.url()));
    server.cli(&["SET", "pyapns:n", "a string"]);
    let error = write(&link).await.unwrap_err();
    assert!(matches!(&error, StoreError::RedisRefused { what } if what.contains("WRONGTYPE")), "{error}");
    // A folder in the place of the dump makes each save fail.
    std::fs::create_dir_all(server.folder().join("dump.rdb/full")).unwrap();
    server.cli(&["BGSAVE"]);
    let began = Instant::now();
    while !server.cli(&["INFO", "persistence"]).contains("rdb_last_bgsave_status:err") {
        assert!(began.elapsed() < Duration::from_secs(10), "the save ends");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let error = write(&link).await.unwrap_err();
    assert!(matches!(&error, StoreError::RedisRefused { what } if what.contains("MISCONF")), "{error}");
    assert!(link.address().await.is_some());
}
