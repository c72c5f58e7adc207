//! The two threads that may block on the disk: a writer that commits in groups, and a reader.

use super::feedback::Growth;
use super::identity::Place;
use super::{StoreError, opening, schema};
use crate::model::AppKey;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for a thread; more wait with their callers.
const QUEUE_MAX: usize = 1_024;
/// Requests that share one transaction, and so one wait for the disk.
const GROUP_MAX: usize = 512;

/// The writer's `nice` value.
#[cfg(target_os = "linux")]
const WRITER_NICE: i32 = 5;

/// Tells a waiter what became of its write, once the group's commit has been decided.
type Answer = Box<dyn FnOnce(Result<(), StoreError>)>;

/// A group's transaction, or why there is none.
type Group<'a, 'c> = Result<&'a mut Transaction<'c>, StoreError>;

struct Write {
    work: Box<dyn FnOnce(Group<'_, '_>) -> Answer + Send>,
    /// Apps whose disconnection log grows by it, and by how much.
    grown: Vec<(AppKey, usize)>,
    after: After,
}

/// The treatment of the write-ahead log after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum After {
    /// It grows until SQLite moves it into the database.
    Nothing,
    /// It is moved into the database if no reader is in the way, so that a copy of that file alone has a credential.
    Moved,
    /// It is moved, or the write has failed: what was replaced may not stay there.
    Wiped,
}

type Read = Box<dyn FnOnce(&Connection) + Send>;

pub(super) struct Writer(Thread<Write>);

pub(super) struct Reader(Thread<Read>);

impl Writer {
    /// `lock` is let go of when the thread ends, after its last commit.
    pub(super) fn start(mut connection: Connection, lock: File, place: Place) -> io::Result<Self> {
        let run = move |mut queue: mpsc::Receiver<Write>| {
            yield_to_senders();
            let mut growth = Growth::default();
            while let Some(first) = queue.blocking_recv() {
                let mut group = vec![first];
                while group.len() < GROUP_MAX
                    && let Ok(next) = queue.try_recv()
                {
                    group.push(next);
                }
                match place.check() {
                    Ok(()) => commit(&mut connection, group, &mut growth),
                    Err(moved) => group.into_iter().for_each(|write| refuse(write, &moved)),
                }
            }
            drop((connection, lock));
        };
        Thread::start("store-writer", run).map(Self)
    }

