//! The contract on SQLite, and what only a store on disk can show.

use super::super::contract::{self, app, dead, failure, shop};
use super::*;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

contract::kept_by!(contract::Opened::sqlite());

/// Names a directory to the test that plays the second process.
const CLAIMED: &str = "PYAPNS_TEST_CLAIMED_DIRECTORY";

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path()).unwrap();
    store.put(app(shop())).await.unwrap();
    store.record(vec![dead(shop(), "aa", 1.5)], vec![failure(shop(), 7)]).await.unwrap();
    let read = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    drop(store);

    let store = Sqlite::open(directory.path()).unwrap();
    assert_eq!(store.list().await.unwrap(), [app(shop())]);
    assert_eq!(store.feedback(shop(), Cursor::START, 10).await.unwrap(), read);
    assert_eq!(store.disconnections(shop(), Cursor::START, 10).await.unwrap().entries, [failure(shop(), 7)]);
}

#[tokio::test]
async fn a_cursor_outlives_a_restart_even_when_all_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path()).unwrap();
    store.record(vec![dead(shop(), "aa", 1.0)], vec![]).await.unwrap();
    let read = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    store.acknowledge_feedback(shop(), read.cursor).await.unwrap();
    drop(store);

    let store = Sqlite::open(directory.path()).unwrap();
    store.record(vec![dead(shop(), "bb", 1.0)], vec![]).await.unwrap();
    assert_eq!(store.feedback(shop(), read.cursor, 10).await.unwrap().entries, [dead(shop(), "bb", 1.0)]);
}

#[test]
fn a_second_process_on_the_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path()).unwrap();
    let second = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "store::sqlite::tests::play_the_second_process", "--nocapture"]);
        command.env(CLAIMED, directory.path()).output().unwrap()
    };
    let refused = String::from_utf8(second().stderr).unwrap();
    assert!(refused.contains("belongs to another pyapns that is running"), "{refused}");
    drop(store);
    assert!(second().status.success());
}

/// Does nothing unless the test above runs it as a process of its own.
#[test]
fn play_the_second_process() {
    let Some(directory) = std::env::var_os(CLAIMED) else { return };
    if let Err(refused) = Sqlite::open(Path::new(&directory)) {
        panic!("{refused}");
    }
}

#[test]
fn a_store_of_a_newer_version_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    drop(Sqlite::open(directory.path()).unwrap());
    let file = directory.path().join("pyapns.db");
    let newer = rusqlite::Connection::open(&file).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let refused = Sqlite::open(directory.path()).unwrap_err();
    assert!(refused.to_string().contains("newer pyapns (schema 99, this one knows 2)"), "{refused}");
    let version: i64 =
        rusqlite::Connection::open(&file).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[tokio::test]
async fn nobody_but_the_owner_may_read_what_is_stored() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    let store = Sqlite::open(&directory).unwrap();
    store.put(app(shop())).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "lock, database, its log and its index: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn a_write_that_fails_takes_nothing_of_its_group_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path()).unwrap();
    // The writer is held until the others wait behind it, so that they make one group.
    let (release, held) = std::sync::mpsc::channel();
    let hold = store.writer.write(Vec::new(), move |_| Ok(held.recv().is_ok()));
    let good = store.record(vec![dead(shop(), "aa", 1.0)], vec![]);
    // SQLite keeps NaN as NULL, which the table refuses.
    let bad = store.record(vec![dead(shop(), "bb", 1.0), dead(shop(), "cc", f64::NAN)], vec![failure(shop(), 1)]);
    let late = store.record(vec![dead(shop(), "dd", 1.0)], vec![]);
    let (_, good, bad, late, _) = tokio::join!(hold, good, bad, late, async { release.send(()) });
    assert!(good.is_ok() && late.is_ok());
    assert!(matches!(bad, Err(StoreError::Database(_))), "{bad:?}");
    let page = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    assert_eq!(page.entries, [dead(shop(), "aa", 1.0), dead(shop(), "dd", 1.0)]);
    assert_eq!(store.counts(shop()).await.unwrap().disconnections, 0);
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = Sqlite::open(&file.join("data")).unwrap_err();
    assert_eq!(refused.reason(), "data_directory_unusable");
    assert!(refused.to_string().contains("file/data"), "{refused}");
}

#[test]
fn pages_are_read_along_the_index() {
    let directory = tempfile::tempdir().unwrap();
    drop(Sqlite::open(directory.path()).unwrap());
    let connection = rusqlite::Connection::open(directory.path().join("pyapns.db")).unwrap();
    for table in ["feedback", "disconnections"] {
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE app_id = '' AND environment = '' AND position > 1 ORDER BY position LIMIT 1"
        );
        let plan: Vec<String> =
            connection.prepare(&sql).unwrap().query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        let along = format!("SEARCH {table} USING INDEX {table}_of_app (app_id=? AND environment=? AND position>?)");
        assert_eq!(plan, [along]);
    }
}
