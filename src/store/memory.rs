//! The reference store: what each operation means, in memory. For tests and simulation; it outlives nothing.

use super::{
    AppRecord, Apps, Counts, Cursor, DISCONNECTIONS_MAX, Events, Kept, Newest, Page, Pending, StoreError, is_doubtful,
};
use crate::model::{AppKey, Disconnection, Feedback, Hold, Records, Settlement};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    apps: BTreeMap<AppKey, AppRecord>,
    entries: BTreeMap<AppKey, String>,
    events: HashMap<AppKey, AppEvents>,
    last_position: i64,
}

#[derive(Debug, Default)]
struct AppEvents {
    feedback: BTreeMap<Cursor, Feedback>,
    position_of_token: HashMap<String, Cursor>,
    hold: Option<Hold>,
    /// By token.
    held: BTreeMap<String, Feedback>,
    disconnections: BTreeMap<Cursor, Disconnection>,
}

impl Memory {
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps these apps and entries beside what is there.
    pub fn keep(&self, kept: Kept) {
        let mut state = self.state();
        state.entries.extend(kept.entries);
        state.apps.extend(kept.apps.into_iter().map(|app| (app.key.clone(), app)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> Pending<'a, T> {
    Box::pin(std::future::ready(Ok::<T, StoreError>(value)))
}

impl Apps for Memory {
    fn put(&self, app: AppRecord) -> Pending<'_, ()> {
        self.put_all(vec![app])
    }

    fn put_all(&self, apps: Vec<AppRecord>) -> Pending<'_, ()> {
        let mut state = self.state();
        for app in apps {
            state.entries.extend(app.entry.clone().map(|entry| (app.key.clone(), entry)));
            state.apps.insert(app.key.clone(), app);
        }
        ready(())
    }

    fn get(&self, key: AppKey) -> Pending<'_, Option<AppRecord>> {
        ready(self.state().apps.get(&key).cloned())
    }

    fn delete(&self, key: AppKey) -> Pending<'_, bool> {
        let mut state = self.state();
        state.events.remove(&key);
        ready(state.apps.remove(&key).is_some())
    }

    fn list(&self, after: Option<AppKey>, limit: usize) -> Pending<'_, Vec<AppRecord>> {
        let from = after.map_or(Unbounded, Excluded);
        ready(self.state().apps.range((from, Unbounded)).take(limit).map(|(_, app)| app.clone()).collect())
    }

    fn entries(&self) -> Pending<'_, Vec<(AppKey, String)>> {
        ready(self.state().entries.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect())
    }

    fn delete_entry(&self, key: AppKey) -> Pending<'_, bool> {
        let mut state = self.state();
        state.entries.remove(&key);
        if state.apps.get(&key).is_none_or(|app| app.entry.is_none()) {
            return ready(false);
        }
        state.events.remove(&key);
        ready(state.apps.remove(&key).is_some())
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
            if events.hold.is_some() && is_doubtful(&entry) {
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

    fn hold(&self, app: AppKey, hold: Hold) -> Pending<'_, u64> {
        let mut state = self.state();
        let events = state.of(&app);
        events.hold.get_or_insert(hold);
        let doubtful: Vec<_> = events.feedback.extract_if(.., |_, entry| is_doubtful(entry)).collect();
        let held = doubtful.len() as u64;
        for (_, entry) in doubtful {
            events.position_of_token.remove(&entry.token);
            events.hold_back(entry);
        }
        ready(held)
    }

    fn holds(&self) -> Pending<'_, Vec<(AppKey, Hold)>> {
        let state = self.state();
        let holds = state.events.iter().filter_map(|(app, events)| Some((app.clone(), events.hold.clone()?)));
        ready(holds.collect())
    }

    fn settle(&self, app: AppKey, settlement: Settlement) -> Pending<'_, u64> {
        let mut state = self.state();
        state.of(&app).hold = None;
        let held = std::mem::take(&mut state.of(&app).held);
        let count = held.len() as u64;
        if settlement == Settlement::Release {
            for entry in held.into_values() {
                let position = state.next_position();
                state.of(&app).keep_newest(position, entry);
            }
        }
        ready(count)
    }

    fn feedback(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Feedback>> {
        ready(self.state().events.get(&app).map_or_else(|| empty(after), |events| page(&events.feedback, after, limit)))
    }

    fn disconnections(&self, app: AppKey, after: Cursor, limit: usize) -> Pending<'_, Page<Disconnection>> {
        let state = self.state();
        ready(state.events.get(&app).map_or_else(|| empty(after), |events| page(&events.disconnections, after, limit)))
    }

    fn acknowledge_feedback(&self, app: AppKey, through: Cursor) -> Pending<'_, u64> {
        let mut state = self.state();
        let events = state.of(&app);
        let gone = forget(&mut events.feedback, through);
        events.position_of_token.retain(|_, position| *position > through);
        ready(gone)
    }

    fn acknowledge_disconnections(&self, app: AppKey, through: Cursor) -> Pending<'_, u64> {
        ready(forget(&mut self.state().of(&app).disconnections, through))
    }

    fn counts(&self, app: AppKey) -> Pending<'_, Counts> {
        let count = |events: &AppEvents| Counts {
            feedback: events.feedback.len() as u64,
            held: events.held.len() as u64,
            disconnections: events.disconnections.len() as u64,
        };
        ready(self.state().events.get(&app).map(count).unwrap_or_default())
    }

    fn newest(&self) -> Pending<'_, Newest> {
        let last = Cursor(self.state().last_position);
        ready(Newest { feedback: last, disconnections: last })
    }

    fn try_writing(&self) -> Pending<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl State {
    fn next_position(&mut self) -> Cursor {
        self.last_position += 1;
        Cursor(self.last_position)
    }

    fn of(&mut self, app: &AppKey) -> &mut AppEvents {
        self.events.entry(app.clone()).or_default()
    }
}

impl AppEvents {
    fn keep_newest(&mut self, position: Cursor, entry: Feedback) {
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

fn empty<T>(after: Cursor) -> Page<T> {
    Page::new(Vec::new(), after)
}

fn page<T: Clone>(list: &BTreeMap<Cursor, T>, after: Cursor, limit: usize) -> Page<T> {
    let behind = list.range((Excluded(after), Unbounded)).take(limit);
    Page::new(behind.map(|(position, entry)| (*position, entry.clone())).collect(), after)
}

fn forget<T>(list: &mut BTreeMap<Cursor, T>, through: Cursor) -> u64 {
    let before = list.len();
    list.retain(|position, _| *position > through);
    (before - list.len()) as u64
}

#[cfg(test)]
mod tests {
    super::super::contract::kept_by!(crate::store::contract::Opened::memory());
}
