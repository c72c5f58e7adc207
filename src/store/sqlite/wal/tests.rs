//! Compares our reading of damaged logs with SQLite's: both must use the same number of frames.

use super::*;
use rusqlite::Connection;
use std::path::Path;

/// A frame of a database with pages of 4,096 bytes.
const FRAME_BYTES: usize = FRAME_HEADER_BYTES + 4096;
const COMMITS: usize = 6;

/// A database with one row for each commit, all of them in the log.
fn written(folder: &Path) -> [Vec<u8>; 2] {
    let path = folder.join("written");
    let writer = Connection::open(&path).unwrap();
    writer.pragma_update(None, "journal_mode", "WAL").unwrap();
    writer.execute_batch("CREATE TABLE rows (number INTEGER PRIMARY KEY)").unwrap();
    writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    for number in 0..COMMITS {
        writer.execute("INSERT INTO rows VALUES (?1)", [number as i64]).unwrap();
    }
    ["written", "written-wal"].map(|name| std::fs::read(folder.join(name)).unwrap())
}

/// The rows that SQLite finds in a database with this log.
fn rows(folder: &Path, database: &[u8], log: &[u8]) -> u64 {
    std::fs::write(folder.join("judged"), database).unwrap();
    std::fs::write(folder.join("judged-wal"), log).unwrap();
    let judge = Connection::open(folder.join("judged")).unwrap();
    judge.query_row("SELECT COUNT(*) FROM rows", [], |row| row.get::<_, i64>(0)).unwrap() as u64
}

#[test]
fn a_log_is_used_as_far_as_sqlite_uses_it_after_any_flipped_bit() {
    let folder = tempfile::tempdir().unwrap();
    let [database, log] = written(folder.path());
    assert_eq!(log.len(), HEADER_BYTES + COMMITS * FRAME_BYTES, "each commit is one frame");
    let whole = examine(&log[..]).unwrap();
    assert_eq!(whole, Examined { used: COMMITS as u64, tail: Tail::Sound });
    assert_eq!(rows(folder.path(), &database, &log), COMMITS as u64);

    let frames = (0..COMMITS).flat_map(|frame| [0, 4, 8, 12, 16, 20, 24, 4000].map(|byte| (frame, byte)));
    for (frame, byte) in frames {
        let mut log = log.clone();
        log[HEADER_BYTES + frame * FRAME_BYTES + byte] ^= 0x10;
        let examined = examine(&log[..]).unwrap();
        assert_eq!(rows(folder.path(), &database, &log), examined.used, "byte {byte} of frame {frame}");
        let dropped = (COMMITS - frame) as u64;
        assert_eq!(examined.used, frame as u64, "byte {byte} of frame {frame}");
        assert_eq!(examined.tail, Tail::Dropped { frames: dropped, commits: dropped }, "byte {byte} of frame {frame}");
    }
}

#[test]
fn a_log_with_a_damaged_header_is_dropped_completely() {
    let folder = tempfile::tempdir().unwrap();
    let [database, log] = written(folder.path());
    for byte in [0, 3, 8, 11, 16, 20, 24, 28] {
        let mut log = log.clone();
        log[byte] ^= 0x04;
        let examined = examine(&log[..]).unwrap();
        assert_eq!((examined.used, rows(folder.path(), &database, &log)), (0, 0), "byte {byte}");
        assert!(matches!(examined.tail, Tail::Dropped { commits: 1.., .. }), "byte {byte}: {examined:?}");
    }
}

#[test]
fn a_log_that_ends_in_the_middle_of_a_write_counts_as_cut_off_without_dropped_commits() {
    let folder = tempfile::tempdir().unwrap();
    let [database, log] = written(folder.path());
    for left in [1, 20, 24, 1000] {
        let log = &log[..HEADER_BYTES + 3 * FRAME_BYTES + left];
        assert_eq!(examine(log).unwrap(), Examined { used: 3, tail: Tail::CutOff }, "{left}");
        assert_eq!(rows(folder.path(), &database, log), 3);
    }
    let mut zeros = log[..HEADER_BYTES + 3 * FRAME_BYTES].to_vec();
    zeros.resize(log.len(), 0);
    assert_eq!(examine(&zeros[..]).unwrap(), Examined { used: 3, tail: Tail::CutOff });
    for whole in [0, 10, HEADER_BYTES, HEADER_BYTES + FRAME_BYTES] {
        assert_eq!(examine(&log[..whole]).unwrap().tail, Tail::Sound, "{whole} bytes");
    }
}

#[test]
fn frames_from_before_a_restart_of_the_log_are_not_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("again");
    let writer = Connection::open(&path).unwrap();
    writer.pragma_update(None, "journal_mode", "WAL").unwrap();
    writer.execute_batch("CREATE TABLE rows (number INTEGER PRIMARY KEY)").unwrap();
    for number in 0..10 {
        writer.execute("INSERT INTO rows VALUES (?1)", [number as i64]).unwrap();
    }
    writer.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
    let before = std::fs::metadata(folder.path().join("again-wal")).unwrap().len();
    writer.execute("INSERT INTO rows VALUES (10)", []).unwrap();
    let log = std::fs::read(folder.path().join("again-wal")).unwrap();
    assert_eq!(log.len() as u64, before, "the new frame precedes the old ones");
    assert_eq!(examine(&log[..]).unwrap(), Examined { used: 1, tail: Tail::Sound });
}

#[test]
fn arbitrary_bytes_are_read_to_their_end_without_a_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    for length in [31, 32, 33, 56, 600, 5000, 70_000] {
        let bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        assert_eq!(examine(&bytes[..]).unwrap().used, 0, "{length}");
    }
}
