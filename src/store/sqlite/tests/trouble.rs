//! A data directory that goes away, and a log of writes that is damaged.

use super::*;
use std::fs;

#[tokio::test]
async fn nothing_is_written_to_a_store_that_is_not_where_it_was_until_it_is_back() {
    let parent = tempfile::tempdir().unwrap();
    let [data, elsewhere] = ["data", "elsewhere"].map(|name| parent.path().join(name));
    let store = Sqlite::open(&data).unwrap();
    store.note(vec![dead(shop(), "aa", 1.0)], vec![]).await.unwrap();
    store.look().await.unwrap();
    fs::rename(&data, &elsewhere).unwrap();
    let moved = |error: StoreError| assert_eq!(error.reason(), "data_directory_moved", "{error}");
    moved(store.look().await.unwrap_err());
    moved(store.put(app(shop()), Expect::Any).await.unwrap_err());
    moved(store.note(vec![dead(shop(), "bb", 1.0)], vec![]).await.unwrap_err());
    moved(store.try_writing().await.unwrap_err());
    assert_eq!(store.counts(shop()).await.unwrap().feedback, 1, "what can be read is read");

    // Another in its place is not it.
    let another = Sqlite::open(&data).unwrap();
    another.note(vec![dead(shop(), "cc", 1.0)], vec![]).await.unwrap();
    moved(store.put(app(shop()), Expect::Any).await.unwrap_err());
    let log = fs::metadata(data.join("pyapns.db-wal")).unwrap().len();
    assert!(log > 0);
    drop(store);
    assert_eq!(fs::metadata(data.join("pyapns.db-wal")).unwrap().len(), log, "the other's log is left alone");
    drop(another);

    let store = Sqlite::open(&elsewhere).unwrap();
    fs::rename(&data, parent.path().join("third")).unwrap();
    fs::rename(&elsewhere, &data).unwrap();
    moved(store.put(app(shop()), Expect::Any).await.unwrap_err());
    fs::rename(&data, &elsewhere).unwrap();
    store.put(app(shop()), Expect::Any).await.unwrap();
    store.look().await.unwrap();
}

#[tokio::test]
async fn what_is_provisioned_stands_in_the_file_itself() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path()).unwrap();
    let seen = async |count: usize| {
        let copy = tempfile::tempdir().unwrap();
        fs::copy(directory.path().join("pyapns.db"), copy.path().join("pyapns.db")).unwrap();
        let copy = Sqlite::open(copy.path()).unwrap();
        assert_eq!(copy.list(None, 10).await.unwrap().len(), count);
    };
    store.put(app(shop()), Expect::Any).await.unwrap();
    seen(1).await;
    store.delete(shop(), Expect::Any).await.unwrap();
    seen(0).await;
    assert_eq!(fs::metadata(directory.path().join("pyapns.db-wal")).unwrap().len(), 0);
}

#[tokio::test]
async fn who_reads_beside_it_holds_up_no_provisioning() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path()).unwrap();
    let mut reader = rusqlite::Connection::open(directory.path().join("pyapns.db")).unwrap();
    let reading = reader.transaction().unwrap();
    reading.query_row("SELECT COUNT(*) FROM apps", [], |_| Ok(())).unwrap();
    let began = std::time::Instant::now();
    let kept = contract::put(&store, app(shop())).await;
    assert!(began.elapsed() < opening::BUSY_TIMEOUT, "it did not wait for the reader");
    assert_eq!(store.list(None, 10).await.unwrap(), [kept]);
}

#[tokio::test]
async fn a_damaged_log_is_told_at_start_with_what_was_lost() {
    let directory = tempfile::tempdir().unwrap();
    let files = used(directory.path()).await;
    let told = |turned: Option<usize>, cut: usize| {
        let copy = tempfile::tempdir().unwrap();
        for (name, bytes) in &files {
            fs::write(copy.path().join(name), bytes).unwrap();
        }
        let log = copy.path().join("pyapns.db-wal");
        let mut bytes = fs::read(&log).unwrap();
        bytes.truncate(bytes.len() - cut);
        if let Some(at) = turned {
            bytes[at] ^= 1;
        }
        fs::write(&log, bytes).unwrap();
        Sqlite::open(copy.path()).unwrap().notices().to_vec()
    };
    assert_eq!(told(None, 0), Vec::<String>::new());
    let damaged = &told(Some(32 + 24 + 7), 0)[0];
    assert!(
        damaged.contains("damaged behind its first 0 frames") && damaged.contains("are lost (1 commits"),
        "{damaged}"
    );
    let cut = &told(None, 100)[0];
    assert!(cut.contains("ends in the middle of a write"), "{cut}");
}
