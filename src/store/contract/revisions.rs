//! The promises of every store about the revisions of apps.

use super::*;

pub(in crate::store) async fn every_change_of_an_app_has_a_revision_of_its_own_and_reading_none(store: &dyn Store) {
    let mut before = store.changes(Revision::NONE, 10).await.unwrap().revision;
    let mut grows = |revision: Option<Revision>, what: &str| {
        let revision = revision.unwrap_or_default();
        assert!(revision > before, "{what}: {revision} after {before}");
        before = revision;
    };
    let made = AppRecord { entry: Some("made".to_owned()), ..app(shop()) };
    grows(store.put(made.clone(), Expect::Any).await.ok(), "created");
    grows(store.put(app(chat()), Expect::Any).await.ok(), "another app created");
    grows(store.put(AppRecord { lanes: 2, ..made.clone() }, Expect::Any).await.ok(), "changed");
    grows(store.delete(shop(), Expect::Any).await.unwrap(), "deleted");
    grows(store.put(made.clone(), Expect::Any).await.ok(), "created again, as it was at first");
    let stored = store.get(shop()).await.unwrap().unwrap();
    assert_eq!(store.put_all(vec![AppRecord { lanes: 3, ..stored }]).await.unwrap(), 1);
    grows(store.get(shop()).await.unwrap().map(|app| app.revision), "sealed again");
    store.file_entry(shop(), "other".to_owned()).await.unwrap();
    store.note(vec![dead(shop(), "aa", 1.0)], vec![failure(shop(), 1)]).await.unwrap();
    assert_eq!(store.delete(key("none", Environment::Sandbox), Expect::Any).await.unwrap(), None);
    let unchanged = store.changes(Revision::NONE, 10).await.unwrap().revision;
    assert_eq!(Some(unchanged), store.get(shop()).await.unwrap().map(|app| app.revision));
    assert!(store.delete_entry(shop()).await.unwrap());
    grows(Some(store.changes(Revision::NONE, 10).await.unwrap().revision), "removed with its entry");
}

fn is_conflict<T: std::fmt::Debug>(refused: Result<T, StoreError>, stored: Option<Revision>) {
    assert!(matches!(refused, Err(StoreError::Conflict { revision }) if revision == stored), "{refused:?}");
}

pub(in crate::store) async fn an_app_that_is_not_as_expected_is_neither_changed_nor_deleted(store: &dyn Store) {
    let changed = AppRecord { lanes: 7, ..app(shop()) };
    is_conflict(store.put(app(shop()), Expect::Is(Revision::stored(i64::MAX))).await, None);
    let first = store.put(app(shop()), Expect::Absent).await.unwrap();
    is_conflict(store.put(changed.clone(), Expect::Absent).await, Some(first));
    let second = store.put(AppRecord { lanes: 5, ..app(shop()) }, Expect::Is(first)).await.unwrap();
    is_conflict(store.put(changed.clone(), Expect::Is(first)).await, Some(second));
    is_conflict(store.delete(shop(), Expect::Is(first)).await, Some(second));
    is_conflict(store.delete(shop(), Expect::Absent).await, Some(second));
    let kept = store.get(shop()).await.unwrap().unwrap();
    assert_eq!((kept.lanes, kept.revision), (5, second));
    assert!(store.delete(shop(), Expect::Is(second)).await.unwrap().is_some());
    assert_eq!(store.delete(shop(), Expect::Is(second)).await.unwrap(), None, "there is no app to compare with");
    is_conflict(store.put(changed.clone(), Expect::Is(second)).await, None);
    assert!(store.put(changed, Expect::Absent).await.is_ok());
}

pub(in crate::store) async fn a_write_that_is_sent_again_changes_nothing_and_is_no_conflict(store: &dyn Store) {
    let made = AppRecord { entry: Some("made".to_owned()), ..app(shop()) };
    let first = store.put(made.clone(), Expect::Absent).await.unwrap();
    assert_eq!(store.put(made.clone(), Expect::Absent).await.unwrap(), first);
    let changed = AppRecord { lanes: 5, ..made.clone() };
    let second = store.put(changed.clone(), Expect::Is(first)).await.unwrap();
    for expect in [Expect::Is(first), Expect::Absent, Expect::Any] {
        assert_eq!(store.put(changed.clone(), expect).await.unwrap(), second, "{expect:?}");
    }
    assert_eq!(store.changes(Revision::NONE, 10).await.unwrap().revision, second);
    is_conflict(store.put(made, Expect::Is(first)).await, Some(second));
}

pub(in crate::store) async fn of_two_who_create_an_app_at_once_one_does(store: &dyn Store) {
    let create = |lanes: u16| store.put(AppRecord { lanes, ..app(shop()) }, Expect::Absent);
    let created = tokio::join!(create(1), create(2), create(3));
    let created = [created.0, created.1, created.2];
    let made: Vec<Revision> = created.iter().filter_map(|created| created.as_ref().ok()).copied().collect();
    assert_eq!(made.len(), 1, "{created:?}");
    for refused in created.into_iter().filter(Result::is_err) {
        is_conflict(refused, Some(made[0]));
    }
}

