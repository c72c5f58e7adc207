//! Helpers that several specs share.

#[path = "../support/api_description.rs"]
#[expect(dead_code, reason = "the unit tests use the rest")]
pub mod api_description;
pub mod attack;
pub mod background;
pub mod balancer;
pub mod bare_node;
pub mod client;
pub mod connect_proxy;
pub mod daemon;
pub mod false_peer;
pub mod fault_proxy;
pub mod fleet;
pub mod foreign;
pub mod forms;
pub mod hosts;
pub mod lasting_address;
pub mod load;
pub mod namespace;
pub mod pipes;
pub mod process;
pub mod raw;
#[path = "../support/redis_certificates.rs"]
pub mod redis_certificates;
#[path = "../support/redis_server.rs"]
pub mod redis_server;
#[path = "../support/redis_watched.rs"]
pub mod redis_watched;
pub mod release;
pub mod sender;
pub mod shared;
pub mod site;
pub mod small_disk;
pub mod stream;
pub mod tls_server;
pub mod trial;
pub mod world;

/// Returns `true` if the long forms were requested (`tests/run --full`).
pub fn full() -> bool {
    std::env::var_os("PYAPNS_TEST_FULL").is_some()
}
