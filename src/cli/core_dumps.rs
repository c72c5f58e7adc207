//! Keeps secrets out of core files: credentials, provider tokens and payloads are in the memory of every command.
//!
//! On Linux the process is not dumpable, too. That stops what a limit does not: core files that go to a program, and
//! another process of the same user that looks into this one's memory. What `/proc` has of it then belongs to root.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limits of the process before [`disable`].
#[derive(Debug)]
pub struct SavedLimits {
    limit: Rlimit,
    #[cfg(target_os = "linux")]
    dumpable: Option<rustix::process::DumpableBehavior>,
}

/// Forbids core files until they are allowed. To be called before anything secret is read, the configuration included.
pub fn disable() -> SavedLimits {
    let limit = getrlimit(Resource::Core);
    // Lowering a soft limit to 0 cannot fail.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..limit });
    #[cfg(target_os = "linux")]
    let dumpable = {
        use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};
        let before = dumpable_behavior().ok();
        // Known to every Linux: it cannot fail.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        before
    };
    SavedLimits {
        limit,
        #[cfg(target_os = "linux")]
        dumpable,
    }
}

impl SavedLimits {
    /// Restores the limits: the operator wants core files.
    pub fn restore(self) {
        if let Err(error) = setrlimit(Resource::Core, self.limit) {
            tracing::warn!(%error, "the limit on core files stays 0");
        }
        #[cfg(target_os = "linux")]
        if let Some(before) = self.dumpable
            && let Err(error) = rustix::process::set_dumpable_behavior(before)
        {
            tracing::warn!(%error, "the process stays one that leaves no core file");
        }
    }

    /// Forbids them for good: the hard limit is 0, too.
    pub fn disable_for_good(self) {
        // Lowering a limit cannot fail.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
}
