//! The connection to Redis, tried on real servers.

use super::redis_server::RedisServer;
use super::*;

fn settings(url: &str) -> Settings {
    Settings::new(RedisUrl::parse(url).unwrap())
}

#[tokio::test]
async fn a_link_calls_scripts_and_commands_over_tcp_and_a_unix_socket() {
    let server = RedisServer::start();
    for url in [server.url(), format!("redis+unix://{}", server.socket().display())] {
        let link = Link::new(&settings(&url)).unwrap();
        let script = redis::Script::new("return redis.call('INCR', KEYS[1])");
        let first: i64 = link.call(&script.key("n")).await.unwrap();
        let _: () = link.query(redis::cmd("SCRIPT").arg("FLUSH")).await.unwrap();
        let second: i64 = link.call(&script.key("n")).await.unwrap();
        assert_eq!(second, first + 1, "a script that Redis forgot is loaded again");
    }
}
