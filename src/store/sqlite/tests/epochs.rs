//! Tests that a copied or restored store gets a new epoch, which refuses older cursors, and that other openings keep
//! it.

use super::*;
use std::fs;
use std::path::PathBuf;

fn file(directory: &Path) -> PathBuf {
    directory.join("pyapns.db")
}

/// Opens the store, adds a dead token, and returns the cursor after it.
async fn note(directory: &Path, token: &str) -> Cursor {
    let store = Sqlite::open(directory).unwrap();
    store.note(vec![dead(shop(), token, 1.0)], vec![]).await.unwrap();
    store.feedback(shop(), Cursor::START, 10).await.unwrap().cursor
}

async fn takes(directory: &Path, cursor: Cursor) -> bool {
    let store = Sqlite::open(directory).unwrap();
    match store.feedback(shop(), cursor, 10).await {
        Ok(_) => true,
        Err(StoreError::ForeignCursor) => false,
        Err(error) => panic!("{error}"),
    }
}

/// A store of 0.6.0 with entries at positions 1 and 2.
fn older(directory: &Path) {
    let older = rusqlite::Connection::open(file(directory)).unwrap();
    older.pragma_update(None, "journal_mode", "WAL").unwrap();
    schema::STEPS[..4].iter().for_each(|sql| older.execute_batch(sql).unwrap());
    older.pragma_update(None, "user_version", 4).unwrap();
    for token in ["aa", "bb"] {
        let sql = "INSERT INTO feedback (app_id, environment, token, reason, timestamp) VALUES (?1, ?2, ?3, 'x', 1.0)";
        older.execute(sql, [shop().id.as_str(), shop().environment.as_str(), token]).unwrap();
    }
}

#[tokio::test]
async fn cursors_of_a_store_of_0_6_0_work_after_the_upgrade() {
    let directory = tempfile::tempdir().unwrap();
    older(directory.path());
    let store = Sqlite::open(directory.path()).unwrap();
    let page = store.feedback(shop(), Cursor::parse("1").unwrap(), 10).await.unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.token.as_str()).collect::<Vec<_>>(), ["bb"]);
    assert_eq!(page.cursor, Cursor::parse("2").unwrap());
    assert_eq!(page.cursor.to_string(), "0-2");
    assert!(matches!(store.feedback(shop(), Cursor::parse("3").unwrap(), 10).await, Err(StoreError::ForeignCursor)));
    drop(store);
    assert!(takes(directory.path(), page.cursor).await, "and after a restart");

    let copy = tempfile::tempdir().unwrap();
    fs::copy(file(directory.path()), file(copy.path())).unwrap();
    assert!(!takes(copy.path(), page.cursor).await, "but not in a copy of the upgraded store");
}

#[tokio::test]
async fn two_new_stores_refuse_each_others_cursors() {
    let [one, two] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let cursors = [note(one.path(), "aa").await, note(two.path(), "aa").await];
    assert!(takes(one.path(), cursors[0]).await && takes(two.path(), cursors[1]).await);
    assert!(!takes(one.path(), cursors[1]).await && !takes(two.path(), cursors[0]).await);
}

#[tokio::test]
async fn a_store_that_is_moved_within_a_file_system_keeps_its_epoch() {
    let parent = tempfile::tempdir().unwrap();
    let [here, there] = ["here", "there"].map(|name| parent.path().join(name));
    let cursor = note(&here, "aa").await;
    fs::rename(&here, &there).unwrap();
    assert!(takes(&there, cursor).await);
    fs::rename(file(&there), there.join("other")).unwrap();
    fs::rename(there.join("other"), file(&there)).unwrap();
    assert!(takes(&there, cursor).await);
}

#[tokio::test]
async fn a_copy_of_the_files_begins_an_epoch_and_the_original_keeps_its_own() {
    let [original, copy] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let before = note(original.path(), "aa").await;
    // Keeps times, modes and owners, as an administrator does.
    let copied = Command::new("cp").arg("-a").arg(original.path().join(".")).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    let theirs = note(copy.path(), "bb").await;
    assert!(!takes(copy.path(), before).await && takes(copy.path(), theirs).await);
    assert!(takes(original.path(), before).await && !takes(original.path(), theirs).await);
    assert!(takes(copy.path(), theirs).await, "once, not at every start");
}

#[tokio::test]
async fn a_copy_with_the_inode_number_of_the_original_begins_an_epoch() {
    let directory = tempfile::tempdir().unwrap();
    note(directory.path(), "aa").await;
    let copy = directory.path().join("copy");
    fs::copy(file(directory.path()), &copy).unwrap();
    let late = note(directory.path(), "bb").await;
    // The inode number is free again, and is usually the next to be assigned.
    fs::remove_file(file(directory.path())).unwrap();
    fs::copy(&copy, file(directory.path())).unwrap();
    for token in ["cc", "dd"] {
        note(directory.path(), token).await;
    }
    assert!(!takes(directory.path(), late).await);
}

#[tokio::test]
async fn a_copy_is_detected_by_its_device_its_inode_or_its_creation_time_alone() {
    for (column, value) in [("device", 1), ("inode", 1), ("made", 1)] {
        let directory = tempfile::tempdir().unwrap();
        let cursor = note(directory.path(), "aa").await;
        let other = rusqlite::Connection::open(file(directory.path())).unwrap();
        let known: bool =
            other.query_row(&format!("SELECT {column} IS NOT NULL FROM identity"), [], |row| row.get(0)).unwrap();
        other.execute(&format!("UPDATE identity SET {column} = ?1"), [value]).unwrap();
        drop(other);
        if known {
            assert!(!takes(directory.path(), cursor).await, "{column}");
        } else {
            assert_eq!(column, "made", "only some file systems tell when a file was made");
        }
    }
}
