//! The checks of a Redis server before it is used as the shared store.

use super::Link;
use crate::clock::Clock;
use crate::store::StoreError;

/// Refuses a server that cannot be the shared store, with the setting to change. Returns sentences for the operator
/// about what works, but not as well as it could.
pub async fn check(link: &Link, _clock: &Clock) -> Result<Vec<String>, StoreError> {
    link.query::<()>(&redis::cmd("PING")).await?;
    Ok(Vec::new())
}
