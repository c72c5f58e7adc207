//! Any history of operations leaves a store in the state that the same history leaves in [`Memory`]. Revisions and
//! cursors differ in number, and name the same.

use super::*;
use crate::model::{AppleReason, Quarantine, Resolution};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::fmt::Debug;

/// Histories that one test runs.
const HISTORIES: u32 = 48;
/// Operations of the longest history.
const OPERATIONS_MAX: usize = 40;

#[derive(Debug, Clone)]
enum Operation {
    Put {
        app: usize,
        lanes: u16,
        entry: Option<u8>,
        expect: Condition,
    },
    Delete {
        app: usize,
        expect: Condition,
    },
    /// `missed`: one more change of this app comes between reading and writing.
    Reseal {
        missed: Option<usize>,
    },
    FileEntry {
        app: usize,
        fingerprint: u8,
    },
    DeleteEntry {
        app: usize,
    },
    Changes {
        since: usize,
        limit: usize,
    },
    Record {
        dead: Vec<(usize, u8, bool, u8)>,
        failed: Vec<usize>,
    },
    Acknowledge {
        app: usize,
        of_log: bool,
        through: usize,
    },
    Quarantine {
        app: usize,
    },
    Resolve {
        app: usize,
        release: bool,
    },
}

/// The expected state of an app. A revision is one of the history's revisions.
#[derive(Debug, Clone, Copy)]
enum Condition {
    Any,
    Present,
    Seen(usize),
    Absent,
}

fn operation() -> impl Strategy<Value = Operation> {
    let app = 0..3_usize;
    let expect = prop_oneof![
        3 => Just(Condition::Any),
        2 => Just(Condition::Present),
        1 => any::<usize>().prop_map(Condition::Seen),
        1 => Just(Condition::Absent),
    ];
    let dead = (app.clone(), 0..4_u8, any::<bool>(), 0..4_u8);
    prop_oneof![
        6 => (app.clone(), 1..3_u16, prop::option::of(0..2_u8), expect.clone())
            .prop_map(|(app, lanes, entry, expect)| Operation::Put { app, lanes, entry, expect }),
        2 => (app.clone(), expect).prop_map(|(app, expect)| Operation::Delete { app, expect }),
        1 => prop::option::of(app.clone()).prop_map(|missed| Operation::Reseal { missed }),
        1 => (app.clone(), 0..3_u8).prop_map(|(app, fingerprint)| Operation::FileEntry { app, fingerprint }),
        1 => app.clone().prop_map(|app| Operation::DeleteEntry { app }),
        2 => (any::<usize>(), 1..4_usize).prop_map(|(since, limit)| Operation::Changes { since, limit }),
        6 => (prop::collection::vec(dead, 0..5), prop::collection::vec(app.clone(), 0..3))
            .prop_map(|(dead, failed)| Operation::Record { dead, failed }),
        2 => (app.clone(), any::<bool>(), any::<usize>())
            .prop_map(|(app, of_log, through)| Operation::Acknowledge { app, of_log, through }),
        1 => app.clone().prop_map(|app| Operation::Quarantine { app }),
        1 => (app, any::<bool>()).prop_map(|(app, release)| Operation::Resolve { app, release }),
    ]
}

/// Runs random histories on new stores and on the reference.
pub(in crate::store) fn any_history_leaves_what_it_leaves_in_memory(open: impl AsyncFn() -> UnderTest) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let history = prop::collection::vec(operation(), 1..OPERATIONS_MAX);
    let mut runner = TestRunner::new(Config { cases: HISTORIES, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&history, |operations| {
        runtime.block_on(async {
            let opened = open().await;
            let mut pair = Pair::of(&*opened.store).await;
            for operation in operations {
                pair.apply(&operation).await;
                pair.compare().await;
            }
        });
        Ok(())
    });
    outcome.unwrap_or_else(|failed| panic!("{failed}"));
}

/// A store beside the reference.
struct Pair<'a> {
    model: Memory,
    store: &'a dyn Store,
    /// Of the reference and of the store, in their order.
    revisions: Vec<[Revision; 2]>,
    /// Of each app: cursors of its feedback, and of its log.
    cursors: [[Vec<[Cursor; 2]>; 2]; 3],
    recorded: u32,
}

fn app_at(number: usize) -> AppKey {
    [chat(), shop(), key("com.example.shop", Environment::Sandbox)][number].clone()
}

/// The results of one operation on both; errors are compared by their reason.
fn both<T: Debug + PartialEq>(model: Result<T, StoreError>, store: Result<T, StoreError>) -> Option<T> {
    let by_reason = |result: &Result<T, StoreError>| result.as_ref().err().map(StoreError::reason);
    assert_eq!(by_reason(&model), by_reason(&store));
    let (model, store) = (model.ok()?, store.ok()?);
    assert_eq!(model, store);
    Some(model)
}

