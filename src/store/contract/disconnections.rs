//! The promises of every store about the disconnection log.

use super::*;

pub(in crate::store) async fn pages_follow_each_other_without_gap_or_repetition(store: &dyn Store) {
    let failures = (0..5).flat_map(|number| [failure(shop(), number), failure(chat(), number)]).collect();
    store.note(vec![], failures).await.unwrap();
    let mut after = store.feedback(shop(), Cursor::START, 2).await.unwrap().cursor;
    for expected in [&[0, 1][..], &[2, 3], &[4], &[]] {
        let page = store.disconnections(shop(), after, 2).await.unwrap();
        let numbers: Vec<u32> = page.entries.iter().map(|entry| entry.internal_identifier).collect();
        assert_eq!(numbers, expected);
        assert_eq!(page.cursor != after, !expected.is_empty());
        after = page.cursor;
    }
    let empty = store.disconnections(shop(), after, 2).await.unwrap();
    assert_eq!((empty.entries.len(), empty.cursor), (0, after));
}

pub(in crate::store) async fn the_newest_five_thousand_disconnections_are_kept(store: &dyn Store) {
    let kept = DISCONNECTIONS_MAX as u32;
    store.note(vec![], vec![failure(chat(), 0)]).await.unwrap();
    store.note(vec![], (0..kept).map(|number| failure(shop(), number)).collect()).await.unwrap();
    assert_eq!(store.counts(shop()).await.unwrap().disconnections, u64::from(kept));
    store.note(vec![], vec![failure(shop(), kept), failure(chat(), 1), failure(shop(), kept + 1)]).await.unwrap();
    assert_eq!(numbers(store, shop()).await, (2..kept + 2).collect::<Vec<_>>());
    assert_eq!(numbers(store, chat()).await, [0, 1]);
}

pub(in crate::store) async fn a_disconnection_is_read_with_all_its_fields(store: &dyn Store) {
    let bare = Disconnection {
        offending_notification: None,
        status: None,
        apns_id: None,
        code: 255,
        internal_identifier: u32::MAX,
        affected: u32::MAX,
        ..failure(shop(), 0)
    };
    let entries = vec![failure(shop(), 7), bare];
    store.note(vec![], entries.clone()).await.unwrap();
    assert_eq!(store.disconnections(shop(), Cursor::START, 10).await.unwrap().entries, entries);
}
