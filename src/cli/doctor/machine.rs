//! Checks the machine: clock, disk space, open files.

use super::Report;
use crate::clock::Clock;
use crate::config::Config;
use crate::node::descriptors::{self, RESERVED, Shares};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use x509_parser::prelude::ASN1Time;

/// An earlier time is certainly wrong, as this program is younger: 2026-01-01.
const EARLIEST_UNIX_SECONDS: u64 = 1_767_225_600;
/// The tolerance for files newer than the clock, in seconds.
const CLOCK_SLACK_SECONDS: u64 = 60;
const SPACE_WARN_BYTES: u64 = 256 << 20;
const SPACE_FAIL_BYTES: u64 = 16 << 20;
const TIMESYNC: &str = "/run/systemd/timesync";
/// Files of the other daemons that synchronise a clock.
const TIME_KEEPERS: [&str; 4] = ["/run/chrony/chronyd.pid", "/run/chronyd.pid", "/run/ntpd.pid", "/run/openntpd.sock"];

pub fn examine(report: &mut Report, config: &Config, clock: &Clock) {
    time(report, &config.data_dir, clock.unix_seconds());
    space(report, &config.data_dir);
    files(report, config);
}

fn time(report: &mut Report, data_dir: &Path, now: u64) {
    let said = i64::try_from(now).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    let said = said.map_or_else(|| "an impossible time".to_owned(), |time| time.to_string());
    let newest = newest_file(data_dir).unwrap_or_default();
    if now < EARLIEST_UNIX_SECONDS {
        report.fail(
            "clock",
            format!("it says {said}, which is in the past: set it, or Apple refuses every provider token"),
        );
    } else if newest > now + CLOCK_SLACK_SECONDS {
        let ahead = newest - now;
        report.fail("clock", format!("it says {said}, and files in the data directory are {ahead} s newer: set it"));
    } else if Path::new(TIMESYNC).exists() && !Path::new(TIMESYNC).join("synchronized").exists() {
        let what = "systemd-timesyncd has not reached a time server yet: Apple refuses tokens that are an hour off; check the network";
        report.warn("clock", format!("{said}; {what}"));
    } else {
        let kept = Path::new(TIMESYNC).exists() || TIME_KEEPERS.iter().any(|trace| Path::new(trace).exists());
        let note = if kept {
            "synchronised"
        } else {
            "no time service was found on this machine, which may be correct for a container"
        };
        report.ok("clock", format!("{said}; {note}"));
    }
}

/// The modification time of the newest file in a folder, in UNIX seconds.
fn newest_file(folder: &Path) -> Option<u64> {
    let times = fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok());
    times.filter_map(|time| Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())).max()
}

fn space(report: &mut Report, data_dir: &Path) {
    let place = nearest_existing(data_dir);
    let about = match rustix::fs::statvfs(&place) {
        Ok(about) => about,
        Err(error) => return report.fail("disk", format!("{} cannot be examined: {error}", place.display())),
    };
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    let text = format!("{} MiB free for {}", free >> 20, data_dir.display());
    if free < SPACE_FAIL_BYTES {
        report.fail("disk", format!("{text}: make room, the store cannot write"));
    } else if free < SPACE_WARN_BYTES {
        report.warn("disk", format!("{text}: make room before the store cannot write"));
    } else {
        report.ok("disk", text);
    }
}

/// The folder, or its nearest parent that exists.
pub fn nearest_existing(folder: &Path) -> PathBuf {
    let found = folder.ancestors().find(|folder| folder.exists());
    found.filter(|found| !found.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Reports the hard limit, since `serve` raises its soft limit to it.
fn files(report: &mut Report, config: &Config) {
    let Some(limit) = descriptors::hard_limit() else { return report.ok("open files", "there is no limit") };
    let shares = Shares::of(Some(limit), false);
    let lowered = shares.lower(&mut config.clone());
    let text = format!("{limit} allowed in this shell: {} for callers, {} for Apple", shares.callers, shares.apple);
    if limit < 2 * RESERVED {
        report.fail("open files", format!("{text}: raise LimitNOFILE (systemd) or the hard limit of `ulimit -n`"));
    } else if lowered.is_empty() {
        report.ok("open files", text);
    } else {
        report.warn("open files", format!("{text}; {}", lowered.join("; ")));
    }
}