impl<'a> Pair<'a> {
    async fn of(store: &'a dyn Store) -> Self {
        let model = Memory::new();
        let [one, other] = [&model as &dyn Store, store].map(|store| store.changes(Revision::NONE, 1));
        let revisions = vec![[one.await.unwrap().revision, other.await.unwrap().revision]];
        Self { model, store, revisions, cursors: Default::default(), recorded: 0 }
    }

    /// Notes that two revisions name the same.
    fn same(&mut self, model: Revision, store: Revision) {
        match self.revisions.iter().find(|pair| pair[0] == model || pair[1] == store) {
            Some(known) => assert_eq!(*known, [model, store]),
            None => {
                let [last, newest] = *self.revisions.last().unwrap();
                assert!(last < model && newest < store, "revisions grow");
                self.revisions.push([model, store]);
            }
        }
    }

    fn expectations(&self, condition: Condition, present: Option<Revision>) -> [Expect; 2] {
        let is = |index: usize| self.revisions[index % self.revisions.len()].map(Expect::Is);
        match condition {
            Condition::Any => [Expect::Any; 2],
            Condition::Absent => [Expect::Absent; 2],
            Condition::Seen(index) => is(index),
            Condition::Present => match self.revisions.iter().position(|pair| Some(pair[0]) == present) {
                Some(index) => is(index),
                None => [Expect::Any; 2],
            },
        }
    }

    /// Both refuse, telling of the same state, or both have a result.
    fn changed<T>(&mut self, results: [Result<T, StoreError>; 2]) -> Option<[T; 2]> {
        match results {
            [Ok(model), Ok(store)] => Some([model, store]),
            [Err(StoreError::Conflict { revision: model }), Err(StoreError::Conflict { revision: store })] => {
                assert_eq!(model.is_some(), store.is_some());
                model.zip(store).into_iter().for_each(|(model, store)| self.same(model, store));
                None
            }
            [Err(one), Err(other)] => panic!("{one} / {other}"),
            [Ok(_), Err(error)] => panic!("only the store refuses: {error}"),
            [Err(error), Ok(_)] => panic!("the store does not refuse: {error}"),
        }
    }

