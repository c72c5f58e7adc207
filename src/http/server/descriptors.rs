//! How many files and sockets the process may have open, and how many of them are left for callers.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Kept for everything but callers: the store, connections to Apple, the admin listener.
const RESERVE: u64 = 256;

/// Raises the limit as far as the system lets us, and gives how many of `wanted` connections fit under it.
pub fn connections(wanted: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, raised).is_ok() {
        limit = raised;
    }
    let fitting = fitting(wanted, limit.current);
    if fitting < wanted {
        tracing::warn!(
            limits.connections = wanted,
            fitting,
            "the process may not open that many files: raise LimitNOFILE (ulimit -n), or fewer connections are taken"
        );
    }
    fitting
}

fn fitting(wanted: usize, limit: Option<u64>) -> usize {
    // `None` is no limit.
    let Some(limit) = limit else { return wanted };
    let left = limit - RESERVE.min(limit / 2);
    wanted.min(usize::try_from(left).unwrap_or(usize::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_leave_files_to_everything_else() {
        assert_eq!(fitting(10_000, None), 10_000);
        assert_eq!(fitting(10_000, Some(1_000_000)), 10_000);
        assert_eq!(fitting(10_000, Some(1_024)), 768);
        assert_eq!(fitting(10_000, Some(128)), 64);
        assert_eq!(fitting(10, Some(1_024)), 10);
        assert_eq!(fitting(10, Some(0)), 1);
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes() {
        assert!(connections(10) > 0);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
