//! Callers in place of other machines, for measurements: on a thread that gets only the CPU time that others leave.

use std::process::Command;
use std::thread;
use tokio::sync::oneshot;

/// Runs the future of `start` on a thread of idle priority. Dropping the result ends it.
pub fn in_background<F>(start: impl FnOnce() -> F + Send + 'static) -> oneshot::Receiver<F::Output>
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
