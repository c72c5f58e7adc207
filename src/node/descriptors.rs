//! The limit on open files, and its division among callers, connections to Apple and everything else.

use crate::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors reserved for the store, the log, the listeners and name lookups.
pub const RESERVED: u64 = 64;
/// Limits tried when the system refuses the hard limit: some systems have a lower bound that they do not report.
const FALLBACK_LIMITS: [u64; 3] = [1 << 20, 1 << 16, 10_240];
/// Connections reserved for the admin listener: at most this many, and at most a quarter of the callers' share.
const ADMIN_CONNECTIONS: usize = 64;
const ADMIN_SHARE: usize = 4;

/// Raises the soft limit on open files as far as the system allows, and returns it. `None` means unlimited.
pub fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let is_higher = |wanted: &Option<u64>| limit.current.is_some_and(|now| wanted.is_none_or(|wanted| wanted > now));
    let lower =
        FALLBACK_LIMITS.into_iter().filter(|lower| limit.maximum.is_none_or(|maximum| *lower < maximum)).map(Some);
    let wanted = std::iter::once(limit.maximum).chain(lower).filter(is_higher);
    let raised = |wanted: &Option<u64>| setrlimit(Resource::Nofile, Rlimit { current: *wanted, ..limit }).is_ok();
    wanted.into_iter().find(raised).unwrap_or(limit.current)
}

/// The hard limit on open files, which [`raise`] aims at. `None` means unlimited.
pub fn hard_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// The number of connections that the process has file descriptors for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    limit: Option<u64>,
    /// Connections from callers, on all listeners together. At least one.
    pub callers: usize,
    /// Connections to Apple, of all apps together. At least one.
    pub apple: usize,
}

impl Shares {
    /// Shares out a limit on open files. With a simulator in the same process each connection to it takes two
    /// descriptors.
    pub fn of(limit: Option<u64>, has_simulator: bool) -> Self {
        let rest = limit.map(|limit| limit - RESERVED.min(limit / 2));
        let count = |share: u64| usize::try_from(share).unwrap_or(usize::MAX).max(1);
        let callers = rest.map_or(usize::MAX, |rest| count(rest / 2));
        let apple = rest.map_or(usize::MAX, |rest| count(rest.div_ceil(2) / (1 + u64::from(has_simulator))));
        Self { limit, callers, apple }
    }

    /// Connections of the public listener and of the admin listener, where there is one.
    pub fn listeners(&self, has_admin: bool) -> (usize, usize) {
        let admin = if has_admin { ADMIN_CONNECTIONS.min(self.callers / ADMIN_SHARE).max(1) } else { 0 };
        (self.callers.saturating_sub(admin).max(1), admin)
    }

    /// Lowers the settings that do not fit, and returns a sentence for each.
    pub fn lower(&self, config: &mut Config) -> Vec<String> {
        let Some(limit) = self.limit else { return Vec::new() };
        let (public, _) = self.listeners(config.admin_listen.is_some());
        let limits = &mut config.limits;
        let settings = [
            ("limits.connections", &mut limits.connections, public, "the callers' half"),
            ("limits.connections_per_address", &mut limits.connections_per_address, public, "the callers' half"),
            ("apple.connections", &mut config.apple.connections, self.apple, "Apple's half"),
        ];
        let mut warnings = Vec::new();
        for (name, setting, fits, half) in settings {
            if *setting > fits {
                warnings.push(format!(
                    "{name} is lowered from {setting} to {fits}: the process may have {limit} files open, and no more \
                     fit into {half}; raise LimitNOFILE (systemd) or the hard limit of `ulimit -n`, or lower the setting"
                ));
                *setting = fits;
            }
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(limit: u64) -> (usize, usize) {
        let Shares { callers, apple, .. } = Shares::of(Some(limit), false);
        (callers, apple)
    }

    #[test]
    fn sixty_four_descriptors_are_kept_and_the_rest_is_halved() {
        assert_eq!(shares(1_024), (480, 480));
        assert_eq!(shares(1_025), (480, 481));
        assert_eq!(shares(192), (64, 64));
        assert_eq!((shares(100), shares(3), shares(0)), ((25, 25), (1, 1), (1, 1)), "something is left of any limit");
        assert_eq!(Shares::of(Some(1_024), true).apple, 240, "both ends of a connection are here");
        assert_eq!(Shares::of(None, false).apple, usize::MAX);
    }

    #[test]
    fn the_admin_listener_has_its_connections_from_the_callers_half() {
        let shares = |limit| Shares::of(Some(limit), false);
        assert_eq!((shares(1_024).listeners(false), shares(1_024).listeners(true)), ((480, 0), (416, 64)));
        assert_eq!((shares(192).listeners(true), shares(0).listeners(true)), ((48, 16), (1, 1)));
    }

    #[test]
    fn settings_that_do_not_fit_are_lowered_with_one_sentence_each() {
        let mut config = Config::parse(None, &|_| None).expect("the defaults");
        let warnings = Shares::of(Some(80), false).lower(&mut config);
        let limits = &config.limits;
        let lowered = (limits.connections, limits.connections_per_address, config.apple.connections);
        assert_eq!(lowered, (20, 20, 16));
        assert_eq!(warnings.len(), 2);
        assert_eq!(
            warnings[0],
            "limits.connections is lowered from 10000 to 20: the process may have 80 files open, and no more fit into the \
             callers' half; raise LimitNOFILE (systemd) or the hard limit of `ulimit -n`, or lower the setting"
        );
        let warnings = Shares::of(Some(20), false).lower(&mut config);
        assert!(
            warnings.iter().any(|warning| warning.starts_with("apple.connections is lowered from 16 to 5: ")),
            "{warnings:?}"
        );
        assert!(Shares::of(Some(20), false).lower(&mut config).is_empty(), "a setting that fits is not changed");
        assert!(Shares::of(None, false).lower(&mut config).is_empty());
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let raised = raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!((limit.current, raised), (limit.maximum, limit.maximum));
        assert_eq!(hard_limit(), raised);
    }
}
