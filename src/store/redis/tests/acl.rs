//! The user that docs/redis.md describes.

use super::*;

const PAGE: &str = include_str!("../../../../docs/redis.md");

/// The line of the page, with this password.
fn documented_user(password: &str) -> String {
    let line = PAGE.lines().find(|line| line.starts_with("user pyapns on ")).expect("the page has the line");
    line.replace(">PASSWORD", &format!(">{password}"))
}

fn as_user(server: &RedisServer, password: &str) -> Settings {
    let mut settings = settings(&server.url());
    settings.username = Some("pyapns".to_owned());
    settings.password = Some(password.to_owned().into());
    settings
}

#[tokio::test]
async fn the_documented_user_passes_every_check_with_the_default_user_off() {
    let lines = ["user default off".to_owned(), documented_user("pw"), "appendonly yes".to_owned()];
    let server = RedisServer::with(&[&lines[..], &["appendfsync always".to_owned()]].concat());
    assert_eq!(check(&as_user(&server, "pw")).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn the_documented_user_can_do_nothing_else() {
    let server = RedisServer::with(&["user default off".to_owned(), documented_user("pw")]);
    let link = link(&as_user(&server, "pw"));
    let forbidden = [&["FLUSHALL"][..], &["KEYS", "*"], &["CONFIG", "SET", "maxmemory", "1"], &["SCRIPT", "FLUSH"]];
    for command in forbidden.iter().chain(&[&["GET", "other:key"][..], &["ACL", "LIST"], &["SHUTDOWN"]]) {
        let mut cmd = redis::cmd(command[0]);
        cmd.arg(&command[1..]);
        let error = link.query::<redis::Value>(&cmd).await.unwrap_err();
        assert!(error.to_string().contains("NOPERM") && error.to_string().contains("docs/redis.md"), "{error}");
    }
    assert!(link.address().await.is_some());
}

#[tokio::test]
async fn a_user_that_may_not_read_the_configuration_is_taken_with_a_notice() {
    let narrow = documented_user("pw").replace(" +config|get", "");
    let server = RedisServer::with(&["appendonly yes".to_owned(), narrow]);
    let notices = check(&as_user(&server, "pw")).await.unwrap();
    assert!(notices.len() == 1 && notices[0].contains("+config|get"), "{notices:?}");
}

#[tokio::test]
async fn a_user_that_may_not_run_scripts_or_reach_the_keys_is_refused() {
    for (from, to) in [(" +evalsha", ""), ("~pyapns:*", "~other:*"), (" +info", "")] {
        let server = RedisServer::with(&[documented_user("pw").replace(from, to)]);
        let error = check(&as_user(&server, "pw")).await.unwrap_err();
        assert_eq!(error.reason(), "store_unfit", "{error}");
        assert!(error.to_string().contains("docs/redis.md"), "{error}");
    }
}

#[test]
fn the_documented_user_has_the_commands_of_the_store_and_of_its_checks_and_no_others() {
    let user = documented_user("pw");
    let allowed: Vec<_> = user.split(' ').filter_map(|word| word.strip_prefix('+')).collect();
    let mut needed = [COMMANDS, start::COMMANDS].concat();
    needed.sort_unstable();
    needed.dedup();
    assert_eq!(allowed, needed);
}
