//! The two threads that may block on the disk: a writer that commits in groups, and a reader.

use super::events::Growth;
use super::{StoreError, schema};
use crate::model::AppKey;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::thread::{Builder, JoinHandle};
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for a thread; more wait with their callers.
const QUEUE_MAX: usize = 1_024;
/// Requests that share one transaction, and so one wait for the disk.
const GROUP_MAX: usize = 512;

/// How much the writer yields, as `nice` counts.
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
    /// What it replaced may not stay in the log of writes.
    wipes: bool,
}

type Read = Box<dyn FnOnce(&Connection) + Send>;

pub(super) struct Writer(Thread<Write>);

pub(super) struct Reader(Thread<Read>);

impl Writer {
    /// `lock` is let go of when the thread ends, after its last commit.
    pub(super) fn start(mut connection: Connection, lock: File) -> io::Result<Self> {
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
                commit(&mut connection, group, &mut growth);
            }
            drop((connection, lock));
        };
        Thread::start("store-writer", run).map(Self)
    }

    /// Resolves once what `work` did is on disk. If it fails, only it is undone, not the others of its group.
    pub(super) async fn write<T, W>(&self, grown: Vec<(AppKey, usize)>, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.hand(grown, false, work).await
    }

    /// The same, and nothing of what `work` replaced is left in the files.
    pub(super) async fn replace<W>(&self, work: W) -> Result<(), StoreError>
    where
        W: FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static,
    {
        self.hand(Vec::new(), true, work).await
    }

    async fn hand<T, W>(&self, grown: Vec<(AppKey, usize)>, wipes: bool, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let work = Box::new(move |group: Group<'_, '_>| {
            let done = group.and_then(|group| Ok(apart(group, work)?));
            let answer: Answer = Box::new(move |committed| {
                // A caller that has gone does not need the answer.
                let _ = tell.send(committed.and(done));
            });
            answer
        });
        self.0.hand(Write { work, grown, wipes }).await?;
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

    pub(super) async fn read<T, R>(&self, read: R) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let read = Box::new(move |connection: &Connection| {
            // A caller that has gone does not need the answer.
            let _ = tell.send(read(connection));
        });
        self.0.hand(read).await?;
        Ok(told.await.map_err(|_| StoreError::Closed)??)
    }
}

/// Runs a group in one transaction and tells each waiter how its own write and the common commit went.
fn commit(connection: &mut Connection, group: Vec<Write>, growth: &mut Growth) {
    let mut answers = Vec::with_capacity(group.len());
    let wipes = group.iter().any(|write| write.wipes);
    let committed = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => run(transaction, group, growth, &mut answers).map_err(StoreError::from),
        Err(error) => {
            let error = StoreError::from(error);
            answers.extend(group.into_iter().map(|write| (write.work)(Err(error.clone()))));
            Err(error)
        }
    };
    let committed = if wipes { committed.and_then(|()| Ok(schema::empty_log(connection)?)) } else { committed };
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

/// Writing is not to keep the threads from a core that send: on Linux a priority is a thread's own. It still gets a fair
/// part of a busy machine.
fn yield_to_senders() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, WRITER_NICE) {
        tracing::debug!(%error, "the store's writer keeps its priority");
    }
}

/// Runs one write of a group so that its failure takes back nothing but itself.
fn apart<T>(group: &mut Transaction<'_>, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let savepoint = group.savepoint()?;
    let value = work(&savepoint)?;
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
