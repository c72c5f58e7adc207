//! The provisioned apps.

use super::keys::{app_of, name_of};
use super::reply::{epoch, number, odd, read};
use super::scripts::{CHANGES, DELETE, DELETE_ENTRY, FILE_ENTRY, PUT, PUT_ALL, SUCCEED};
use super::{CALL_BYTES, Redis, record, reply};
use crate::model::AppKey;
use crate::store::{AppRecord, Apps, Changes, EntryRecord, Epoch, Expect, Pending, REMOVED_MAX, Revision, StoreError};
use redis::ScriptInvocation;
use std::collections::HashSet;

/// Records that one call reads: a record has about eight kilobytes.
const STEP: usize = 32;

/// An app's name, the revision of its newest change, and its record if it was not removed.
type Change = (String, String, Option<Vec<u8>>);

/// Epoch, the epochs that it takes the place of, newest revision, that of the newest forgotten removal, whether more
/// follow, and the changes.
type Answer = (String, String, String, String, bool, Vec<Change>);

/// The number of epochs that a store remembers to have taken the place of.
const SUCCEEDED_MAX: usize = 16;

/// A condition as the scripts read it.
fn condition(expect: Expect) -> String {
    match expect {
        Expect::Any => "any".to_owned(),
        Expect::Absent => "absent".to_owned(),
        Expect::Is(revision) => revision.to_string(),
    }
}

fn app(name: &str) -> Result<AppKey, StoreError> {
    app_of(name).ok_or_else(|| odd("the name of an app"))
}

/// Reads whether a change was made, and the revision: the change's own, or the one that is stored instead.
fn outcome(reply: &[Option<String>]) -> Result<Option<Revision>, StoreError> {
    let revision = |text: &String| number(text).map(Revision::stored);
    match reply {
        [] => Ok(None),
        [Some(done), rest @ ..] if done == "0" => {
            let revision = rest.first().and_then(Option::as_ref).map(revision).transpose()?;
            Err(StoreError::Conflict { revision })
        }
        [_, Some(made)] => revision(made).map(Some),
        _ => Err(odd("the answer to a change")),
    }
}

