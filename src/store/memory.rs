//! The reference store: the meaning of each operation, in memory. For tests and simulation; its data ends with the
//! process.

mod losses;

use super::{
    AppRecord, Apps, Changes, Counts, Cursor, DISCONNECTIONS_MAX, DisconnectionLog, Durability, EntryRecord, Epoch,
    Events, Expect, FeedbackLog, Kept, Page, Pending, REMOVED_MAX, Revision, StoreError, Transfer, is_doubtful,
};
use crate::model::{AppKey, Disconnection, Feedback, Quarantine, Records, Resolution};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    epoch: Epoch,
    apps: BTreeMap<AppKey, AppRecord>,
    /// The newest change of each app, those that were removed included.
    changes: BTreeMap<Revision, AppKey>,
    newest_change: HashMap<AppKey, Revision>,
    last_revision: Revision,
    /// The newest removal that is no longer among the changes.
    forgotten: Revision,
    entries: BTreeMap<AppKey, String>,
    events: HashMap<AppKey, AppEvents>,
    last_position: i64,
    /// The source of a copy into this store that is not finished.
    unfinished_copy: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct AppEvents {
    /// By position.
    feedback: BTreeMap<i64, Feedback>,
    position_of_token: HashMap<String, i64>,
    quarantine: Option<Quarantine>,
    /// By token.
    held: BTreeMap<String, Feedback>,
    disconnections: BTreeMap<i64, Disconnection>,
}

impl Memory {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds apps and entries to the store.
    pub fn keep(&self, kept: Kept) {
        let mut state = self.state();
        state.entries.extend(kept.entries.into_iter().map(|entry| (entry.key, entry.fingerprint)));
        for app in kept.apps {
            state.write(app);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> Pending<'a, T> {
    Box::pin(std::future::ready(Ok::<T, StoreError>(value)))
}

impl Apps for Memory {
    fn put(&self, app: AppRecord, expect: Expect) -> Pending<'_, Revision> {
        let mut state = self.state();
        let put = match state.apps.get(&app.key) {
            Some(stored) if stored.is_same(&app) => Ok(stored.revision),
            stored => expect.check(stored.map(|stored| stored.revision)).map(|()| state.write(app)),
        };
        Box::pin(std::future::ready(put))
    }

    fn put_all(&self, apps: Vec<AppRecord>) -> Pending<'_, u64> {
        let mut state = self.state();
        let mut kept = 0;
        for app in apps {
            if state.apps.get(&app.key).is_some_and(|stored| stored.revision == app.revision) {
                state.write(app);
                kept += 1;
            }
        }
        ready(kept)
    }

    fn get(&self, key: AppKey) -> Pending<'_, Option<AppRecord>> {
        ready(self.state().apps.get(&key).cloned())
    }

    fn delete(&self, key: AppKey, expect: Expect) -> Pending<'_, Option<Revision>> {
        let mut state = self.state();
        let deleted = match state.apps.get(&key).map(|app| app.revision) {
            None => {
                state.events.remove(&key);
                Ok(None)
            }
            stored => expect.check(stored).map(|()| Some(state.remove(&key))),
        };
        Box::pin(std::future::ready(deleted))
    }

    fn list(&self, after: Option<AppKey>, limit: usize) -> Pending<'_, Vec<AppRecord>> {
        let from = after.map_or(Unbounded, Excluded);
        ready(self.state().apps.range((from, Unbounded)).take(limit).map(|(_, app)| app.clone()).collect())
    }

    fn changes(&self, since: Revision, limit: usize) -> Pending<'_, Changes> {
        let state = self.state();
        let mut changes = Changes {
            revision: state.last_revision,
            epoch: state.epoch,
            succeeds: Vec::new(),
            changed: Vec::new(),
            removed: Vec::new(),
            forgotten: state.forgotten,
        };
        for (revision, key) in state.changes.range((Excluded(since), Unbounded)).take(limit) {
            match state.apps.get(key) {
                Some(app) => changes.changed.push(app.clone()),
                None => changes.removed.push(key.clone()),
            }
            if changes.len() == limit {
                changes.revision = *revision;
            }
        }
        ready(changes)
    }

    fn entries(&self) -> Pending<'_, Vec<EntryRecord>> {
        let state = self.state();
        let entry = |(key, fingerprint): (&AppKey, &String)| EntryRecord {
            app_is_its_own: state.apps.get(key).is_some_and(|app| app.entry.is_some()),
            key: key.clone(),
            fingerprint: fingerprint.clone(),
        };
        ready(state.entries.iter().map(entry).collect())
    }

    fn file_entry(&self, key: AppKey, fingerprint: String) -> Pending<'_, ()> {
        let mut state = self.state();
        if let Some(entry) = state.apps.get_mut(&key).and_then(|app| app.entry.as_mut()) {
            entry.clone_from(&fingerprint);
        }
        if let Some(entry) = state.entries.get_mut(&key) {
            *entry = fingerprint;
        }
        ready(())
    }

    fn delete_entry(&self, key: AppKey) -> Pending<'_, bool> {
        let mut state = self.state();
        state.entries.remove(&key);
        if state.apps.get(&key).is_none_or(|app| app.entry.is_none()) {
            return ready(false);
        }
        state.remove(&key);
        ready(true)
    }
}

