//! The tables and their version.

use super::StoreError;
use rusqlite::Connection;
use std::path::Path;

/// The migrations, one per version of the schema. Migrations are only added, never changed.
pub(super) const STEPS: [&str; 8] = [
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

    -- The applied entries, also of apps that were changed since.
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
    "
    -- Which run of positions this is, and the file that it was counted in; NULL = not recorded yet. A store of 0.6.0 has
    -- the first epoch, so that cursors its callers hold go on working.
    CREATE TABLE identity (
        one    INTEGER PRIMARY KEY CHECK (one = 1),
        epoch  INTEGER NOT NULL,
        device INTEGER,
        inode  INTEGER,
        made   INTEGER
    ) STRICT;
    INSERT INTO identity (one, epoch) VALUES (1, 0);
",
    "
    -- The newest change of each app, those that were removed included. The row's number is the revision of the change;
    -- AUTOINCREMENT: it is never given twice. An app carries its own revision.
    CREATE TABLE app_changes (
        revision    INTEGER PRIMARY KEY AUTOINCREMENT,
        app_id      TEXT NOT NULL,
        environment TEXT NOT NULL,
        UNIQUE (app_id, environment)
    ) STRICT;
    INSERT INTO sqlite_sequence (name, seq) VALUES ('app_changes', 0);
    INSERT INTO app_changes (app_id, environment) SELECT app_id, environment FROM apps;
    ALTER TABLE apps ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
    UPDATE apps SET revision = (SELECT revision FROM app_changes AS newest
        WHERE newest.app_id = apps.app_id AND newest.environment = apps.environment);
",
    "
    -- Facts about the database itself: `copy_of`, the epoch of the shared store that it is a node's copy of;
    -- `unfinished_copy`, the source of a copy that was begun and not finished; `forgotten_removal`, the newest revision of
    -- a removal that `app_changes` has no longer.
    CREATE TABLE meta (
        name  TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    -- In a node's copy of a shared store: events that wait for that store, in their order. An entry is JSON.
    CREATE TABLE spool (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        entry    TEXT NOT NULL
    ) STRICT;
",
];

/// Refuses a database of a newer version.
pub(super) fn refuse_newer(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let found = version(connection).map_err(|error| StoreError::at(error, path))?;
    let known = STEPS.len() as i64;
    if found > known {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// Finds structural damage. It does not detect a changed value inside a row.
pub(super) fn refuse_damaged(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| StoreError::at(error, path))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Damaged { path: path.to_owned(), what: found }) }
}

/// Checkpoints the write-ahead log and truncates it. Does nothing while a reader uses the log.
pub(super) fn empty_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// The version of a database; 0 for a new one.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Applies the migrations after version `found`, in the caller's transaction.
pub(super) fn migrate(connection: &Connection, found: i64) -> rusqlite::Result<()> {
    for sql in STEPS.iter().skip(usize::try_from(found).unwrap_or_default()) {
        connection.execute_batch(sql)?;
    }
    write_version(connection)
}

/// Writes the version again: a page is written to the disk without a change.
pub(super) fn write_version(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "user_version", STEPS.len() as i64)
}
