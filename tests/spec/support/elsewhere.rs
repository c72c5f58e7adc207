//! Callers that stand for other machines' in measurements: on a thread of their own that takes what the measured leave.

use std::process::Command;
use std::thread;
use tokio::sync::oneshot;

/// Runs what `start` makes on a thread that every other may push aside at once. Dropping the result ends it.
pub fn elsewhere<F>(start: impl FnOnce() -> F + Send + 'static) -> oneshot::Receiver<F::Output>
where
    F: Future<Output: Send + 'static>,
{
    let (mut tell, told) = oneshot::channel();
    thread::spawn(move || {
        // Not just a low priority, which Linux lets finish its slice.
        let thread = std::fs::read_link("/proc/thread-self").expect("Linux");
        let set = Command::new("chrt").args(["--idle", "--pid", "0"]).arg(thread.file_name().expect("an id")).status();
        assert!(set.expect("chrt of util-linux is installed").success());
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
