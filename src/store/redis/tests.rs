//! The connection to Redis, tried on real servers.

mod acl;
mod failover;
mod faults;
mod refusals;
mod secrets;
mod transport;

use super::redis_certificates::RedisCertificates;
use super::redis_server::RedisServer;
use super::*;
use crate::clock::Clock;
use crate::store::StoreError;
use std::time::{Duration, Instant};

fn settings(url: &str) -> Settings {
    Settings::new(RedisUrl::parse(url).unwrap())
}

fn link(settings: &Settings) -> Link {
    Link::new(settings).unwrap()
}

/// The checks at start, on a link of their own.
async fn check(settings: &Settings) -> Result<Vec<String>, StoreError> {
    start::check(&Link::new(settings)?, &settings.prefix, &Clock::system()).await
}

/// A write: the number of writes so far.
async fn write(link: &Link) -> Result<i64, StoreError> {
    let script = redis::Script::new("#!lua\nreturn redis.call('HINCRBY', KEYS[1], 'n', 1)");
    link.call(&script.key("pyapns:n")).await
}

/// Writes until it works; returns how long that took.
async fn written(link: &Link, within: Duration) -> Duration {
    let began = Instant::now();
    loop {
        match write(link).await {
            Ok(_) => return began.elapsed(),
            Err(error) => assert!(began.elapsed() < within, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Several runs in the long form of the tests, one in the short form.
fn runs(full: usize) -> usize {
    if std::env::var_os("PYAPNS_TEST_FULL").is_some() { full } else { 1 }
}
