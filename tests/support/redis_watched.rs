//! Redis behind Sentinel.

use super::redis_server::RedisServer;
use std::time::Duration;

/// Longer than a replica or a Sentinel takes to know its primary.
const PATIENCE: Duration = Duration::from_secs(10);

/// A primary, its replica, and a Sentinel that puts the replica in the primary's place after a second without answer.
pub struct Watched {
    pub primary: RedisServer,
    pub replica: RedisServer,
    pub sentinel: RedisServer,
}

impl Watched {
    /// `lines` are added to the configuration of all three, the others to that of the servers or of the Sentinel.
    pub fn start(lines: &[String], of_servers: &[&str], of_sentinel: &[&str]) -> Self {
        let with = |more: &[&str]| lines.iter().cloned().chain(more.iter().map(|line| (*line).to_owned())).collect();
        let configured: Vec<String> = with(of_servers);
        let primary = RedisServer::with(&configured);
        let replicaof = format!("replicaof 127.0.0.1 {}", primary.port);
        let configured: Vec<String> = with(&[of_servers, &[&replicaof]].concat());
        let replica = RedisServer::with(&configured);
        assert!(replica.said("Finished with success", PATIENCE), "the replica has the primary's data");
        let monitor = format!("sentinel monitor main 127.0.0.1 {} 1", primary.port);
        let watch = ["sentinel down-after-milliseconds main 1000", "sentinel failover-timeout main 3000"];
        let configured: Vec<String> = with(&[&[monitor.as_str()], &watch[..], of_sentinel].concat());
        let sentinel = RedisServer::sentinel(&configured);
        assert!(sentinel.said("+slave slave", PATIENCE), "the Sentinel knows the replica");
        Self { primary, replica, sentinel }
    }

    /// `SCHEME://127.0.0.1:port/main`.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/main", self.sentinel.port)
    }
}
