//! The tables, their version, and how connections to them are set up.

use super::StoreError;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::path::Path;
use std::time::Duration;

/// One step per version: what leads from the schema before it to it. Steps are only ever added.
pub(super) const STEPS: [&str; 4] = [
    "
    CREATE TABLE apps (
        app_id           TEXT NOT NULL,
        environment      TEXT NOT NULL,
        credential       BLOB NOT NULL,
        certificate_path TEXT,
        topic            TEXT,
        timeout_seconds  INTEGER NOT NULL,
        lanes            INTEGER NOT NULL,
        PRIMARY KEY (app_id, environment)
    ) STRICT;

    -- AUTOINCREMENT: a position is never given twice, even if the newest entry was deleted.
    CREATE TABLE feedback (
        position    INTEGER PRIMARY KEY AUTOINCREMENT,
        app_id      TEXT NOT NULL,
        environment TEXT NOT NULL,
        token       TEXT NOT NULL,
        reason      TEXT NOT NULL,
        timestamp   REAL NOT NULL,
        UNIQUE (app_id, environment, token)
    ) STRICT;
    CREATE INDEX feedback_of_app ON feedback (app_id, environment, position);

    CREATE TABLE disconnections (
        position              INTEGER PRIMARY KEY AUTOINCREMENT,
        app_id                TEXT NOT NULL,
        environment           TEXT NOT NULL,
        code                  INTEGER NOT NULL,
        internal_identifier   INTEGER NOT NULL,
        offending_notification TEXT,
        timestamp             REAL NOT NULL,
        verbose_message       TEXT NOT NULL,
        reason                TEXT NOT NULL,
        status                INTEGER,
        apns_id               TEXT,
        affected              INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX disconnections_of_app ON disconnections (app_id, environment, position);
",
    "
    -- Who made an app: the fingerprint of an entry of the configuration; NULL = a caller of the API.
    ALTER TABLE apps ADD COLUMN entry TEXT;

    -- The entries that were carried out, whatever became of their apps since.
    CREATE TABLE entries (
        app_id      TEXT NOT NULL,
        environment TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        PRIMARY KEY (app_id, environment)
    ) STRICT;
",
    "
    -- Apps whose doubtful feedback is held back, and what is held.
    CREATE TABLE holds (
        app_id      TEXT NOT NULL,
        environment TEXT NOT NULL,
        since       REAL NOT NULL,
        why         TEXT NOT NULL,
        PRIMARY KEY (app_id, environment)
    ) STRICT;
    CREATE TABLE held_feedback (
        app_id      TEXT NOT NULL,
        environment TEXT NOT NULL,
        token       TEXT NOT NULL,
        reason      TEXT NOT NULL,
        timestamp   REAL NOT NULL,
        PRIMARY KEY (app_id, environment, token)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- The disconnection log in blocks: the position is that of a block's last entry, the log an array of JSON objects.
    -- The index tells how far the newest 5,000 entries reach without reading any.
    CREATE TABLE disconnection_blocks (
        position    INTEGER PRIMARY KEY AUTOINCREMENT,
        app_id      TEXT NOT NULL,
        environment TEXT NOT NULL,
        entries     INTEGER NOT NULL,
        log         TEXT NOT NULL
    ) STRICT;
    CREATE INDEX disconnection_blocks_of_app ON disconnection_blocks (app_id, environment, position, entries);
    INSERT INTO disconnection_blocks (position, app_id, environment, entries, log)
        SELECT position, app_id, environment, 1, json_array(json_object(
            'code', code, 'internal_identifier', internal_identifier,
            'offending_notification', offending_notification, 'timestamp', timestamp,
            'verbose_message', verbose_message, 'reason', reason, 'status', status,
            'apns_id', apns_id, 'affected', affected))
        FROM disconnections;
    DELETE FROM sqlite_sequence WHERE name = 'disconnection_blocks';
    INSERT INTO sqlite_sequence (name, seq)
        SELECT 'disconnection_blocks', seq FROM sqlite_sequence WHERE name = 'disconnections';
    DROP TABLE disconnections;
",
];

/// How long to wait for an operator who has the file open in another tool.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the database to write, and brings its schema up to date. WAL with synchronous=FULL: a commit is on disk.
/// A damaged file is refused: what is missing in it could not be told from what never was.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path).map_err(|error| StoreError::at(error, path))?;
    refuse_newer(&connection, path)?;
    refuse_damaged(&connection, path)?;
    prepare(connection).map_err(|error| StoreError::at(error, path))
}

fn prepare(mut connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What is deleted may be a private key.
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// Opens the database to read beside the writer.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// The same where the writer is another process, which may be of another version.
pub(super) fn open_to_read_alone(path: &Path) -> Result<Connection, StoreError> {
    let connection = open_to_read(path)?;
    refuse_newer(&connection, path)?;
    Ok(connection)
}

/// Moves the log of writes into the database and empties it. A reader that is in the way leaves that for later.
pub(super) fn empty_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn refuse_newer(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let found = version(connection).map_err(|error| StoreError::at(error, path))?;
    let known = STEPS.len() as i64;
    if found > known {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// Finds what does not hang together; a changed value inside a row does not show.
fn refuse_damaged(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| StoreError::at(error, path))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Damaged { path: path.to_owned(), what: found }) }
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = usize::try_from(version(&step)?).unwrap_or_default();
    for sql in STEPS.iter().skip(found) {
        step.execute_batch(sql)?;
    }
    step.pragma_update(None, "user_version", STEPS.len() as i64)?;
    step.commit()
}

/// Writes the version that is there already: a page goes to the disk, and nothing is changed.
pub(super) fn write_version(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "user_version", STEPS.len() as i64)
}