impl Apps for Redis {
    fn put(&self, app: AppRecord, expect: Expect) -> Pending<'_, Revision> {
        Box::pin(async move {
            let mut call = PUT.prepare_invoke();
            self.app_keys(&mut call).arg(self.new_epoch()).arg(name_of(&app.key)).arg(condition(expect));
            call.arg(record::content(&app)?.as_slice());
            outcome(&read::<Vec<Option<String>>>(self.run(&call).await?)?)?.ok_or_else(|| odd("the answer to a change"))
        })
    }

    /// Apps with no more than `CALL_BYTES` together are one operation. Of more, those before a failed call stay
    /// sealed again.
    fn put_all(&self, apps: Vec<AppRecord>) -> Pending<'_, u64> {
        Box::pin(async move {
            let mut kept = 0;
            let mut rest = apps.into_iter().peekable();
            while rest.peek().is_some() {
                let mut call = PUT_ALL.prepare_invoke();
                self.app_keys(&mut call).arg(self.new_epoch());
                let mut bytes = 0;
                while bytes < CALL_BYTES
                    && let Some(app) = rest.next()
                {
                    let content = record::content(&app)?;
                    bytes += content.len();
                    call.arg(name_of(&app.key)).arg(app.revision.number()).arg(content.as_slice());
                }
                kept += read::<u64>(self.run(&call).await?)?;
            }
            Ok(kept)
        })
    }

    fn get(&self, key: AppKey) -> Pending<'_, Option<AppRecord>> {
        Box::pin(async move {
            let mut get = redis::cmd("HGET");
            let found: Option<Vec<u8>> = read(self.query(get.arg(self.keys.apps()).arg(name_of(&key))).await?)?;
            found.map(|stored| record::parse(key, &stored)).transpose()
        })
    }

    fn delete(&self, key: AppKey, expect: Expect) -> Pending<'_, Option<Revision>> {
        Box::pin(async move {
            let mut call = DELETE.prepare_invoke();
            call.key(self.keys.meta()).key(self.keys.apps()).key(self.keys.changed()).key(self.keys.holds());
            call.key(self.keys.removed()).key(self.keys.pins()).key(&self.keys.events(&key)[..]);
            call.arg(self.new_epoch()).arg(name_of(&key)).arg(condition(expect)).arg(REMOVED_MAX);
            outcome(&read::<Vec<Option<String>>>(self.run(&call).await?)?)
        })
    }

    /// Apps that are made or removed between two of its calls may be missing.
    fn list(&self, after: Option<AppKey>, limit: usize) -> Pending<'_, Vec<AppRecord>> {
        Box::pin(async move {
            let names: Vec<String> = read(self.query(redis::cmd("HKEYS").arg(self.keys.apps())).await?)?;
            let mut keys = names.iter().map(|name| app(name)).collect::<Result<Vec<_>, _>>()?;
            keys.retain(|key| after.as_ref().is_none_or(|after| key > after));
            keys.sort();
            keys.truncate(limit);
            self.records(keys).await
        })
    }

    fn changes(&self, since: Revision, limit: usize) -> Pending<'_, Changes> {
        Box::pin(async move {
            let (mut changed, mut removed) = (Vec::<AppRecord>::new(), Vec::new());
            let mut seen = HashSet::new();
            let mut reached = since.number();
            loop {
                let step = STEP.min(limit - changed.len() - removed.len());
                let mut call = CHANGES.prepare_invoke();
                call.key(self.keys.meta()).key(self.keys.apps()).key(self.keys.changed());
                call.arg(reached).arg(step).arg(CALL_BYTES);
                let (now, replaced, newest, forgotten, more, found): Answer = read(self.run(&call).await?)?;
                for (name, revision, stored) in found {
                    reached = number(&revision)?;
                    let key = app(&name)?;
                    if !seen.insert(key.clone()) {
                        // It changed again between two calls.
                        changed.retain(|app| app.key != key);
                        removed.retain(|removed| *removed != key);
                    }
                    match (key, stored) {
                        (key, Some(stored)) => changed.push(record::parse(key, &stored)?),
                        (key, None) => removed.push(key),
                    }
                }
                if !more || changed.len() + removed.len() >= limit {
                    let revision = Revision::stored(if more { reached } else { number(&newest)? });
                    let epoch = if now == "0" { self.begin().await? } else { epoch(&now)? };
                    let forgotten = Revision::stored(number(&forgotten)?);
                    let succeeds = replaced.split_whitespace().map(reply::epoch).collect::<Result<_, _>>()?;
                    return Ok(Changes { revision, epoch, succeeds, changed, removed, forgotten });
                }
            }
        })
    }

    fn entries(&self) -> Pending<'_, Vec<EntryRecord>> {
        Box::pin(async move {
            let stored = self.fingerprints().await?;
            let keys = stored.iter().map(|(key, _)| key.clone()).collect();
            let made = self.records(keys).await?.into_iter().filter(|app| app.entry.is_some());
            let made: HashSet<AppKey> = made.map(|app| app.key).collect();
            let entry = |(key, fingerprint): (AppKey, String)| {
                let app_is_its_own = made.contains(&key);
                EntryRecord { key, fingerprint, app_is_its_own }
            };
            let mut entries: Vec<_> = stored.into_iter().map(entry).collect();
            entries.sort_by(|one, other| one.key.cmp(&other.key));
            Ok(entries)
        })
    }

    fn file_entry(&self, key: AppKey, fingerprint: String) -> Pending<'_, ()> {
        Box::pin(async move {
            let mut call = FILE_ENTRY.prepare_invoke();
            call.key(self.keys.meta()).key(self.keys.apps()).key(self.keys.entries());
            call.arg(self.new_epoch()).arg(name_of(&key)).arg(fingerprint);
            self.run(&call).await.map(drop)
        })
    }

    fn delete_entry(&self, key: AppKey) -> Pending<'_, bool> {
        Box::pin(async move {
            let mut call = DELETE_ENTRY.prepare_invoke();
            call.key(self.keys.meta()).key(self.keys.apps()).key(self.keys.changed()).key(self.keys.holds());
            call.key(self.keys.removed())
                .key(self.keys.pins())
                .key(self.keys.entries())
                .key(&self.keys.events(&key)[..]);
            call.arg(self.new_epoch()).arg(name_of(&key)).arg(REMOVED_MAX);
            read(self.run(&call).await?)
        })
    }
}

impl Redis {
    /// Declares that the history `present` of this store takes the place of `replaced`, and returns the store's epoch
    /// then. If both are the same, the store begins a new epoch. If the store has another epoch than `present`, nothing is
    /// changed.
    pub async fn succeed(&self, present: Epoch, replaced: Epoch) -> Result<Epoch, StoreError> {
        let mut call = SUCCEED.prepare_invoke();
        call.key(self.keys.meta()).arg(self.new_epoch()).arg(present.number()).arg(replaced.number());
        call.arg(SUCCEEDED_MAX);
        epoch(&read::<String>(self.run(&call).await?)?)
    }

    /// The fingerprints of all entries, by app.
    pub async fn fingerprints(&self) -> Result<Vec<(AppKey, String)>, StoreError> {
        let stored: Vec<(String, String)> = read(self.query(redis::cmd("HGETALL").arg(self.keys.entries())).await?)?;
        stored.into_iter().map(|(name, fingerprint)| Ok((app(&name)?, fingerprint))).collect()
    }

    fn app_keys<'a, 'b>(&self, call: &'b mut ScriptInvocation<'a>) -> &'b mut ScriptInvocation<'a> {
        call.key(self.keys.meta())
            .key(self.keys.apps())
            .key(self.keys.entries())
            .key(self.keys.changed())
            .key(self.keys.removed())
    }

    /// The records of those of the apps that are there.
    async fn records(&self, keys: Vec<AppKey>) -> Result<Vec<AppRecord>, StoreError> {
        let mut records = Vec::new();
        for keys in keys.chunks(STEP) {
            let mut get = redis::cmd("HMGET");
            get.arg(self.keys.apps());
            get.arg(keys.iter().map(name_of).collect::<Vec<_>>());
            let found: Vec<Option<Vec<u8>>> = read(self.query(&get).await?)?;
            for (key, stored) in keys.iter().zip(found) {
                records.extend(stored.map(|stored| record::parse(key.clone(), &stored)).transpose()?);
            }
        }
        Ok(records)
    }
}
