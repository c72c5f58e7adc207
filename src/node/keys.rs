//! The check that this node has the keys of the credentials in a shared store.

use crate::credentials::{Keyring, Unopened, check};
use crate::health::{Cause, Component, Detail, Health};
use crate::store::StoreError;
use crate::store::redis::Redis;

const MISSING: Cause = Cause {
    reason: "credential_key_missing",
    why: "it lacks the key that credentials in the shared store are sealed with: add its file to credentials.key_files and start the node again; its log names the key",
};

/// Opens the constant that the nodes of the store have sealed, and seals it under this node's first key if it was not.
/// The first node of a store makes it. Returns why it does not open, if so.
pub(super) async fn check(store: &Redis, keyring: &Keyring) -> Result<Option<Unopened>, StoreError> {
    let stored = match store.check().await? {
        Some(stored) => stored,
        // Another node may have been faster.
        None => store.set_check(&check::seal(keyring), None).await?,
    };
    match check::open(keyring, &stored) {
        Ok(true) => Ok(None),
        Ok(false) => store.set_check(&check::seal(keyring), Some(&stored)).await.map(|_| None),
        Err(why) => Ok(Some(why)),
    }
}

/// Keeps traffic away from a node without the keys.
pub(super) fn report(health: &Health, why: &Unopened) {
    let key = match why {
        Unopened::KeyMissing { id } => Some(Detail::Key(id.0)),
        Unopened::Damaged | Unopened::Newer => None,
    };
    health.degrade_with(Component::CredentialKeys, MISSING, key, of_store(why));
}

/// The sentence for the log.
fn of_store(why: &Unopened) -> String {
    match why {
        Unopened::KeyMissing { id } => {
            format!(
                "credentials in the shared store are sealed with the key {id}, which is not in credentials.key_files"
            )
        }
        Unopened::Damaged | Unopened::Newer => {
            "the check of credential keys in the shared store does not open: it is damaged, or something else wrote it"
                .to_owned()
        }
    }
}
