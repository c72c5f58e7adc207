//! The promises of every store about positions and cursors, in both lists.

use super::*;

pub(in crate::store) async fn an_acknowledgement_touches_one_list_of_one_app(store: &dyn Store) {
    for key in [shop(), chat()] {
        store.note(vec![dead(key.clone(), "aa", 1.0)], vec![failure(key, 1)]).await.unwrap();
    }
    let log = store.disconnections(chat(), Cursor::START, 10).await.unwrap().cursor;
    let feedback = store.feedback(chat(), Cursor::START, 10).await.unwrap().cursor;
    assert_eq!(store.acknowledge_disconnections(shop(), log).await.unwrap(), 1);
    assert_eq!(store.acknowledge_disconnections(shop(), log).await.unwrap(), 0);
    assert_eq!(store.acknowledge_feedback(chat(), feedback).await.unwrap(), 1);
    assert_eq!(store.counts(shop()).await.unwrap(), Counts { feedback: 1, held: 0, disconnections: 0 });
    assert_eq!(store.counts(chat()).await.unwrap(), Counts { feedback: 0, held: 0, disconnections: 1 });
}

pub(in crate::store) async fn a_position_is_never_assigned_twice(store: &dyn Store) {
    store.note(vec![dead(shop(), "aa", 1.0)], vec![failure(shop(), 1)]).await.unwrap();
    let feedback = store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor;
    let log = store.disconnections(shop(), Cursor::START, 10).await.unwrap().cursor;
    store.acknowledge_feedback(shop(), feedback).await.unwrap();
    store.acknowledge_disconnections(shop(), log).await.unwrap();
    store.note(vec![dead(shop(), "bb", 1.0)], vec![failure(shop(), 2)]).await.unwrap();
    assert_eq!(store.acknowledge_feedback(shop(), feedback).await.unwrap(), 0);
    assert_eq!(store.acknowledge_disconnections(shop(), log).await.unwrap(), 0);
    assert_eq!(tokens(store, shop()).await, ["bb"]);
    assert_eq!(numbers(store, shop()).await, [2]);
}

/// Records a dead token and a disconnection, and returns the cursors after them.
async fn one_each(store: &dyn Store) -> [Cursor; 2] {
    store.note(vec![dead(shop(), "aa", 1.0)], vec![failure(shop(), 1)]).await.unwrap();
    let feedback = store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor;
    [feedback, store.disconnections(shop(), Cursor::START, 10).await.unwrap().cursor]
}

pub(in crate::store) async fn a_cursor_stays_valid_after_everything_is_acknowledged(store: &dyn Store) {
    let [feedback, log] = one_each(store).await;
    for removed in [1, 0] {
        assert_eq!(store.acknowledge_feedback(shop(), feedback).await.unwrap(), removed);
        assert_eq!(store.acknowledge_disconnections(shop(), log).await.unwrap(), removed);
    }
    assert_eq!(store.feedback(shop(), feedback, 10).await.unwrap().cursor, feedback);
    assert_eq!(store.disconnections(shop(), log, 10).await.unwrap().cursor, log);
}

/// Asserts that each of the four operations with a cursor refuses it, and that no entry is deleted.
async fn refuses(store: &dyn Store, [feedback, log]: [Cursor; 2]) {
    let before = store.counts(shop()).await.unwrap();
    let refused = [
        store.feedback(shop(), feedback, 10).await.map(drop),
        store.disconnections(shop(), log, 10).await.map(drop),
        store.acknowledge_feedback(shop(), feedback).await.map(drop),
        store.acknowledge_disconnections(shop(), log).await.map(drop),
    ];
    for (at, refused) in refused.into_iter().enumerate() {
        assert!(matches!(refused, Err(StoreError::ForeignCursor)), "{at}: {refused:?}");
    }
    assert_eq!(store.counts(shop()).await.unwrap(), before);
}

pub(in crate::store) async fn a_cursor_of_another_store_is_refused_at_every_position(store: &dyn Store) {
    let another = Memory::new();
    refuses(store, one_each(&another).await).await;
    let nothing = another.feedback(chat(), Cursor::START, 1).await.unwrap().cursor;
    refuses(store, [nothing; 2]).await;
    for _ in 0..3 {
        one_each(store).await;
    }
    refuses(store, one_each(&another).await).await;
    refuses(store, [Epoch::FIRST.cursor(1); 2]).await;
}

pub(in crate::store) async fn a_cursor_after_the_newest_entry_is_refused(store: &dyn Store) {
    let cursors = one_each(store).await;
    let later = cursors.map(|cursor| {
        let text = cursor.to_string();
        let (epoch, _) = text.split_once('-').unwrap();
        Cursor::parse(&format!("{epoch}-{}", i64::MAX)).unwrap()
    });
    refuses(store, later).await;
}

pub(in crate::store) async fn the_start_and_the_cursor_of_an_empty_page_are_accepted_everywhere(store: &dyn Store) {
    let empty = store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor;
    one_each(store).await;
    for start in [Cursor::START, empty] {
        assert_eq!(store.feedback(shop(), start, 10).await.unwrap().entries.len(), 1);
        assert_eq!(store.disconnections(shop(), start, 10).await.unwrap().entries.len(), 1);
        assert_eq!(store.acknowledge_feedback(shop(), start).await.unwrap(), 0);
        assert_eq!(store.acknowledge_disconnections(shop(), start).await.unwrap(), 0);
    }
}
