//! The copy of a whole store into another one of any kind, as `pyapns store copy` makes it.

use super::members::Pin;
use super::{AppRecord, Counts, Cursor, Expect, Pending, Revision, Store, StoreError};
use crate::model::{AppKey, Feedback, Quarantine, Records};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Apps or entries that are read and written at a time.
const PAGE: usize = 500;

/// The operations of a store that only a copy needs.
pub trait Transfer: Store {
    /// Returns true if there is nothing in it to lose: no app, no entry of the configuration, no event, no
    /// decision of an operator.
    fn is_empty(&self) -> Pending<'_, bool>;

    /// A part of the feedback that is held back of an app, in any order, and the place to go on from; an entry may come
    /// twice. Begins with `None`, and ends with `None`.
    fn held(&self, app: AppKey, from: Option<String>) -> Pending<'_, (Vec<Feedback>, Option<String>)>;

    /// Keeps the fingerprints of entries of the configuration, whether their apps are here or not.
    fn put_entries(&self, entries: Vec<(AppKey, String)>) -> Pending<'_, ()>;

    /// The decisions of operators about owners. Only a shared store has any.
    fn decisions(&self) -> Pending<'_, Vec<Pin>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Stores these decisions in place of all others. Returns their number; 0 if this kind of store keeps none.
    fn put_decisions(&self, _: Vec<Pin>) -> Pending<'_, u64> {
        Box::pin(async { Ok(0) })
    }

    /// The name of the source from which an unfinished copy into this store was made.
    fn unfinished_copy(&self) -> Pending<'_, Option<String>>;

    /// Notes that this store is the unfinished copy of a source; with `None`, that it is whole. No node starts with an
    /// unfinished one.
    fn mark_copy(&self, source: Option<String>) -> Pending<'_, ()>;
}

/// Opens the credential of an app in the source, and seals it for the target; or says why it cannot be opened.
pub type Reseal<'a> = dyn Fn(&AppRecord) -> Result<Zeroizing<Vec<u8>>, String> + Sync + 'a;

/// A reason that a copy was not made, or not finished.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("these credentials cannot be opened, so nothing was copied:\n{}", lines(.0))]
    Unopened(Vec<(AppKey, String)>),
    #[error("the target holds apps, events, pins or cordons already, and a copy adds to nothing: choose an empty one")]
    TargetInUse,
    #[error(
        "the target is the unfinished copy of another source, {from}: finish that copy by the same command, or choose an empty target"
    )]
    OtherCopy { from: String },
    #[error("the source was changed while it was copied: stop every node that uses it, and run the same command again")]
    SourceChanged,
    #[error("the copy is not like the source ({what}): run the same command again")]
    Differs { what: String },
}

fn lines(faults: &[(AppKey, String)]) -> String {
    faults.iter().map(|(app, why)| format!("{app}: {why}")).collect::<Vec<_>>().join("\n")
}

/// The contents of a store that was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    pub apps: u64,
    /// Entries of the configuration.
    pub entries: u64,
    pub feedback: u64,
    pub held: u64,
    pub disconnections: u64,
    /// Pins and cordons.
    pub decisions: u64,
}

impl fmt::Display for Copied {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { apps, entries, feedback, held, disconnections, decisions } = self;
        write!(
            out,
            "apps {apps}, entries of configurations {entries}, feedback {feedback}, held feedback {held}, disconnections {disconnections}, pins and cordons {decisions}"
        )
    }
}

/// Copies everything in `source` into `target`, which must be empty or the unfinished copy of the same source. `name` is
/// the source's for that. Events keep their order and their timestamps, and take new positions: cursors of the source
/// are refused by the target.
pub async fn copy(
    source: &dyn Transfer,
    target: &dyn Transfer,
    name: &str,
    reseal: &Reseal<'_>,
) -> Result<Copied, CopyError> {
    let revision = open_all(source, reseal).await?;
    match target.unfinished_copy().await? {
        Some(from) if from == name => clear(target).await?,
        Some(from) => return Err(CopyError::OtherCopy { from }),
        None if !target.is_empty().await? => return Err(CopyError::TargetInUse),
        None => {}
    }
    target.mark_copy(Some(name.to_owned())).await?;
    let quarantines: HashMap<_, _> = source.quarantines().await?.into_iter().collect();
    let (mut copied, mut since) = (Copied::default(), Revision::NONE);
    loop {
        let changes = source.changes(since, PAGE).await?;
        let is_last = changes.len() < PAGE;
        since = changes.revision;
        for app in changes.changed {
            let key = app.key.clone();
            let credential = reseal(&app).map_err(|why| CopyError::Unopened(vec![(key.clone(), why)]))?;
            target.put(AppRecord { credential, ..app }, Expect::Any).await?;
            let counts = copy_events(source, target, &key, quarantines.get(&key)).await?;
            copied.add(counts);
        }
        if is_last {
            break;
        }
    }
    copied.entries = copy_entries(source, target).await?;
    copied.decisions = target.put_decisions(source.decisions().await?).await?;
    verify(source, target, revision, copied).await?;
    target.mark_copy(None).await?;
    Ok(copied)
}

