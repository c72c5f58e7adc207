//! The opening of the store that a node uses: its own database, or the shared store beside it.

use super::redis::{self, Link, Redis, RedisUrl};
use super::sqlite::Ownership;
use super::{Shared, Sqlite, Store, StoreError, Transfer};
use crate::clock::Clock;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Attempts to examine a shared store before a node starts without it: the store may start at the same time, and the first
/// error may not be the one that names the setting to change.
const EXAMINATIONS: u32 = 3;
/// Longer than the link to Redis repeats its last error.
const EXAMINATION_PAUSE: Duration = Duration::from_millis(550);

/// The place of a node's store.
#[derive(Debug, Clone)]
pub struct Settings<'a> {
    /// The folder of the database; made if it does not exist.
    pub data_dir: &'a Path,
    /// The store that the nodes of a cluster share; `None` = the database alone.
    pub shared: Option<redis::Settings>,
}

/// A store that is open.
pub struct Opened {
    pub store: Arc<dyn Store>,
    /// The shared store as what it is.
    pub shared: Option<Arc<Shared>>,
    /// The reason that the shared store could not be examined yet.
    pub away: Option<StoreError>,
    /// Other nodes change it too: what they changed is read again and again.
    pub is_shared: bool,
    /// Sentences for the operator about the state in which the store was found.
    pub notices: Vec<String>,
}

impl Opened {
    fn alone(store: Arc<dyn Store>, is_shared: bool, notices: Vec<String>) -> Self {
        Self { store, shared: None, away: None, is_shared, notices }
    }

    /// A store that several nodes of one process share.
    pub fn in_process(store: Arc<dyn Store>) -> Self {
        Self::alone(store, true, Vec::new())
    }
}

/// A store that must not be used by a node as it is.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Misplaced {
    #[error(
        "the database in {} holds apps or events of its own, and a node of a shared store does not use them: copy them to {url} with `pyapns store copy sqlite:{} config:FILE`, where FILE is the configuration of this node, and then move {}/pyapns.db* away, or choose another data_dir, or leave store.url empty",
        folder.display(), folder.display(), folder.display()
    )]
    Own { folder: PathBuf, url: RedisUrl },
    #[error(
        "the database in {} is a node's copy of a shared store, and a node does not start with a copy alone: set store.url to that store, or choose another data_dir; `pyapns store copy` makes a database for a single node from the shared store",
        folder.display()
    )]
    Copy { folder: PathBuf },
    #[error(
        "the store is the unfinished result of `pyapns store copy` from {from}: run that command again, to its end"
    )]
    Unfinished { from: String },
}

/// Opens the store that the settings name. Its database is kept from every other process. A shared store that does not
/// answer is opened all the same. Blocks for as long as the disk does.
pub async fn open(settings: Settings<'_>, clock: &Clock) -> Result<Opened, StoreError> {
    let local = Arc::new(Sqlite::open(settings.data_dir)?);
    let mut notices = local.notices().to_vec();
    let Some(shared) = settings.shared else {
        refuse_unfinished(&*local).await?;
        return match local.ownership().await? {
            Ownership::Own => Ok(Opened::alone(local, false, notices)),
            Ownership::CopyOf(_) => Err(Misplaced::Copy { folder: settings.data_dir.to_owned() }.into()),
        };
    };
    refuse_own(&local, settings.data_dir, &shared.url).await?;
    let redis = Redis::new(Link::new(&shared)?, &shared.prefix);
    let shared = Arc::new(Shared::new(redis, &shared.url, local).await?);
    let mut away = None;
    for attempt in 1..=EXAMINATIONS {
        match shared.examine(clock).await {
            Ok(more) => {
                notices.extend(more);
                away = None;
                break;
            }
            Err(error) if error.is_temporary() => away = Some(error),
            Err(error) => return Err(error),
        }
        if attempt < EXAMINATIONS {
            sleep(EXAMINATION_PAUSE).await;
        }
    }
    Ok(Opened { store: shared.clone(), shared: Some(shared), away, is_shared: true, notices })
}

/// Connects to a shared store, if Redis can be one. Returns sentences for the operator, too.
pub async fn connect(settings: &redis::Settings, clock: &Clock) -> Result<(Redis, Vec<String>), StoreError> {
    let link = Link::new(settings)?;
    let notices = redis::start::check(&link, &settings.prefix, clock).await?;
    Ok((Redis::new(link, &settings.prefix), notices))
}

/// Refuses a database that has apps or events of its own: beside the shared store nobody would see them.
pub async fn refuse_own(local: &Sqlite, folder: &Path, url: &RedisUrl) -> Result<(), StoreError> {
    refuse_unfinished(local).await?;
    if local.ownership().await? == Ownership::Own && !local.is_empty().await? {
        return Err(Misplaced::Own { folder: folder.to_owned(), url: url.clone() }.into());
    }
    Ok(())
}

/// Refuses the result of a copy that was cut off.
pub async fn refuse_unfinished(store: &dyn Transfer) -> Result<(), StoreError> {
    match store.unfinished_copy().await? {
        Some(from) => Err(Misplaced::Unfinished { from }.into()),
        None => Ok(()),
    }
}
