//! Opening of the database: checked, brought up to date, and distinguished from a copy. A full disk does not keep a
//! node from starting, because an unchanged store needs no write.

use super::super::Epoch;
use super::identity::{self, BACKUP, Identity, Place, Reason};
use super::wal::{self, Examined, Tail};
use super::{StoreError, directory, schema};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, ffi};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The wait for an operator who has the file open in another tool.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps the index of the log of writes in memory, where SQLite's own way needs room on the disk. Other processes
/// cannot read beside it.
const ALONE: &str = "unix-excl";

/// Where SQLite keeps `application_id` in a database file.
const APPLICATION_ID_AT: usize = 68;

/// An open database.
pub(super) struct Opened {
    pub writer: Connection,
    pub reader: Connection,
    pub place: Place,
    pub epoch: Epoch,
    /// Sentences for the operator.
    pub notices: Vec<String>,
}

/// Opens the database to write and to read, and brings its schema up to date. WAL with synchronous=FULL: a commit is on
/// disk. A damaged file is refused: what is missing in it could not be told from what never was.
pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    let unusable = |error| directory::unusable(path.parent().unwrap_or(path), error);
    let at =
        |error| if wants_room(&error) { unusable(ErrorKind::StorageFull.into()) } else { StoreError::at(error, path) };
    let mut notices = Vec::new();
    notices.extend(set_aside_foreign_log(path).map_err(unusable)?);
    notices.extend(judge_log(path).map_err(unusable)?);
    let place = Place::of(path).map_err(unusable)?;
    let (mut writer, vfs) = match connect(path, OpenFlags::default(), None) {
        Err(error) if wants_room(&error) => {
            notices.push(format!(
                "the disk with {} is full: nothing can be kept until there is room, and `pyapns backup` works again after the next start",
                path.display()
            ));
            (connect(path, OpenFlags::default(), Some(ALONE)).map_err(at)?, Some(ALONE))
        }
        opened => (opened.map_err(at)?, None),
    };
    schema::refuse_newer(&writer, path)?;
    schema::refuse_damaged(&writer, path)?;
    let epoch = enter(&mut writer, &place, &mut notices).map_err(at)?;
    writer.pragma_update(None, "journal_mode", "WAL").map_err(at)?;
    writer.pragma_update(None, "journal_size_limit", 64 << 20).map_err(at)?;
    // In a lock that keeps other processes out, one that only reads would tear a hole.
    let reads = if vfs.is_some() { OpenFlags::default() } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
    let reader = connect(path, reads, vfs).map_err(at)?;
    reader.pragma_update(None, "query_only", "ON").map_err(at)?;
    Ok(Opened { writer, reader, place, epoch, notices })
}

/// Opens the database of a node that runs, to read beside it. The node may be of another version.
pub(super) fn open_beside(path: &Path) -> Result<Connection, StoreError> {
    let connection =
        connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, None).map_err(|error| StoreError::at(error, path))?;
    schema::refuse_newer(&connection, path)?;
    Ok(connection)
}

/// A connection that can be used: the index of the log is there.
fn connect(path: &Path, flags: OpenFlags, vfs: Option<&str>) -> rusqlite::Result<Connection> {
    let connection = match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
        None => Connection::open_with_flags(path, flags)?,
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    schema::version(&connection)?;
    Ok(connection)
}

/// Brings the schema up to date and records the identity. Writes nothing where there is nothing new.
fn enter(writer: &mut Connection, place: &Place, notices: &mut Vec<String>) -> rusqlite::Result<Epoch> {
    writer.pragma_update(None, "synchronous", "FULL")?;
    // What is deleted may be a private key.
    writer.pragma_update(None, "secure_delete", "ON")?;
    let found = schema::version(writer)?;
    let is_current = found == schema::STEPS.len() as i64;
    let seen = if is_current { Some(Identity::read(writer, place, false)?) } else { None };
    if let Some(Identity { epoch, unwritten: None, .. }) = seen {
        return Ok(epoch);
    }
    match (record(writer, place, found), seen) {
        (Ok(Identity { epoch, unwritten, .. }), _) => {
            if matches!(unwritten, Some(Reason::Backup | Reason::OtherFile)) {
                tracing::warn!(
                    "the store was restored or copied: cursors that callers hold are refused, and they read their lists from the beginning"
                );
            }
            Ok(epoch)
        }
        (Err(error), Some(Identity { epoch, unwritten: Some(Reason::OtherFile), .. })) if wants_room(&error) => {
            notices.push(
                "the store was copied, which a full disk keeps from being recorded: cursors are refused, and once more after the next start"
                    .to_owned(),
            );
            Ok(epoch)
        }
        (Err(error), _) => Err(error),
    }
}

fn record(writer: &mut Connection, place: &Place, found: i64) -> rusqlite::Result<Identity> {
    if identity::is_backup(writer)? {
        // The mark must not leave through a log: a log beside a marked file is another store's.
        writer.pragma_update(None, "journal_mode", "DELETE")?;
    }
    let step = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    schema::migrate(&step, found)?;
    let identity = Identity::read(&step, place, found == 0)?;
    identity.write(&step, place)?;
    step.commit()?;
    Ok(identity)
}

/// True if the disk is full. SQLite uses another code if there is no room for the index of the log.
pub(super) fn wants_room(error: &rusqlite::Error) -> bool {
    let failed = error.sqlite_error();
    failed.is_some_and(|failed| failed.code == ErrorCode::DiskFull || failed.extended_code == ffi::SQLITE_IOERR_SHMSIZE)
}

/// The file that SQLite keeps the log of writes in.
fn log_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push("-wal");
    PathBuf::from(name)
}

/// A backup has no log of its own. One beside it is that of the file which it was put in place of, and would spoil it.
fn set_aside_foreign_log(path: &Path) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    File::open(path)?.take(APPLICATION_ID_AT as u64 + 4).read_to_end(&mut head)?;
    let is_backup = head.get(APPLICATION_ID_AT..).is_some_and(|id| *id == (BACKUP as u32).to_be_bytes());
    let log = log_of(path);
    if !is_backup || !fs::metadata(&log).is_ok_and(|about| about.len() > 0) {
        return Ok(None);
    }
    let aside = path.with_extension("db-wal-before-restore");
    fs::rename(&log, &aside)?;
    Ok(Some(format!(
        "{} is a restored backup, and the log of writes beside it was that of the store before it: it is now {}; delete it when nothing is missing",
        path.display(),
        aside.display()
    )))
}

/// Returns a notice about a log that SQLite will not use to its end.
fn judge_log(path: &Path) -> io::Result<Option<String>> {
    let log = log_of(path);
    let file = match File::open(&log) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let written = file.metadata()?.mtime();
    let Examined { used, tail } = wal::examine(BufReader::new(file))?;
    let log = log.display();
    Ok(match tail {
        Tail::Sound => None,
        Tail::CutOff => Some(format!(
            "{log} ends in the middle of a write, last written at {written} (UNIX seconds): its first {used} frames are used. A process or machine that stops while it writes leaves this, or a full disk, and nothing that was acknowledged is missing then; if something else has cut the file, the changes behind them are lost"
        )),
        Tail::Dropped { frames, commits } => Some(format!(
            "{log} is damaged behind its first {used} frames: the {frames} frames after them are not used, and the changes in them are lost ({commits} commits, the last written at {written}, UNIX seconds). Apps, feedback and acknowledgements may be as they were before: compare GET /apps with what was provisioned, or restore a backup, and look at the disk"
        )),
    })
}
