//! Callers that stand for other machines' in measurements: on a thread of their own that takes what the measured leave.

use rustix::process::setpriority_process;
use std::thread;
use tokio::sync::oneshot;

/// The least that Linux knows.
const LAST: i32 = 19;

/// Runs what `start` makes on a thread that yields to all others. Dropping the result ends it.
pub fn elsewhere<F>(start: impl FnOnce() -> F + Send + 'static) -> oneshot::Receiver<F::Output>
where
    F: Future<Output: Send + 'static>,
{
    let (mut tell, told) = oneshot::channel();
    thread::spawn(move || {
        // Of this thread: Linux keeps a priority for each.
        setpriority_process(None, LAST).expect("less is always allowed");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            tokio::select! {
                () = tell.closed() => {}
                done = start() => drop(tell.send(done)),
            }
        });
    });
    told
}
