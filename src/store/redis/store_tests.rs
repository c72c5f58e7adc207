//! The store on a real redis-server.

mod access;
mod faults;
mod large;
mod members;
mod repeats;
mod secrets;
mod several_nodes;

use super::redis_server::RedisServer;
use super::{Link, Redis, RedisUrl, Settings};
use crate::store::Epoch;
use crate::store::contract::UnderTest;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A prefix that no other test has.
fn fresh_prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test{}:", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn settings(server: &RedisServer) -> Settings {
    Settings::new(RedisUrl::parse(&server.url()).unwrap())
}

fn store(server: &RedisServer, prefix: &str) -> Redis {
    Redis::new(Link::new(&settings(server)).unwrap(), prefix)
}

thread_local! {
    /// One for each test: they have threads of their own.
    static SERVER: RedisServer = RedisServer::start();
}

impl UnderTest {
    fn redis() -> Self {
        Self::kept_with(Arc::new(SERVER.with(|server| store(server, &fresh_prefix()))), ())
    }
}

mod contract {
    crate::store::contract::kept_by!(crate::store::contract::UnderTest::redis());
}

#[test]
fn no_epoch_is_the_one_of_an_empty_store() {
    assert!((0..100).all(|_| Epoch::new() != Epoch::FIRST));
}
