//! The contract on SQLite, and the promises of a store on disk.

use super::super::DISCONNECTIONS_MAX;
use super::super::contract::{self, Note, app, dead, failure, shop};
use super::*;
use crate::model::{AppId, Environment};
use rusqlite::params;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

mod backups;
mod epochs;
mod revisions;
mod trouble;

contract::kept_by!(contract::UnderTest::sqlite());

/// The variable that passes a directory to the test that acts as the second process.
const CLAIMED: &str = "PYAPNS_TEST_CLAIMED_DIRECTORY";

#[tokio::test]
async fn stored_data_outlives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path()).unwrap();
    let kept = contract::put(&store, app(shop())).await;
    store.note(vec![dead(shop(), "aa", 1.5)], vec![failure(shop(), 7)]).await.unwrap();
    let read = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    drop(store);

    let store = Sqlite::open(directory.path()).unwrap();
    assert_eq!(store.list(None, 1_000).await.unwrap(), [kept]);
    assert_eq!(store.feedback(shop(), Cursor::START, 10).await.unwrap(), read);
    assert_eq!(store.disconnections(shop(), Cursor::START, 10).await.unwrap().entries, [failure(shop(), 7)]);
}

#[tokio::test]
async fn an_app_with_an_id_that_is_refused_today_is_read_like_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let old = AppKey::new(AppId::stored("..").unwrap(), Environment::Sandbox);
    let store = Sqlite::open(directory.path()).unwrap();
    let kept = [contract::put(&store, app(old.clone())).await, contract::put(&store, app(shop())).await];
    drop(store);

    let store = Sqlite::open(directory.path()).unwrap();
    assert_eq!(store.list(None, 1_000).await.unwrap(), kept);
    assert!(store.delete(old, Expect::Any).await.unwrap().is_some());
}

#[tokio::test]
async fn a_cursor_outlives_a_restart_even_after_everything_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path()).unwrap();
    store.note(vec![dead(shop(), "aa", 1.0)], vec![]).await.unwrap();
    let read = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    store.acknowledge_feedback(shop(), read.cursor).await.unwrap();
    drop(store);

    let store = Sqlite::open(directory.path()).unwrap();
    store.note(vec![dead(shop(), "bb", 1.0)], vec![]).await.unwrap();
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
    assert!(refused.contains("is in use by another pyapns process"), "{refused}");
    drop(store);
    assert!(second().status.success());
}

/// Does nothing unless the test above runs it in a separate process.
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
    assert!(refused.to_string().contains("newer pyapns (schema 99, this version supports 8)"), "{refused}");
    let version: i64 =
        rusqlite::Connection::open(&file).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[tokio::test]
async fn only_the_owner_may_read_the_stored_data() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    let store = Sqlite::open(&directory).unwrap();
    store.put(app(shop()), Expect::Any).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "lock, database, its log and its index: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn a_failed_write_does_not_undo_the_others_of_its_group() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path()).unwrap();
    // Blocks the writer until the others wait, so that they become one group.
    let (release, held) = std::sync::mpsc::channel();
    let hold = store.writer.write(Vec::new(), move |_| Ok::<_, StoreError>(held.recv().is_ok()));
    let good = store.note(vec![dead(shop(), "aa", 1.0)], vec![]);
    // SQLite stores NaN as NULL, which the table refuses.
    let bad = store.note(vec![dead(shop(), "bb", 1.0), dead(shop(), "cc", f64::NAN)], vec![failure(shop(), 1)]);
    let late = store.note(vec![dead(shop(), "dd", 1.0)], vec![]);
    let (_, good, bad, late, _) = tokio::join!(hold, good, bad, late, async { release.send(()) });
    assert!(good.is_ok() && late.is_ok());
    assert!(matches!(bad, Err(StoreError::Database(_))), "{bad:?}");
    let page = store.feedback(shop(), Cursor::START, 10).await.unwrap();
    assert_eq!(page.entries, [dead(shop(), "aa", 1.0), dead(shop(), "dd", 1.0)]);
    assert_eq!(store.counts(shop()).await.unwrap().disconnections, 0);
}

#[tokio::test]
async fn the_error_names_a_directory_that_cannot_be_created() {
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
    for table in ["feedback", "disconnection_blocks"] {
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE app_id = '' AND environment = '' AND position > 1 ORDER BY position LIMIT 1"
        );
        let plan: Vec<String> =
            connection.prepare(&sql).unwrap().query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        let along = format!("SEARCH {table} USING INDEX {table}_of_app (app_id=? AND environment=? AND position>?)");
        assert_eq!(plan, [along]);
    }
}

/// The files of a small store that was in use.
async fn used(directory: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let store = Sqlite::open(directory).unwrap();
    for number in 0..40 {
        let id = AppId::new(&format!("app-{number}")).unwrap();
        store.put(app(AppKey::new(id, Environment::Sandbox)), Expect::Any).await.unwrap();
        store.note(vec![dead(shop(), &format!("{number:064}"), 1.0)], vec![failure(shop(), number)]).await.unwrap();
    }
    drop(store);
    let store = Sqlite::open(directory).unwrap();
    store.note(vec![dead(shop(), "bb", 1.0)], vec![]).await.unwrap();
    // Its write-ahead log is not checkpointed, as if the process was killed.
    let files = ["pyapns.db", "pyapns.db-wal"].map(|name| (name.into(), std::fs::read(directory.join(name)).unwrap()));
    files.into()
}

/// Reads everything from a store with these files, or returns the error.
async fn read_all(files: &[(std::path::PathBuf, Vec<u8>)]) -> Result<usize, StoreError> {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    let store = Sqlite::open(directory.path())?;
    let apps = store.list(None, 1_000).await?.len();
    let feedback = store.feedback(shop(), Cursor::START, 1_000).await?.entries.len();
    Ok(apps + feedback + store.disconnections(shop(), Cursor::START, 1_000).await?.entries.len())
}

