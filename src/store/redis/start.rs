//! The checks of a Redis server before it is used as the shared store.

use super::{Link, Redis, Unfit};
use crate::clock::Clock;
use crate::store::StoreError;
use crate::store::members::CLOCKS_APART_MAX;
use redis::{Script, cmd};
use std::collections::HashMap;

/// Commands of these checks, for the user's ACL, beside those of the scripts. `config|get` may be missing.
pub const COMMANDS: &[&str] = &["config|get", "evalsha", "hlen", "info", "ping", "script|load", "select", "time"];
/// `#!lua` with flags came with it.
const VERSION_MIN: u32 = 7;

impl Redis {
    /// Refuses a server that cannot be the shared store, as [`check`] does.
    pub async fn check_server(&self, clock: &Clock) -> Result<Vec<String>, StoreError> {
        check(&self.link, self.keys.prefix(), clock).await
    }

    /// The node's clock less the server's, in seconds.
    pub async fn clock_offset(&self, clock: &Clock) -> Result<f64, StoreError> {
        clock_offset(&self.link, clock).await
    }
}

/// Refuses a server that cannot be the shared store, with the setting to change. Returns sentences for the operator
/// about what works, but loses data or cannot be checked. `prefix` is `store.prefix`.
pub async fn check(link: &Link, prefix: &str, clock: &Clock) -> Result<Vec<String>, StoreError> {
    let mut notices = check_settings(link, prefix).await?;
    if let Some(notice) = clocks(link, clock).await? {
        notices.push(format!("Redis at {}: {notice}", link.address().await.unwrap_or_default()));
    }
    Ok(notices)
}

/// The same, without a look at the clock.
pub async fn check_settings(link: &Link, prefix: &str) -> Result<Vec<String>, StoreError> {
    let info: String = link.query(&cmd("INFO")).await?;
    let address = link.address().await.unwrap_or_default();
    let facts = Facts::of(&info);
    facts.refuse(&address)?;
    try_script(link, prefix).await?;
    let mut notices = facts.notices();
    notices.extend(appendfsync(link, &facts).await?);
    Ok(notices.into_iter().map(|notice| format!("Redis at {address}: {notice}")).collect())
}

/// The lines `name:value` of an answer to INFO.
struct Facts<'a>(HashMap<&'a str, &'a str>);

impl<'a> Facts<'a> {
    fn of(info: &'a str) -> Self {
        Self(info.lines().filter_map(|line| line.trim_end().split_once(':')).collect())
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }

    fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }

    fn refuse(&self, address: &str) -> Result<(), Unfit> {
        let address = address.to_owned();
        let version = self.get("redis_version").unwrap_or("unknown");
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < VERSION_MIN) {
            return Err(Unfit::TooOld { address, version: version.chars().take(40).collect() });
        }
        if self.is_on("cluster_enabled") {
            return Err(Unfit::Cluster { address });
        }
        if self.get("role").is_some_and(|role| role != "master") {
            return Err(Unfit::Replica { address });
        }
        match self.get("maxmemory_policy") {
            Some(policy) if policy != "noeviction" => {
                Err(Unfit::Evicting { address, policy: policy.chars().take(40).collect() })
            }
            _ => Ok(()),
        }
    }

    fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        if self.get("maxmemory_policy").is_none() {
            notices.push("it does not say its maxmemory-policy; see that it is `noeviction`".to_owned());
        }
        if !self.is_on("aof_enabled") {
            notices.push(
                "it has no append-only file, so a restart loses changes: set `appendonly yes` in its redis.conf"
                    .to_owned(),
            );
        }
        notices
    }
}

/// Runs a script on a key of this store, so that an ACL that forbids it, or a foreign key, is found now.
async fn try_script(link: &Link, prefix: &str) -> Result<(), StoreError> {
    let script = Script::new("#!lua flags=no-writes\nreturn redis.call('HLEN', KEYS[1])");
    link.call::<i64>(&script.key(format!("{prefix}meta"))).await.map(drop)
}

async fn appendfsync(link: &Link, facts: &Facts<'_>) -> Result<Option<String>, StoreError> {
    if !facts.is_on("aof_enabled") {
        return Ok(None);
    }
    let answer: Result<Vec<String>, StoreError> = link.query(cmd("CONFIG").arg("GET").arg("appendfsync")).await;
    match answer {
        Ok(pair) if pair.get(1).is_some_and(|value| value == "always") => Ok(None),
        Ok(pair) => {
            let value = pair.get(1).map_or("unknown", String::as_str);
            Ok(Some(format!(
                "`appendfsync {value}` may lose the changes of the last second if its machine fails: set `appendfsync always`"
            )))
        }
        Err(away @ StoreError::Away { .. }) => Err(away),
        Err(_) => Ok(Some(
            "it does not let this user read `appendfsync`: see that it is `always`, or allow the user +config|get"
                .to_owned(),
        )),
    }
}

async fn clock_offset(link: &Link, clock: &Clock) -> Result<f64, StoreError> {
    let (seconds, micros): (u64, u32) = link.query(&cmd("TIME")).await?;
    Ok(clock.unix_time() - (seconds as f64 + f64::from(micros) / 1e6))
}

async fn clocks(link: &Link, clock: &Clock) -> Result<Option<String>, StoreError> {
    let apart = clock_offset(link, clock).await?;
    let side = if apart > 0.0 { "behind" } else { "ahead of" };
    let apart = apart.abs();
    Ok((apart > CLOCKS_APART_MAX.as_secs_f64())
        .then(|| format!("its clock is {apart:.0} s {side} this node's: synchronise both with NTP")))
}
