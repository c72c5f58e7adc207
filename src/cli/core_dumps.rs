//! Keeps secrets out of core files: every command has credentials, provider tokens or payloads in its memory.
//!
//! On Linux the process is also made undumpable. That prevents two things that the limit allows: a core file piped to a
//! program, and another process of the same user that reads this one's memory. The process's files in `/proc` then
//! belong to root.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limits of the process before [`disable`].
#[derive(Debug)]
pub struct SavedLimits {
    limit: Rlimit,
    #[cfg(target_os = "linux")]
    dumpable: Option<rustix::process::DumpableBehavior>,
}

/// Forbids core files until they are allowed. Call it before any secret is read, including the configuration.
pub fn disable() -> SavedLimits {
    let limit = getrlimit(Resource::Core);
    // Lowering a soft limit to 0 cannot fail.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..limit });
    #[cfg(target_os = "linux")]
    let dumpable = {
        use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};
        let before = dumpable_behavior().ok();
        // Every Linux has this call: it cannot fail.
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
    /// Restores the limits, for an operator who wants core files.
    pub fn restore(self) {
        if let Err(error) = setrlimit(Resource::Core, self.limit) {
            tracing::warn!(%error, "the limit on core files stays 0");
        }
        #[cfg(target_os = "linux")]
        if let Some(before) = self.dumpable
            && let Err(error) = rustix::process::set_dumpable_behavior(before)
        {
            tracing::warn!(%error, "the process still leaves no core file");
        }
    }

    /// Forbids core files permanently: the hard limit becomes 0 too.
    pub fn disable_for_good(self) {
        // Lowering a limit cannot fail.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
}
