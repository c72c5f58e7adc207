//! The store that the nodes of a cluster share: one Redis server, alone or behind Sentinel.

mod address;
mod apps;
mod calls;
mod dial;
mod error;
mod events;
mod feedback;
mod keys;
mod link;
mod log;
mod members;
mod pins;
mod record;
mod reply;
mod scripts;
mod sentinel;
mod settings;
pub mod start;
mod tls;
mod transfer;

pub use address::{BadRedisUrl, RedisUrl};
pub use calls::CallName;
pub use error::Unfit;
pub use link::Link;
pub use members::{RedisMembers, Stored};
pub use scripts::COMMANDS;
pub use settings::{Password, Settings};

use super::{Epoch, StoreError};
use crate::model::AppKey;
use calls::Calls;
use keys::Keys;
use redis::{Cmd, ScriptInvocation, Value};
use reply::read;
use std::fmt;

/// Bytes of one call of a script, about: so much keeps other callers of the server waiting for half a millisecond.
const CALL_BYTES: usize = 256 * 1024;

/// The store that the nodes of a cluster share. A call that fails with [`StoreError::Away`] may have taken effect; to
/// repeat it is harmless.
pub struct Redis {
    link: Link,
    keys: Keys,
    calls: Calls,
}

impl Redis {
    /// A store over a link, whose keys begin with `prefix`. Nothing is sent yet.
    pub fn new(link: Link, prefix: &str) -> Self {
        Self { link, keys: Keys::new(prefix), calls: Calls::new() }
    }

    /// The members of the cluster, over a connection of their own.
    pub fn members(&self) -> RedisMembers {
        RedisMembers::new(self.link.another(), self.keys.clone())
    }

    /// The sealed constant, by which a node sees that it has the keys of the others' credentials; `None` if no node has
    /// stored one.
    pub async fn check(&self) -> Result<Option<Vec<u8>>, StoreError> {
        read(self.query(redis::cmd("HGET").arg(self.keys.meta()).arg("check")).await?)
    }

    /// Stores the sealed constant if the stored one is `replaced` (`None`: there is none), and returns the one that is
    /// stored then. Of two nodes that do so at once, both get the same answer.
    pub async fn set_check(&self, sealed: &[u8], replaced: Option<&[u8]>) -> Result<Vec<u8>, StoreError> {
        let mut call = scripts::CHECK.prepare_invoke();
        call.key(self.keys.meta()).arg(self.new_epoch()).arg(sealed).arg(replaced);
        read(self.run(&call).await?)
    }

    /// Begins the store's history if it has none, and returns its epoch.
    async fn begin(&self) -> Result<Epoch, StoreError> {
        let mut call = scripts::BEGIN.prepare_invoke();
        call.key(self.keys.meta()).arg(self.new_epoch());
        reply::epoch(&read::<String>(self.run(&call).await?)?)
    }

    /// The epoch for a store that has none yet.
    fn new_epoch(&self) -> i64 {
        Epoch::new().number()
    }

    async fn run(&self, call: &ScriptInvocation<'_>) -> Result<Value, StoreError> {
        self.link.call(call).await
    }

    async fn query(&self, command: &Cmd) -> Result<Value, StoreError> {
        self.link.query(command).await
    }

    fn feedback_keys<'a, 'b>(&self, call: &'b mut ScriptInvocation<'a>, app: &AppKey) -> &'b mut ScriptInvocation<'a> {
        call.key(self.keys.meta()).key(self.keys.feedback(app)).key(self.keys.feedback_positions(app))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Redis")
    }
}

#[cfg(test)]
#[path = "../../tests/support/black_hole.rs"]
pub mod black_hole;
#[cfg(test)]
#[path = "../../tests/support/redis_certificates.rs"]
pub mod redis_certificates;
#[cfg(test)]
#[path = "../../tests/support/redis_server.rs"]
pub mod redis_server;
#[cfg(test)]
#[path = "../../tests/support/redis_watched.rs"]
pub mod redis_watched;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;
