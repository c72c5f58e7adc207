//! Which file a store is: positions are only as good as the file that they were counted in.

use super::super::Epoch;
use super::{StoreError, apps};
use rusqlite::{Connection, Result, params};
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// In the header of a file that `pyapns backup` made, as SQLite's `application_id`; 0 once a node has opened it.
pub(super) const BACKUP: i64 = 0x7061_4250;

/// A database file, told from any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// When the inode was made, in nanoseconds of UNIX time, on file systems that tell: an inode's number is soon given
    /// to another file.
    made: Option<i64>,
}

impl Place {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let about = fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), device: about.dev(), inode: about.ino(), made: made(&about) })
    }

    /// Refuses if the path leads to another file by now, or to none.
    pub(super) fn check(&self) -> std::result::Result<(), StoreError> {
        let is_here = match fs::metadata(&self.path) {
            Ok(about) => (about.dev(), about.ino()) == (self.device, self.inode),
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        };
        if is_here { Ok(()) } else { Err(StoreError::Moved { path: self.path.clone() }) }
    }

    /// As SQLite keeps it.
    fn numbers(&self) -> (i64, i64, Option<i64>) {
        (self.device.cast_signed(), self.inode.cast_signed(), self.made)
    }
}

fn made(about: &Metadata) -> Option<i64> {
    let since = about.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

/// The epoch of a store that is opened, and why the file does not say so yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub epoch: Epoch,
    /// The epoch is not the one that the file records.
    renews: bool,
    pub unwritten: Option<Reason>,
}

/// Why the identity that a file records is not the one it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Nobody has recorded which file it is: it is new, or was made by pyapns 0.6.0.
    Unrecorded,
    Backup,
    OtherFile,
}

impl Identity {
    /// Reads what the file records. `is_new`: no store was in it before.
    pub(super) fn read(connection: &Connection, place: &Place, is_new: bool) -> Result<Self> {
        let sql = "SELECT epoch, device, inode, made FROM identity";
        let (epoch, recorded) = connection.query_row(sql, [], |row| {
            let numbers = (row.get::<_, Option<i64>>(1)?, row.get::<_, Option<i64>>(2)?, row.get::<_, Option<i64>>(3)?);
            Ok((Epoch::stored(row.get(0)?), numbers))
        })?;
        let (device, inode, made) = place.numbers();
        let unwritten = match recorded {
            _ if is_backup(connection)? => Some(Reason::Backup),
            (None, ..) | (_, None, _) => Some(Reason::Unrecorded),
            // A file system that does not tell when a file was made did not tell it then, or does not now.
            (Some(a), Some(b), then)
                if (a, b) == (device, inode) && (then == made || then.is_none() || made.is_none()) =>
            {
                None
            }
            _ => Some(Reason::OtherFile),
        };
        let renews = is_new || matches!(unwritten, Some(Reason::Backup | Reason::OtherFile));
        Ok(Self { epoch: if renews { Epoch::new() } else { epoch }, renews, unwritten })
    }

    /// Records it, in a transaction of the caller's.
    pub(super) fn write(&self, connection: &Connection, place: &Place) -> Result<()> {
        let (device, inode, made) = place.numbers();
        let sql = "UPDATE identity SET epoch = ?1, device = ?2, inode = ?3, made = ?4";
        connection.execute(sql, params![self.epoch.number(), device, inode, made])?;
        if self.renews {
            apps::skip_revisions(connection)?;
        }
        connection.pragma_update(None, "application_id", 0)
    }
}

/// True if `pyapns backup` made the file and no node has opened it yet.
pub(super) fn is_backup(connection: &Connection) -> Result<bool> {
    connection.pragma_query_value(None, "application_id", |row| row.get::<_, i64>(0)).map(|id| id == BACKUP)
}