#[tokio::test]
async fn a_damaged_store_is_refused_with_a_sentence_or_read_and_never_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let files = used(directory.path()).await;
    let whole = read_all(&files).await.unwrap();
    assert_eq!(whole, 40 + 41 + 40);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut refused, mut shorter) = (0, 0);
    for round in 0..42 {
        let mut files = files.clone();
        let (_, bytes) = &mut files[round % 2];
        match round % 3 {
            0 => bytes.truncate(random.usize(..bytes.len())),
            1 => {
                let at = random.usize(..bytes.len());
                bytes[at] ^= 1 << random.u8(..8);
            }
            _ => {
                let at = random.usize(..bytes.len() / 512) * 512;
                bytes[at..at + 512].fill(random.u8(..));
            }
        }
        match read_all(&files).await {
            Ok(read) => shorter += usize::from(read < whole),
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("pyapns") || error.to_string().contains("store"), "{error}");
            }
        }
    }
    assert!(refused > 3, "{refused} were refused, {shorter} had lost something");
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_refused_with_a_remedy_and_stays_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let files = used(directory.path()).await;
    let mut cut = files[0].1.clone();
    cut.truncate(cut.len() / 2);
    for bytes in [vec![7; 4096], cut] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pyapns.db");
        std::fs::write(&file, &bytes).unwrap();
        let refused = Sqlite::open(directory.path()).unwrap_err();
        assert_eq!(refused.reason(), "store_damaged", "{refused}");
        assert!(
            refused.to_string().contains("from a backup") && refused.to_string().contains("pyapns.db"),
            "{refused}"
        );
        assert_eq!(std::fs::read(&file).unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_growing_log_is_also_trimmed_on_disk_but_not_at_every_write() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path()).unwrap();
    for round in 0..9 {
        store.note(vec![], (0..999).map(|number| failure(shop(), round * 999 + number)).collect()).await.unwrap();
    }
    let shown = store.disconnections(shop(), Cursor::START, 10_000).await.unwrap().entries;
    assert_eq!(shown.len(), DISCONNECTIONS_MAX);
    assert_eq!(shown.last(), Some(&failure(shop(), 9 * 999 - 1)));
    let kept = store.reader.read(|connection| {
        connection.query_row("SELECT SUM(entries) FROM disconnection_blocks", [], |row| row.get::<_, i64>(0))
    });
    assert!((DISCONNECTIONS_MAX..DISCONNECTIONS_MAX + 2_000).contains(&(kept.await.unwrap() as usize)));
    let all = store.disconnections(shop(), Cursor::START, 10_000).await.unwrap().cursor;
    assert_eq!(store.acknowledge_disconnections(shop(), all).await.unwrap(), DISCONNECTIONS_MAX as u64);
}

#[tokio::test]
async fn a_page_and_an_acknowledgement_may_end_in_the_middle_of_one_write() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path()).unwrap();
    let all: Vec<_> = (0..250).map(|number| failure(shop(), number)).collect();
    store.note(vec![], all.clone()).await.unwrap();

    let first = store.disconnections(shop(), Cursor::START, 130).await.unwrap();
    let rest = store.disconnections(shop(), first.cursor, 1_000).await.unwrap();
    assert_eq!([first.entries, rest.entries].concat(), all);
    assert_eq!(store.acknowledge_disconnections(shop(), first.cursor).await.unwrap(), 130);
    assert_eq!(store.acknowledge_disconnections(shop(), first.cursor).await.unwrap(), 0);
    assert_eq!(store.counts(shop()).await.unwrap().disconnections, 120);
    let left = store.disconnections(shop(), Cursor::START, 1_000).await.unwrap();
    assert_eq!((left.entries, left.cursor), (all[130..].to_vec(), rest.cursor));
}

#[tokio::test]
async fn a_log_of_an_older_version_keeps_its_positions() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pyapns.db");
    let older = rusqlite::Connection::open(&file).unwrap();
    for sql in &schema::STEPS[..3] {
        older.execute_batch(sql).unwrap();
    }
    older.pragma_update(None, "user_version", 3).unwrap();
    let nameless = |number| Disconnection { node: None, ..failure(shop(), number) };
    let entries = [nameless(1), Disconnection { status: None, apns_id: None, ..nameless(2) }];
    for (position, entry) in [(3, &entries[0]), (5, &entries[1]), (9, &entries[1])] {
        let sql = "INSERT INTO disconnections VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        let (id, environment) = (entry.app.id.as_str(), entry.app.environment.as_str());
        let Disconnection { code, internal_identifier, offending_notification, timestamp, verbose_message, .. } = entry;
        let (reason, status, apns_id, affected) = (&entry.reason, entry.status, &entry.apns_id, entry.affected);
        let values = params![
            position,
            id,
            environment,
            code,
            internal_identifier,
            offending_notification,
            timestamp,
            verbose_message,
            reason,
            status,
            apns_id,
            affected
        ];
        older.execute(sql, values).unwrap();
    }
    older.execute("DELETE FROM disconnections WHERE position = 9", []).unwrap();
    drop(older);

    let store = Sqlite::open(directory.path()).unwrap();
    let read = store.disconnections(shop(), Cursor::START, 10).await.unwrap();
    assert_eq!((&read.entries[..], read.cursor), (&entries[..], Epoch::FIRST.cursor(5)));
    store.note(vec![], vec![failure(shop(), 3)]).await.unwrap();
    let next = store.disconnections(shop(), read.cursor, 10).await.unwrap();
    assert_eq!(next.cursor, Epoch::FIRST.cursor(10), "what was deleted had position 9");
}