pub(in crate::store) async fn the_changes_since_a_revision_name_each_app_once_as_it_is_now(store: &dyn Store) {
    let third = key("com.example.third", Environment::Sandbox);
    let all = async |since| store.changes(since, 10).await.unwrap();
    let since = put(store, app(chat())).await.revision;
    put(store, app(shop())).await;
    put(store, app(third.clone())).await;
    store.delete(third.clone(), Expect::Any).await.unwrap();
    let kept = put(store, AppRecord { lanes: 9, ..app(shop()) }).await;
    let changes = all(since).await;
    assert_eq!((changes.changed, changes.removed), (vec![kept.clone()], vec![third.clone()]));
    assert_eq!(changes.revision, kept.revision);
    assert!(all(changes.revision).await.is_empty());

    let whole = all(Revision::NONE).await;
    assert_eq!(whole.changed.iter().map(|app| &app.key).collect::<Vec<_>>(), [&chat(), &shop()]);
    let back = put(store, app(third)).await;
    let changes = all(kept.revision).await;
    assert_eq!((changes.changed, changes.removed), (vec![back.clone()], vec![]));
    let ahead = all(Revision::stored(back.revision.number() + 1)).await;
    assert!(ahead.is_empty() && ahead.revision == back.revision, "a reader that knows more sees it: {ahead:?}");
}

pub(in crate::store) async fn pages_of_changes_follow_each_other_without_gap_or_repetition(store: &dyn Store) {
    let keys: Vec<AppKey> = (0..7).map(|number| key(&format!("app-{number}"), Environment::Sandbox)).collect();
    for key in &keys {
        put(store, app(key.clone())).await;
    }
    store.delete(keys[3].clone(), Expect::Any).await.unwrap();
    put(store, AppRecord { lanes: 9, ..app(keys[0].clone()) }).await;
    for limit in [1, 2, 3, 7, 8] {
        let (mut since, mut seen) = (Revision::NONE, Vec::new());
        loop {
            let page = store.changes(since, limit).await.unwrap();
            assert!(page.len() <= limit && (page.is_empty() || page.revision > since), "{page:?}");
            since = page.revision;
            if page.is_empty() {
                break;
            }
            seen.extend(page.changed.into_iter().map(|app| app.key).chain(page.removed));
        }
        let expected = [1, 2, 4, 5, 6, 3, 0].map(|number: usize| keys[number].clone());
        if limit == 1 {
            assert_eq!(seen, expected, "those that changed first come first");
        }
        let sorted = |keys: &[AppKey]| keys.iter().cloned().collect::<std::collections::BTreeSet<_>>();
        assert_eq!((seen.len(), sorted(&seen)), (expected.len(), sorted(&expected)), "{limit}");
    }
}

pub(in crate::store) async fn the_changes_of_a_store_tell_its_epoch(store: &dyn Store) {
    store.note(vec![dead(shop(), "aa", 1.0)], vec![]).await.unwrap();
    put(store, app(shop())).await;
    let epoch = store.changes(Revision::NONE, 10).await.unwrap().epoch;
    let cursor = store.feedback(shop(), Cursor::START, 1).await.unwrap().cursor;
    assert_eq!(epoch.cursor(1).to_string().split('-').next(), cursor.to_string().split('-').next());
    assert_ne!(epoch, Memory::new().changes(Revision::NONE, 10).await.unwrap().epoch);
}

pub(in crate::store) async fn the_newest_removals_are_kept_and_a_reader_sees_that_older_ones_are_forgotten(
    store: &dyn Store,
) {
    let kept = put(store, app(shop())).await;
    let removed = |number: usize| key(&format!("app-{number}"), Environment::Sandbox);
    for number in 0..2 * REMOVED_MAX {
        put(store, AppRecord { entry: Some("made".to_owned()), ..app(removed(number)) }).await;
        if number % 2 == 0 {
            store.delete(removed(number), Expect::Any).await.unwrap();
        } else {
            assert!(store.delete_entry(removed(number)).await.unwrap());
        }
    }
    let changes = store.changes(Revision::NONE, usize::MAX).await.unwrap();
    assert_eq!(changes.changed, std::slice::from_ref(&kept));
    let count = changes.removed.len();
    assert!((REMOVED_MAX..=REMOVED_MAX + REMOVED_MAX / 10).contains(&count), "{count}");
    assert!((2 * REMOVED_MAX - count..2 * REMOVED_MAX).map(removed).eq(changes.removed), "the newest, in their order");
    assert!(kept.revision < changes.forgotten && changes.forgotten < changes.revision);
    let known = store.changes(changes.forgotten, usize::MAX).await.unwrap();
    assert_eq!(known.len(), count, "all that is not forgotten follows");
    let again = put(store, app(removed(2 * REMOVED_MAX - 1))).await;
    let changes = store.changes(Revision::NONE, usize::MAX).await.unwrap();
    assert_eq!(
        (changes.changed, changes.removed.len()),
        (vec![kept, again], count - 1),
        "it is no removed app any more"
    );
}