    /// Resolves once what `work` did is on disk. If it fails, only it is undone, not the others of its group.
    pub(super) async fn write<T, W, E>(&self, grown: Vec<(AppKey, usize)>, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        E: Into<StoreError>,
    {
        self.hand(grown, After::Nothing, work).await
    }

    /// The same for what changes apps.
    pub(super) async fn change<T, W, E>(&self, after: After, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        E: Into<StoreError>,
    {
        self.hand(Vec::new(), after, work).await
    }

    async fn hand<T, W, E>(&self, grown: Vec<(AppKey, usize)>, after: After, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        E: Into<StoreError>,
    {
        let (tell, told) = oneshot::channel();
        let work = Box::new(move |group: Group<'_, '_>| {
            let done = group.and_then(|group| apart(group, work));
            let answer: Answer = Box::new(move |committed| {
                // A caller that has gone does not need the answer.
                let _ = tell.send(committed.and(done));
            });
            answer
        });
        self.0.hand(Write { work, grown, after }).await?;
        told.await.map_err(|_| StoreError::Closed)?
    }
}

impl Reader {
    pub(super) fn start(connection: Connection) -> io::Result<Self> {
        let run = move |mut queue: mpsc::Receiver<Read>| {
            while let Some(read) = queue.blocking_recv() {
                read(&connection);
            }
        };
        Thread::start("store-reader", run).map(Self)
    }

    pub(super) async fn read<T, R, E>(&self, read: R) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        E: Into<StoreError>,
    {
        let (tell, told) = oneshot::channel();
        let read = Box::new(move |connection: &Connection| {
            // A caller that has gone does not need the answer.
            let _ = tell.send(read(connection).map_err(Into::into));
        });
        self.0.hand(read).await?;
        told.await.map_err(|_| StoreError::Closed)?
    }
}

/// Runs a group in one transaction and tells each waiter how its own write and the common commit went.
fn commit(connection: &mut Connection, group: Vec<Write>, growth: &mut Growth) {
    let mut answers = Vec::with_capacity(group.len());
    let after = group.iter().map(|write| write.after).max().unwrap_or(After::Nothing);
    let committed = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => run(transaction, group, growth, &mut answers).map_err(StoreError::from),
        Err(error) => {
            let error = StoreError::from(error);
            answers.extend(group.into_iter().map(|write| (write.work)(Err(error.clone()))));
            Err(error)
        }
    };
    let committed = committed.and_then(|()| match after {
        After::Nothing => Ok(()),
        After::Moved => {
            move_log(connection);
            Ok(())
        }
        After::Wiped => Ok(schema::empty_log(connection)?),
    });
    for answer in answers {
        answer(committed.clone());
    }
}

fn run(
    mut transaction: Transaction<'_>,
    group: Vec<Write>,
    growth: &mut Growth,
    answers: &mut Vec<Answer>,
) -> rusqlite::Result<()> {
    let mut grown = BTreeMap::new();
    for write in group {
        answers.push((write.work)(Ok(&mut transaction)));
        for (app, entries) in write.grown {
            *grown.entry(app).or_default() += entries;
        }
    }
    for (app, entries) in grown {
        growth.note(&transaction, app, entries)?;
    }
    transaction.commit()
}

/// Tells a waiter that its write was not tried.
fn refuse(write: Write, error: &StoreError) {
    (write.work)(Err(error.clone()))(Err(error.clone()));
}

/// Moves the log into the database. A reader that is in the way, or a disk that is full, leaves it to a later time: the
/// commit stands.
fn move_log(connection: &Connection) {
    let moved = connection.busy_timeout(Duration::ZERO).and_then(|()| schema::empty_log(connection));
    let patient = connection.busy_timeout(opening::BUSY_TIMEOUT);
    if let Err(error) = moved.and(patient) {
        tracing::warn!(%error, "what was provisioned is kept in the log of writes and not yet in the database's file");
    }
}

/// Writing is not to keep the threads from a core that send: on Linux a priority is a thread's own. It still gets a
/// fair part of a busy machine.
fn yield_to_senders() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, WRITER_NICE) {
        tracing::debug!(%error, "the store's writer keeps its priority");
    }
}

/// Runs one write of a group so that its failure takes back nothing but itself.
fn apart<T, E: Into<StoreError>>(
    group: &mut Transaction<'_>,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, StoreError> {
    let savepoint = group.savepoint()?;
    let value = work(&savepoint).map_err(Into::into)?;
    savepoint.commit()?;
    Ok(value)
}

/// A thread and its queue. Dropping it waits until the thread has worked off what it was handed.
struct Thread<J> {
    queue: Option<mpsc::Sender<J>>,
    running: Option<JoinHandle<()>>,
}

impl<J: Send + 'static> Thread<J> {
    fn start(name: &str, run: impl FnOnce(mpsc::Receiver<J>) + Send + 'static) -> io::Result<Self> {
        let (queue, handed) = mpsc::channel(QUEUE_MAX);
        let running = Builder::new().name(name.to_owned()).spawn(move || run(handed))?;
        Ok(Self { queue: Some(queue), running: Some(running) })
    }

    async fn hand(&self, job: J) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(job).await.map_err(|_| StoreError::Closed)
    }
}

impl<J> Drop for Thread<J> {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(running) = self.running.take() {
            // A thread that panicked has said so already.
            let _ = running.join();
        }
    }
}
