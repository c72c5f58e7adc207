//! The promises of every store: one list of tests, run on each kind of store.

use super::*;
use crate::model::{AppId, Disconnection, Environment, Feedback, Records};
use std::any::Any;
use std::sync::Arc;
use zeroize::Zeroizing;

pub(super) mod apps;
pub(super) mod cursors;
pub(super) mod disconnections;
pub(super) mod feedback;
pub(super) mod random;
pub(super) mod revisions;

/// A store under test, with its directory if it needs one.
pub(super) struct UnderTest {
    pub store: Arc<dyn Store>,
    /// Dropped with the store, after it: a directory or a server.
    _kept: Box<dyn Any>,
}

impl UnderTest {
    pub(super) fn memory() -> Self {
        Self::kept_with(Arc::new(Memory::new()), ())
    }

    pub(super) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(directory.path()).unwrap());
        Self::kept_with(store, directory)
    }

    /// A store, and what must last as long as it does.
    pub(super) fn kept_with(store: Arc<dyn Store>, kept: impl Any) -> Self {
        Self { store, _kept: Box::new(kept) }
    }
}

/// Records feedback and disconnections.
pub(super) trait Note: Events {
    fn note(&self, feedback: Vec<Feedback>, disconnections: Vec<Disconnection>) -> Pending<'_, u64> {
        self.record(Arc::new(Records { feedback, disconnections }))
    }
}

impl<T: Events + ?Sized> Note for T {}

/// Generates one test per sentence of the contract, for the store that the expression opens.
macro_rules! kept_by {
    ($opened:expr) => {
        #[test]
        fn any_history_leaves_what_it_leaves_in_memory() {
            $crate::store::contract::random::any_history_leaves_what_it_leaves_in_memory(async || $opened);
        }

        $crate::store::contract::kept_by! { $opened;
            apps {
                a_stored_app_is_found_unchanged,
                a_second_put_replaces_the_first,
                only_apps_that_nobody_changed_meanwhile_are_sealed_again,
                apps_are_listed_in_the_order_of_their_keys,
                deleting_an_app_deletes_its_events_and_no_others,
                an_entry_stays_when_its_app_is_changed_or_deleted,
                replacing_an_entrys_fingerprint_leaves_its_app_unchanged,
                deleting_an_entry_deletes_only_the_app_that_it_created,
            }
            revisions {
                every_change_of_an_app_has_a_revision_of_its_own_and_reading_none,
                an_app_that_is_not_as_expected_is_neither_changed_nor_deleted,
                a_write_that_is_sent_again_changes_nothing_and_is_no_conflict,
                of_two_who_create_an_app_at_once_one_does,
                the_changes_since_a_revision_name_each_app_once_as_it_is_now,
                pages_of_changes_follow_each_other_without_gap_or_repetition,
                the_changes_of_a_store_tell_its_epoch,
                the_newest_removals_are_kept_and_a_reader_sees_that_older_ones_are_forgotten,
            }
            feedback {
                only_the_newest_feedback_of_a_token_is_kept,
                feedback_of_one_token_is_kept_per_app,
                an_acknowledgement_through_an_old_cursor_does_not_lose_newer_feedback,
                held_entries_are_not_in_feedback_until_they_are_released,
                dropped_entries_do_not_come_back,
                a_quarantine_holds_unacknowledged_doubtful_entries_of_its_app_and_no_others,
                released_entries_are_new_to_readers_and_replace_no_newer_entry,
                quarantines_are_listed_and_a_second_one_changes_nothing,
            }
            disconnections {
                pages_follow_each_other_without_gap_or_repetition,
                the_newest_five_thousand_disconnections_are_kept,
                a_disconnection_is_read_with_all_its_fields,
            }
            cursors {
                an_acknowledgement_touches_one_list_of_one_app,
                a_position_is_never_assigned_twice,
                a_cursor_stays_valid_after_everything_is_acknowledged,
                a_cursor_of_another_store_is_refused_at_every_position,
                a_cursor_after_the_newest_entry_is_refused,
                the_start_and_the_cursor_of_an_empty_page_are_accepted_everywhere,
            }
        }
    };
    ($opened:expr; $($subject:ident { $($sentence:ident,)* })*) => {
        $($(#[tokio::test]
        async fn $sentence() {
            let opened = $opened;
            $crate::store::contract::$subject::$sentence(&*opened.store).await;
        })*)*
    };
}
pub(super) use kept_by;

pub(super) fn key(id: &str, environment: Environment) -> AppKey {
    AppKey::new(AppId::new(id).unwrap(), environment)
}

pub(super) fn shop() -> AppKey {
    key("com.example.shop", Environment::Production)
}

fn chat() -> AppKey {
    key("com.example.chat", Environment::Sandbox)
}

pub(super) fn app(key: AppKey) -> AppRecord {
    AppRecord {
        key,
        credential: Zeroizing::new(vec![0, 1, 2, 255]),
        certificate_path: Some("/etc/pyapns/shop.pem".to_owned()),
        topic: None,
        timeout_seconds: 15,
        lanes: 4,
        entry: None,
        revision: Revision::NONE,
    }
}

/// Keeps an app, whatever is there, and returns it as it must be read from now on.
pub(super) async fn put(store: &dyn Store, app: AppRecord) -> AppRecord {
    let revision = store.put(app.clone(), Expect::Any).await.unwrap();
    AppRecord { revision, ..app }
}

pub(super) fn dead(app: AppKey, token: &str, timestamp: f64) -> Feedback {
    Feedback { app, token: token.to_owned(), reason: "Unregistered".to_owned(), timestamp }
}

pub(super) fn failure(app: AppKey, number: u32) -> Disconnection {
    Disconnection {
        app,
        code: 8,
        internal_identifier: number,
        offending_notification: Some(r#"{"type":"notification"}"#.to_owned()),
        timestamp: 1_800_000_000.25,
        verbose_message: "Invalid token".to_owned(),
        reason: "BadDeviceToken".to_owned(),
        status: Some(400),
        apns_id: Some("0f1e2d3c-0000-4000-8000-000000000000".to_owned()),
        affected: 0,
        node: Some("node-1".parse().unwrap()),
    }
}

async fn tokens(store: &dyn Store, app: AppKey) -> Vec<String> {
    let page = store.feedback(app, Cursor::START, usize::MAX).await.unwrap();
    page.entries.into_iter().map(|entry| entry.token).collect()
}

async fn numbers(store: &dyn Store, app: AppKey) -> Vec<u32> {
    let page = store.disconnections(app, Cursor::START, usize::MAX).await.unwrap();
    page.entries.iter().map(|entry| entry.internal_identifier).collect()
}