impl Events for Memory {
    fn record(&self, records: Arc<Records>) -> Pending<'_, u64> {
        let Records { feedback, disconnections } = Arc::unwrap_or_clone(records);
        let mut state = self.state();
        let mut held = 0;
        for entry in feedback {
            let position = state.next_position();
            let events = state.of(&entry.app);
            if events.quarantine.is_some() && is_doubtful(&entry) {
                events.hold_back(entry);
                held += 1;
            } else {
                events.keep_newest(position, entry);
            }
        }
        for entry in disconnections {
            let position = state.next_position();
            let log = &mut state.of(&entry.app).disconnections;
            log.insert(position, entry);
            if log.len() > DISCONNECTIONS_MAX {
                log.pop_first();
            }
        }
        ready(held)
    }

    fn counts(&self, app: AppKey) -> Pending<'_, Counts> {
        let count = |events: &AppEvents| Counts {
            feedback: events.feedback.len() as u64,
            held: events.held.len() as u64,
            disconnections: events.disconnections.len() as u64,
        };
        ready(self.state().events.get(&app).map(count).unwrap_or_default())
    }
}

impl FeedbackLog for Memory {
    fn quarantine(&self, app: AppKey, quarantine: Quarantine) -> Pending<'_, u64> {
        let mut state = self.state();
        let events = state.of(&app);
        events.quarantine.get_or_insert(quarantine);
        let doubtful: Vec<_> = events.feedback.extract_if(.., |_, entry| is_doubtful(entry)).collect();
        let held = doubtful.len() as u64;
        for (_, entry) in doubtful {
            events.position_of_token.remove(&entry.token);
            events.hold_back(entry);
        }
        ready(held)
    }

    fn quarantines(&self) -> Pending<'_, Vec<(AppKey, Quarantine)>> {
        let state = self.state();
        let quarantines =
            state.events.iter().filter_map(|(app, events)| Some((app.clone(), events.quarantine.clone()?)));
        ready(quarantines.collect())
    }

    fn resolve(&self, app: AppKey, resolution: Resolution) -> Pending<'_, u64> {
        let mut state = self.state();
        state.of(&app).quarantine = None;
        let held = std::mem::take(&mut state.of(&app).held);
        let count = held.len() as u64;
        if resolution == Resolution::Release {
            for entry in held.into_values() {
                let position = state.next_position();
                state.of(&app).keep_newest(position, entry);
            }
        }
        ready(count)
    }

    fn feedback(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Feedback>> {
        let state = self.state();
        let list = state.events.get(&app).map(|events| &events.feedback);
        let page = state.position(after).map(|after| state.page(list, after, limit));
        Box::pin(std::future::ready(page))
    }

    fn acknowledge_feedback(&self, app: AppKey, through: Cursor) -> Pending<'_, u64> {
        let mut state = self.state();
        let gone = state.position(through).map(|through| {
            let events = state.of(&app);
            events.position_of_token.retain(|_, position| *position > through);
            forget(&mut events.feedback, through)
        });
        Box::pin(std::future::ready(gone))
    }
}

impl DisconnectionLog for Memory {
    fn disconnections(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Disconnection>> {
        let state = self.state();
        let list = state.events.get(&app).map(|events| &events.disconnections);
        let page = state.position(after).map(|after| state.page(list, after, limit));
        Box::pin(std::future::ready(page))
    }

    fn acknowledge_disconnections(&self, app: AppKey, through: Cursor) -> Pending<'_, u64> {
        let mut state = self.state();
        let gone = state.position(through);
        let gone = gone.map(|through| forget(&mut state.of(&app).disconnections, through));
        Box::pin(std::future::ready(gone))
    }
}

