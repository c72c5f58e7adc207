//! `pyapns backup`'s copy, at the store.

use super::super::backup::{BackupError, backup};
use super::*;
use std::fs;
use std::path::PathBuf;

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// A store in use, and a folder for its backups.
async fn in_use() -> (Sqlite, tempfile::TempDir, tempfile::TempDir) {
    let [data, backups] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let store = Sqlite::open(data.path()).unwrap();
    store.put(app(shop()), Expect::Any).await.unwrap();
    store.note(vec![dead(shop(), "aa", 1.0)], vec![failure(shop(), 1)]).await.unwrap();
    (store, data, backups)
}

fn refused(data: &Path, to: PathBuf) -> (BackupError, String) {
    let refused = backup(data, &to).unwrap_err();
    let sentence = refused.to_string();
    (refused, sentence)
}

#[tokio::test]
async fn a_backup_of_a_store_in_use_is_one_whole_file_for_its_owner_only() {
    let (store, data, backups) = in_use().await;
    let to = backups.path().join("copy.db");
    let made = backup(data.path(), &to).unwrap();
    assert_eq!((made.apps, made.bytes), (1, fs::metadata(&to).unwrap().len()));
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(backups.path()), ["copy.db"], "nothing beside it");
    store.note(vec![dead(shop(), "bb", 1.0)], vec![]).await.unwrap();
    assert_eq!(store.counts(shop()).await.unwrap().feedback, 2, "the store goes on");

    let restored = tempfile::tempdir().unwrap();
    fs::copy(&to, restored.path().join("pyapns.db")).unwrap();
    let restored = Sqlite::open(restored.path()).unwrap();
    assert!(restored.list(None, 10).await.unwrap()[0].is_same(&app(shop())));
    assert_eq!(restored.counts(shop()).await.unwrap(), Counts { feedback: 1, held: 0, disconnections: 1 });
}

#[tokio::test]
async fn a_restored_backup_refuses_all_older_cursors_even_when_its_inode_is_the_same() {
    let (store, data, backups) = in_use().await;
    let before = store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor;
    let to = backups.path().join("copy.db");
    backup(data.path(), &to).unwrap();
    store.note(vec![dead(shop(), "bb", 1.0)], vec![]).await.unwrap();
    let late = store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor;
    drop(store);
    // In place, as `cat backup > pyapns.db` does.
    fs::write(data.path().join("pyapns.db"), fs::read(&to).unwrap()).unwrap();
    for round in 0..2 {
        let store = Sqlite::open(data.path()).unwrap();
        for cursor in [before, late] {
            let refused = store.acknowledge_feedback(shop(), cursor).await;
            assert!(matches!(refused, Err(StoreError::ForeignCursor)), "{refused:?}");
        }
        store.note(vec![dead(shop(), &format!("{round}"), 1.0)], vec![]).await.unwrap();
    }
    let store = Sqlite::open(data.path()).unwrap();
    let cursor = store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor;
    drop(store);
    let store = Sqlite::open(data.path()).unwrap();
    assert_eq!(store.acknowledge_feedback(shop(), cursor).await.unwrap(), 3, "the epoch is renewed once");
}

#[tokio::test]
async fn the_log_of_the_store_before_is_set_aside_when_a_backup_is_restored() {
    let (store, data, backups) = in_use().await;
    let to = backups.path().join("copy.db");
    backup(data.path(), &to).unwrap();
    store.note(vec![dead(shop(), "bb", 1.0)], vec![]).await.unwrap();
    // As after `kill -9`: the log has what the database's file lacks.
    let killed = tempfile::tempdir().unwrap();
    let log = fs::read(data.path().join("pyapns.db-wal")).unwrap();
    fs::write(killed.path().join("pyapns.db-wal"), &log).unwrap();
    fs::copy(&to, killed.path().join("pyapns.db")).unwrap();

    let restored = Sqlite::open(killed.path()).unwrap();
    assert!(restored.notices()[0].contains("pyapns.db-wal-before-restore"), "{:?}", restored.notices());
    assert_eq!(restored.counts(shop()).await.unwrap().feedback, 1, "as it was when the backup was made");
    assert_eq!(fs::read(killed.path().join("pyapns.db-wal-before-restore")).unwrap(), log);
}

#[tokio::test]
async fn a_store_of_0_6_0_is_copied_as_it_is() {
    let [data, backups] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let older = rusqlite::Connection::open(data.path().join("pyapns.db")).unwrap();
    schema::STEPS[..4].iter().for_each(|sql| older.execute_batch(sql).unwrap());
    older.pragma_update(None, "user_version", 4).unwrap();
    let to = backups.path().join("pyapns.db");
    backup(data.path(), &to).unwrap();
    let copy = rusqlite::Connection::open(&to).unwrap();
    assert_eq!(schema::version(&copy).unwrap(), 4, "0.6.0 can be started on it");
    drop(copy);
    let restored = Sqlite::open(backups.path()).unwrap();
    let old = restored.feedback(shop(), Cursor::parse("1").unwrap(), 1).await;
    assert!(matches!(old, Err(StoreError::ForeignCursor)), "{old:?}");
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_leaves_nothing_where_it_fails() {
    let (_store, data, backups) = in_use().await;
    let to = backups.path().join("copy.db");
    fs::write(&to, "precious").unwrap();
    let (error, sentence) = refused(data.path(), to.clone());
    assert!(matches!(error, BackupError::Exists { .. }) && sentence.contains("choose another name"), "{sentence}");
    assert_eq!(fs::read(&to).unwrap(), b"precious");
    std::os::unix::fs::symlink("nowhere", backups.path().join("link")).unwrap();
    assert!(matches!(refused(data.path(), backups.path().join("link")).0, BackupError::Exists { .. }));
    assert!(matches!(refused(data.path(), data.path().join("pyapns.db")).0, BackupError::Exists { .. }));

    let (error, sentence) = refused(data.path(), backups.path().join("missing/copy.db"));
    assert!(matches!(error, BackupError::Target { .. }) && sentence.contains("missing/copy.db"), "{sentence}");
    let (error, sentence) = refused(backups.path(), backups.path().join("other.db"));
    assert!(matches!(error, BackupError::NoStore { .. }) && sentence.contains("--data-dir"), "{sentence}");
    assert_eq!(names(backups.path()), ["copy.db", "link"]);
}

#[tokio::test]
async fn neither_a_newer_store_nor_a_damaged_one_is_backed_up() {
    let (store, data, backups) = in_use().await;
    drop(store);
    let file = data.path().join("pyapns.db");
    let newer = rusqlite::Connection::open(&file).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let (error, _) = refused(data.path(), backups.path().join("copy.db"));
    assert!(matches!(error, BackupError::Store(StoreError::NewerSchema { .. })), "{error}");

    let (store, data, _backups) = in_use().await;
    drop(store);
    let file = data.path().join("pyapns.db");
    let mut inside = fs::read(&file).unwrap();
    let middle = inside.len() / 2 / 4096 * 4096;
    inside[middle..middle + 4096].fill(7);
    fs::write(&file, inside).unwrap();
    let (error, _) = refused(data.path(), backups.path().join("copy.db"));
    assert!(matches!(error, BackupError::Store(StoreError::Damaged { .. })), "only a check finds it: {error}");

    fs::write(&file, vec![7; 8192]).unwrap();
    let (error, _) = refused(data.path(), backups.path().join("copy.db"));
    assert!(matches!(error, BackupError::Store(StoreError::Damaged { .. })), "{error}");
    assert_eq!(names(backups.path()), Vec::<String>::new());
}