    async fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Put { app: number, lanes, entry, expect } => self.put(*number, *lanes, *entry, *expect).await,
            Operation::Delete { app, expect } => {
                let key = app_at(*app);
                let present = self.model.get(key.clone()).await.unwrap().map(|app| app.revision);
                let [one, other] = self.expectations(*expect, present);
                let deleted = [self.model.delete(key.clone(), one).await, self.store.delete(key, other).await];
                if let Some([model, store]) = self.changed(deleted) {
                    assert_eq!(model.is_some(), store.is_some());
                    model.zip(store).into_iter().for_each(|(model, store)| self.same(model, store));
                }
            }
            Operation::Reseal { missed } => self.reseal(*missed).await,
            Operation::FileEntry { app, fingerprint } => {
                let (key, fingerprint) = (app_at(*app), fingerprint.to_string());
                let model = self.model.file_entry(key.clone(), fingerprint.clone()).await;
                both(model, self.store.file_entry(key, fingerprint).await);
            }
            Operation::DeleteEntry { app } => {
                let key = app_at(*app);
                both(self.model.delete_entry(key.clone()).await, self.store.delete_entry(key).await);
            }
            Operation::Changes { since, limit } => {
                let since = self.revisions[since % self.revisions.len()];
                self.compare_changes(since, *limit).await;
            }
            Operation::Record { dead, failed } => self.record(dead, failed).await,
            Operation::Acknowledge { app, of_log, through } => {
                let cursors = &self.cursors[*app][usize::from(*of_log)];
                let Some([one, other]) = cursors.get(through % cursors.len().max(1)).copied() else { return };
                let key = app_at(*app);
                if *of_log {
                    let model = self.model.acknowledge_disconnections(key.clone(), one).await;
                    both(model, self.store.acknowledge_disconnections(key, other).await);
                } else {
                    let model = self.model.acknowledge_feedback(key.clone(), one).await;
                    both(model, self.store.acknowledge_feedback(key, other).await);
                }
            }
            Operation::Quarantine { app } => {
                let (key, quarantine) = (app_at(*app), Quarantine { since: 1.5, why: "many".to_owned() });
                let model = self.model.quarantine(key.clone(), quarantine.clone()).await;
                both(model, self.store.quarantine(key, quarantine).await);
            }
            Operation::Resolve { app, release } => {
                let (key, how) = (app_at(*app), if *release { Resolution::Release } else { Resolution::Drop });
                both(self.model.resolve(key.clone(), how).await, self.store.resolve(key, how).await);
            }
        }
    }

    async fn put(&mut self, number: usize, lanes: u16, entry: Option<u8>, expect: Condition) {
        let key = app_at(number);
        let present = self.model.get(key.clone()).await.unwrap().map(|app| app.revision);
        let record = AppRecord { lanes, entry: entry.map(|entry| entry.to_string()), ..app(key) };
        let [one, other] = self.expectations(expect, present);
        let put = [self.model.put(record.clone(), one).await, self.store.put(record, other).await];
        if let Some([model, store]) = self.changed(put) {
            self.same(model, store);
        }
    }

    async fn reseal(&mut self, missed: Option<usize>) {
        let [one, other] = [self.model.list(None, 10), self.store.list(None, 10)];
        let (one, other) = (one.await.unwrap(), other.await.unwrap());
        if let Some(app) = missed {
            self.put(app, 8, None, Condition::Any).await;
        }
        let again = |records: Vec<AppRecord>| -> Vec<AppRecord> {
            let sealed = |record: AppRecord| AppRecord { credential: Zeroizing::new(vec![9]), ..record };
            records.into_iter().map(sealed).collect()
        };
        both(self.model.put_all(again(one)).await, self.store.put_all(again(other)).await);
    }

    async fn record(&mut self, dead: &[(usize, u8, bool, u8)], failed: &[usize]) {
        let entry = |(app, token, is_doubtful, timestamp): &(usize, u8, bool, u8)| Feedback {
            app: app_at(*app),
            token: format!("{token:02x}"),
            reason: if *is_doubtful { AppleReason::BadDeviceToken.as_str() } else { "Unregistered" }.to_owned(),
            timestamp: f64::from(*timestamp),
        };
        let feedback: Vec<Feedback> = dead.iter().map(entry).collect();
        let mut number = self.recorded;
        let entry = |app: &usize| {
            number += 1;
            failure(app_at(*app), number)
        };
        let disconnections: Vec<_> = failed.iter().map(entry).collect();
        self.recorded = number;
        let model = self.model.note(feedback.clone(), disconnections.clone()).await;
        both(model, self.store.note(feedback, disconnections).await);
    }

    /// Both hold the same.
    async fn compare(&mut self) {
        self.compare_changes([Revision::NONE; 2], 10).await;
        let (one, other) = (self.model.list(None, 10).await.unwrap(), self.store.list(None, 10).await.unwrap());
        assert_eq!(one.len(), other.len());
        for (one, other) in one.iter().zip(&other) {
            assert!(one.is_same(other), "{one:?} {other:?}");
            self.same(one.revision, other.revision);
        }
        let mut entries = [self.model.entries().await.unwrap(), self.store.entries().await.unwrap()];
        entries.iter_mut().for_each(|entries| entries.sort_by(|one, other| one.key.cmp(&other.key)));
        assert_eq!(entries[0], entries[1]);
        let mut held = [self.model.quarantines().await.unwrap(), self.store.quarantines().await.unwrap()];
        held.iter_mut().for_each(|held| held.sort_by(|one, other| one.0.cmp(&other.0)));
        assert_eq!(held[0], held[1]);
        for number in 0..3 {
            let key = app_at(number);
            both(self.model.counts(key.clone()).await, self.store.counts(key.clone()).await);
            for limit in [2, 100] {
                let of_both = self.model.feedback(key.clone(), Cursor::START, limit).await;
                let page = self.store.feedback(key.clone(), Cursor::START, limit).await;
                let cursors = [of_both.as_ref().unwrap().cursor, page.as_ref().unwrap().cursor];
                both(of_both.map(|page| page.entries), page.map(|page| page.entries));
                self.cursors[number][0].push(cursors);
                let of_both = self.model.disconnections(key.clone(), Cursor::START, limit).await;
                let page = self.store.disconnections(key.clone(), Cursor::START, limit).await;
                let cursors = [of_both.as_ref().unwrap().cursor, page.as_ref().unwrap().cursor];
                both(of_both.map(|page| page.entries), page.map(|page| page.entries));
                self.cursors[number][1].push(cursors);
            }
        }
    }

    async fn compare_changes(&mut self, since: [Revision; 2], limit: usize) {
        let one = self.model.changes(since[0], limit).await.unwrap();
        let other = self.store.changes(since[1], limit).await.unwrap();
        assert_eq!((one.changed.len(), &one.removed), (other.changed.len(), &other.removed));
        let revisions = |changes: &Changes| changes.changed.iter().map(|app| app.revision).collect::<Vec<_>>();
        for (one, other) in one.changed.iter().zip(&other.changed) {
            assert!(one.is_same(other), "{one:?} {other:?}");
        }
        let pairs: Vec<_> = revisions(&one).into_iter().zip(revisions(&other)).collect();
        pairs.into_iter().for_each(|(one, other)| self.same(one, other));
        self.same(one.revision, other.revision);
    }
}
