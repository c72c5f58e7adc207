//! Revisions over restarts, restored backups and older schemas.

use super::super::backup::backup;
use super::*;

async fn changes(store: &Sqlite) -> Vec<AppRecord> {
    store.changes(Revision::NONE, 10).await.unwrap().changed
}

#[tokio::test]
async fn revisions_last_over_a_restart_and_go_on_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path()).unwrap();
    let first = contract::put(&store, app(shop())).await;
    let gone = store.delete(shop(), Expect::Any).await.unwrap().unwrap();
    drop(store);
    let store = Sqlite::open(directory.path()).unwrap();
    let found = store.changes(Revision::NONE, 10).await.unwrap();
    assert_eq!((found.revision, found.removed), (gone, vec![shop()]));
    let again = contract::put(&store, app(shop())).await;
    assert!(again.revision > gone && gone > first.revision);
    assert_eq!(changes(&store).await, [again]);
}

#[tokio::test]
async fn a_restored_store_gives_no_revision_again_that_was_given_after_the_backup() {
    let [data, backups] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let to = backups.path().join("copy.db");
    let store = Sqlite::open(data.path()).unwrap();
    let kept = contract::put(&store, app(shop())).await;
    backup(data.path(), &to).unwrap();
    let lost = contract::put(&store, AppRecord { lanes: 9, ..app(shop()) }).await;
    drop(store);
    std::fs::copy(&to, data.path().join("pyapns.db")).unwrap();
    for round in 0..2 {
        let store = Sqlite::open(data.path()).unwrap();
        let newest = store.changes(Revision::NONE, 10).await.unwrap().revision;
        assert!(newest > lost.revision, "{round}: {newest} after {}", lost.revision);
        let stored = changes(&store).await;
        if round == 0 {
            assert_eq!(stored.as_slice(), std::slice::from_ref(&kept), "what was kept keeps its revision");
        }
        let refused = store.put(AppRecord { lanes: 7, ..app(shop()) }, Expect::Is(lost.revision)).await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
        assert!(contract::put(&store, AppRecord { lanes: 5 + round, ..app(shop()) }).await.revision > newest);
    }
}

/// As a node of schema 5 left it, with two apps.
fn older(directory: &Path) {
    let older = rusqlite::Connection::open(directory.join("pyapns.db")).unwrap();
    older.pragma_update(None, "journal_mode", "WAL").unwrap();
    schema::STEPS[..5].iter().for_each(|sql| older.execute_batch(sql).unwrap());
    older.pragma_update(None, "user_version", 5).unwrap();
    for environment in ["sandbox", "production"] {
        let sql =
            "INSERT INTO apps (app_id, environment, credential, timeout_seconds, lanes) VALUES (?1, ?2, x'00', 15, 1)";
        older.execute(sql, [shop().id.as_str(), environment]).unwrap();
    }
}

#[tokio::test]
async fn apps_of_an_older_schema_get_revisions_and_are_read_without_any_beside_a_node_that_has_none() {
    let directory = tempfile::tempdir().unwrap();
    older(directory.path());
    let beside = read_beside(directory.path()).unwrap().apps;
    assert!(beside.len() == 2 && beside.iter().all(|app| app.revision == Revision::NONE), "{beside:?}");

    let store = Sqlite::open(directory.path()).unwrap();
    let found = store.changes(Revision::NONE, 10).await.unwrap();
    assert_eq!(found.changed.len(), 2);
    assert!(found.changed[0].revision > Revision::NONE && found.changed[1].revision > found.changed[0].revision);
    assert_eq!(found.revision, found.changed[1].revision);
    assert!(contract::put(&store, app(shop())).await.revision > found.revision);
}

#[test]
fn changes_are_read_along_the_index() {
    let directory = tempfile::tempdir().unwrap();
    drop(Sqlite::open(directory.path()).unwrap());
    let connection = rusqlite::Connection::open(directory.path().join("pyapns.db")).unwrap();
    let sql = format!("EXPLAIN QUERY PLAN {}", apps::CHANGES);
    let plan: Vec<String> = connection
        .prepare(&sql)
        .unwrap()
        .query_map(params![1, 1], |row| row.get(3))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(plan[0].contains("USING INTEGER PRIMARY KEY (rowid>?)"), "{plan:?}");
    assert!(plan[1].contains("SEARCH apps") && plan.len() == 2, "nothing is sorted: {plan:?}");
}