impl Copied {
    fn add(&mut self, counts: Counts) {
        self.apps += 1;
        self.feedback += counts.feedback;
        self.held += counts.held;
        self.disconnections += counts.disconnections;
    }
}

/// Tries every credential before anything is written. Returns the revision of the source.
async fn open_all(source: &dyn Transfer, reseal: &Reseal<'_>) -> Result<Revision, CopyError> {
    let (mut since, mut faults) = (Revision::NONE, Vec::new());
    loop {
        let changes = source.changes(since, PAGE).await?;
        since = changes.revision;
        faults.extend(changes.changed.iter().filter_map(|app| Some((app.key.clone(), reseal(app).err()?))));
        if changes.len() < PAGE {
            return if faults.is_empty() { Ok(since) } else { Err(CopyError::Unopened(faults)) };
        }
    }
}

/// Removes what an unfinished copy has left.
async fn clear(target: &dyn Transfer) -> Result<(), StoreError> {
    loop {
        let apps = target.list(None, PAGE).await?;
        if apps.is_empty() {
            break;
        }
        for app in apps {
            target.delete(app.key, Expect::Any).await?;
        }
    }
    for entry in target.entries().await? {
        target.delete_entry(entry.key).await?;
    }
    Ok(())
}

/// Copies the events of an app, oldest first. What is held back is recorded last, since only a quarantine holds it back.
async fn copy_events(
    source: &dyn Transfer,
    target: &dyn Transfer,
    app: &AppKey,
    quarantine: Option<&Quarantine>,
) -> Result<Counts, CopyError> {
    let mut after = Cursor::START;
    loop {
        let page = source.feedback(app.clone(), after, PAGE).await?;
        if page.entries.is_empty() {
            break;
        }
        after = page.cursor;
        record(target, Records { feedback: page.entries, disconnections: Vec::new() }).await?;
    }
    let mut after = Cursor::START;
    loop {
        let page = source.disconnections(app.clone(), after, PAGE).await?;
        if page.entries.is_empty() {
            break;
        }
        after = page.cursor;
        record(target, Records { feedback: Vec::new(), disconnections: page.entries }).await?;
    }
    if let Some(quarantine) = quarantine {
        target.quarantine(app.clone(), quarantine.clone()).await?;
        let mut from = None;
        loop {
            let (feedback, next) = source.held(app.clone(), from).await?;
            record(target, Records { feedback, disconnections: Vec::new() }).await?;
            from = next;
            if from.is_none() {
                break;
            }
        }
    }
    let (there, here) = (source.counts(app.clone()).await?, target.counts(app.clone()).await?);
    if there == here { Ok(here) } else { Err(CopyError::Differs { what: format!("the events of {app}") }) }
}

async fn record(target: &dyn Transfer, records: Records) -> Result<(), StoreError> {
    if records.is_empty() { Ok(()) } else { target.record(Arc::new(records)).await.map(drop) }
}

async fn copy_entries(source: &dyn Transfer, target: &dyn Transfer) -> Result<u64, StoreError> {
    let entries: Vec<_> = source.entries().await?.into_iter().map(|entry| (entry.key, entry.fingerprint)).collect();
    for page in entries.chunks(PAGE) {
        target.put_entries(page.to_vec()).await?;
    }
    Ok(entries.len() as u64)
}

async fn verify(
    source: &dyn Transfer,
    target: &dyn Transfer,
    revision: Revision,
    copied: Copied,
) -> Result<(), CopyError> {
    let sorted = |mut entries: Vec<super::EntryRecord>| {
        entries.sort_by(|one, other| one.key.cmp(&other.key));
        entries
    };
    if !source.changes(revision, 1).await?.is_empty() {
        return Err(CopyError::SourceChanged);
    }
    if sorted(source.entries().await?) != sorted(target.entries().await?) {
        return Err(CopyError::Differs { what: "entries of the configuration".to_owned() });
    }
    let decisions = target.decisions().await?.len() as u64;
    if decisions != copied.decisions {
        return Err(CopyError::Differs { what: "pins and cordons".to_owned() });
    }
    let apps = count_apps(target).await?;
    if apps == copied.apps {
        Ok(())
    } else {
        Err(CopyError::Differs { what: format!("{apps} apps of {}", copied.apps) })
    }
}

async fn count_apps(store: &dyn Transfer) -> Result<u64, StoreError> {
    let (mut count, mut since) = (0, Revision::NONE);
    loop {
        let changes = store.changes(since, PAGE).await?;
        count += changes.changed.len() as u64;
        since = changes.revision;
        if changes.len() < PAGE {
            return Ok(count);
        }
    }
}

#[cfg(test)]
mod tests;