impl Durability for Memory {
    fn try_writing(&self) -> Pending<'_, ()> {
        ready(())
    }

    fn look(&self) -> Pending<'_, ()> {
        ready(())
    }
}

impl Transfer for Memory {
    fn is_empty(&self) -> Pending<'_, bool> {
        let state = self.state();
        let has_events = |events: &AppEvents| {
            events.quarantine.is_some()
                || !(events.feedback.is_empty() && events.held.is_empty() && events.disconnections.is_empty())
        };
        ready(state.apps.is_empty() && state.entries.is_empty() && !state.events.values().any(has_events))
    }

    fn held(&self, app: AppKey, _: Option<String>) -> Pending<'_, (Vec<Feedback>, Option<String>)> {
        let held = self.state().events.get(&app).map(|events| events.held.values().cloned().collect());
        ready((held.unwrap_or_default(), None))
    }

    fn put_entries(&self, entries: Vec<(AppKey, String)>) -> Pending<'_, ()> {
        self.state().entries.extend(entries);
        ready(())
    }

    fn unfinished_copy(&self) -> Pending<'_, Option<String>> {
        ready(self.state().unfinished_copy.clone())
    }

    fn mark_copy(&self, source: Option<String>) -> Pending<'_, ()> {
        self.state().unfinished_copy = source;
        ready(())
    }
}

impl State {
    fn position(&self, cursor: Cursor) -> Result<i64, StoreError> {
        self.epoch.position(cursor, self.last_position)
    }

    fn page<T: Clone>(&self, list: Option<&BTreeMap<i64, T>>, after: i64, limit: usize) -> Page<T> {
        let behind = list.map(|list| list.range((Excluded(after), Unbounded)).take(limit));
        let entries = behind.into_iter().flatten().map(|(position, entry)| (*position, entry.clone()));
        Page::new(entries.collect(), self.epoch, after)
    }

    fn write(&mut self, app: AppRecord) -> Revision {
        let revision = self.note_change(&app.key);
        self.entries.extend(app.entry.clone().map(|entry| (app.key.clone(), entry)));
        self.apps.insert(app.key.clone(), AppRecord { revision, ..app });
        revision
    }

    fn remove(&mut self, key: &AppKey) -> Revision {
        self.events.remove(key);
        self.apps.remove(key);
        let revision = self.note_change(key);
        if self.changes.len() - self.apps.len() > REMOVED_MAX {
            let oldest = self.changes.extract_if(.., |_, key| !self.apps.contains_key(key)).next();
            if let Some((oldest, key)) = oldest {
                self.newest_change.remove(&key);
                self.forgotten = oldest;
            }
        }
        revision
    }

    fn note_change(&mut self, key: &AppKey) -> Revision {
        self.last_revision = Revision::stored(self.last_revision.number() + 1);
        if let Some(before) = self.newest_change.insert(key.clone(), self.last_revision) {
            self.changes.remove(&before);
        }
        self.changes.insert(self.last_revision, key.clone());
        self.last_revision
    }

    fn next_position(&mut self) -> i64 {
        self.last_position += 1;
        self.last_position
    }

    fn of(&mut self, app: &AppKey) -> &mut AppEvents {
        self.events.entry(app.clone()).or_default()
    }
}

impl AppEvents {
    fn keep_newest(&mut self, position: i64, entry: Feedback) {
        if let Some(old) = self.position_of_token.get(&entry.token) {
            if self.feedback.get(old).is_some_and(|kept| kept.timestamp >= entry.timestamp) {
                return;
            }
            self.feedback.remove(old);
        }
        self.position_of_token.insert(entry.token.clone(), position);
        self.feedback.insert(position, entry);
    }

    fn hold_back(&mut self, entry: Feedback) {
        let known = self.held.get(&entry.token);
        if known.is_none_or(|known| known.timestamp < entry.timestamp) {
            self.held.insert(entry.token.clone(), entry);
        }
    }
}

fn forget<T>(list: &mut BTreeMap<i64, T>, through: i64) -> u64 {
    let before = list.len();
    list.retain(|position, _| *position > through);
    (before - list.len()) as u64
}

#[cfg(test)]
mod tests {
    super::super::contract::kept_by!(crate::store::contract::UnderTest::memory());
}
