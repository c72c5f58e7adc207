//! The store under a user that may do nothing but what the documentation lists.

use super::super::scripts::{COMMANDS, all};
use super::*;
use crate::store::redis::Password;

const PASSWORD: &str = "limited-password";

/// A server whose only user has exactly [`COMMANDS`], on keys with one prefix.
fn limited_server() -> RedisServer {
    let commands: String = COMMANDS.iter().map(|command| format!(" +{command}")).collect();
    let user = format!("user pyapns on >{PASSWORD} resetkeys ~limited:* resetchannels -@all{commands}");
    RedisServer::with(&["user default off", &user])
}

/// The store of that user.
fn limited_store(server: &RedisServer) -> Redis {
    let password = Some(Password::from(PASSWORD.to_owned()));
    let settings = Settings { username: Some("pyapns".to_owned()), password, ..settings(server) };
    Redis::new(Link::new(&settings).unwrap(), "limited:")
}

impl UnderTest {
    fn limited_redis() -> Self {
        let server = limited_server();
        Self::kept_with(Arc::new(limited_store(&server)), server)
    }
}

mod contract {
    crate::store::contract::kept_by!(crate::store::contract::UnderTest::limited_redis());
}

#[test]
fn the_list_of_commands_has_those_of_the_scripts_and_no_more() {
    // Sent outside of scripts: by the store, or to run scripts and to connect.
    let mut used: Vec<String> =
        ["eval", "evalsha", "hgetall", "hget", "hkeys", "hmget", "ping", "script|load"].map(str::to_owned).into();
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
}

#[tokio::test]
async fn a_node_of_that_user_can_be_a_member_and_check_the_server() {
    let server = limited_server();
    let store = limited_store(&server);
    super::members::beats_and_leaves(&store).await;
    crate::store::Durability::try_writing(&store).await.unwrap();
    crate::store::Durability::look(&store).await.unwrap();
    assert_eq!(store.set_check(b"sealed", None).await.unwrap(), b"sealed");
}
