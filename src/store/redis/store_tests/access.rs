//! The store under a user that may do nothing but what the documentation lists.

use super::super::scripts::{COMMANDS, all};
use super::*;
use crate::store::redis::Password;

const PAGE: &str = include_str!("../../../../docs/redis.md");
const PASSWORD: &str = "limited-password";

/// The line of the page that describes the user.
fn documented_user() -> &'static str {
    PAGE.lines().find(|line| line.starts_with("user pyapns on ")).expect("the page has the line")
}

/// A server whose only user is the documented one.
fn limited_server() -> RedisServer {
    let user = documented_user().replace(">PASSWORD", &format!(">{PASSWORD}"));
    RedisServer::with(&["user default off", &user])
}

/// The store of that user.
fn limited_store(server: &RedisServer) -> Redis {
    let password = Some(Password::from(PASSWORD.to_owned()));
    let settings = Settings { username: Some("pyapns".to_owned()), password, ..settings(server) };
    Redis::new(Link::new(&settings).unwrap(), &format!("pyapns:{}", fresh_prefix()))
}

thread_local! {
    static LIMITED: RedisServer = limited_server();
}

impl UnderTest {
    fn limited_redis() -> Self {
        Self::kept_with(Arc::new(LIMITED.with(limited_store)), ())
    }
}

mod contract {
    crate::store::contract::kept_by!(crate::store::contract::UnderTest::limited_redis());
}

#[test]
fn the_list_of_commands_has_those_of_the_scripts_and_no_more() {
    // Sent outside of scripts: by the store, or to run scripts and to connect.
    let mut used: Vec<String> =
        ["evalsha", "hgetall", "hget", "hkeys", "hmget", "hscan", "script|load", "zscore"].map(str::to_owned).into();
    for (name, script) in all() {
        let text = format!("{script:?}");
        let calls: Vec<_> = text.split("redis.call('").skip(1).collect();
        assert!(!calls.is_empty(), "{name}");
        used.extend(calls.iter().map(|call| call.split('\'').next().unwrap().to_lowercase()));
    }
    used.sort();
    used.dedup();
    let mut listed = COMMANDS.to_vec();
    listed.sort_unstable();
    assert_eq!(listed, used);
    let allowed = |command: &&str| documented_user().split(' ').any(|word| word.strip_prefix('+') == Some(*command));
    assert_eq!(COMMANDS.iter().find(|command| !allowed(command)), None, "docs/redis.md");
}

#[tokio::test]
async fn a_node_of_that_user_can_be_a_member_and_check_the_server() {
    let server = limited_server();
    let store = limited_store(&server);
    super::members::beats_and_leaves(&store).await;
    crate::store::Durability::try_writing(&store).await.unwrap();
    crate::store::Durability::look(&store).await.unwrap();
    super::members::beat(&store, "n1", crate::store::members::Session::new()).await.unwrap();
    assert_eq!(store.live_nodes().await.unwrap(), ["n1"]);
    assert_eq!(store.set_check(b"sealed", None).await.unwrap(), b"sealed");
}
