//! The scripts: every change in Redis is one call of one of them, and takes effect whole or not at all.

use redis::Script;
use std::sync::LazyLock;

/// The commands that a user of Redis must be allowed for this store: those of the scripts, and those outside of them. The
/// checks at start need more.
pub const COMMANDS: &[&str] = &[
    "del",
    "evalsha",
    "get",
    "hdel",
    "hexists",
    "hget",
    "hgetall",
    "hkeys",
    "hlen",
    "hmget",
    "hrandfield",
    "hscan",
    "hset",
    "hsetnx",
    "pexpire",
    "script|load",
    "set",
    "time",
    "unlink",
    "xadd",
    "xlen",
    "xrange",
    "xtrim",
    "zadd",
    "zcard",
    "zrangebyscore",
    "zrem",
    "zremrangebyscore",
    "zscore",
];

const SHARED: &str = include_str!("scripts/shared.lua");
const OF_APPS: &str = include_str!("scripts/apps.shared.lua");
const OF_FEEDBACK: &str = include_str!("scripts/feedback.shared.lua");

/// Puts the functions that a script uses after its first line, which must stay the first.
fn script(text: &str, functions: &[&str]) -> Script {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    Script::new(&[&[first], functions, &[rest]].concat().join("\n"))
}

macro_rules! scripts {
    ($($name:ident = $file:literal with $functions:expr;)*) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| script(include_str!(concat!("scripts/", $file, ".lua")), &$functions));)*

        #[cfg(test)]
        pub(super) fn all() -> Vec<(&'static str, &'static Script)> {
            vec![$(($file, &*$name)),*]
        }
    };
}

scripts! {
    BEGIN = "begin" with [SHARED];
    TRY_WRITING = "try_writing" with [SHARED];
    CHECK = "check" with [SHARED];
    PUT = "put" with [SHARED, OF_APPS];
    PUT_ALL = "put_all" with [SHARED, OF_APPS];
    DELETE = "delete" with [SHARED, OF_APPS];
    DELETE_ENTRY = "delete_entry" with [SHARED, OF_APPS];
    FILE_ENTRY = "file_entry" with [SHARED, OF_APPS];
    CHANGES = "changes" with [SHARED];
    RECORD = "record" with [SHARED, OF_FEEDBACK];
    COUNTS = "counts" with [];
    FEEDBACK_PAGE = "feedback_page" with [SHARED];
    FEEDBACK_ACKNOWLEDGE = "feedback_acknowledge" with [SHARED];
    LOG_PAGE = "log_page" with [SHARED];
    LOG_ACKNOWLEDGE = "log_acknowledge" with [SHARED];
    QUARANTINE = "quarantine" with [SHARED, OF_FEEDBACK];
    RELEASE = "release" with [SHARED, OF_FEEDBACK];
    DROP = "drop" with [SHARED, OF_FEEDBACK];
    BEAT = "beat" with [SHARED];
    LEAVE = "leave" with [SHARED];
    PIN = "pin" with [SHARED];
    UNPIN = "unpin" with [SHARED];
    SUCCEED = "succeed" with [SHARED];
}
