//! SETTINGS in the middle of a connection's life: the raise after the first success, the choke, changes by script.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Duration, Instant};

use super::Session;
use super::arrival::Arrival;
use crate::pump;
use crate::script::{At, Change, DebugData, Delay, Ending, GoAway, SettingsPlay, Values, Violation, When};

/// RFC 9113 7: REFUSED_STREAM, with Apple's text.
const OVER_LIMIT: u32 = 7;
const OVER_LIMIT_TEXT: &str = "Maximum active streams violated for this endpoint.";

/// The progress of the script's changes.
pub struct Changes {
    since: Instant,
    requests: u64,
    made: usize,
}

impl Default for Changes {
    fn default() -> Self {
        Self { since: Instant::now(), requests: 0, made: 0 }
    }
}

/// The first SETTINGS of a connection, and its limit of streams after the first success.
pub fn first(play: Option<&SettingsPlay>, by_token: bool) -> (Values, u32) {
    let values = play.map_or(Values::APPLE, |play| play.first.or(Values::APPLE));
    let full = values.max_concurrent_streams.unwrap_or(u32::MAX);
    let streams = if by_token { full.min(1) } else { full };
    (Values { max_concurrent_streams: Some(streams), ..values }, full)
}

/// Waits for the scripted delay of the first SETTINGS.
pub async fn delay(play: Option<&SettingsPlay>) {
    match play.and_then(|play| play.delay) {
        None => {}
        Some(Delay::Ms(late)) => tokio::time::sleep(Duration::from_millis(late)).await,
        Some(Delay::Never) => std::future::pending().await,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Applies a decision: the first success raises the limit, and with a choke each rejection lowers it.
    pub fn adjust_stream_limit(&mut self, status: u16) {
        let full = self.limits.full;
        if status == 200 && self.limits.advertised < full {
            self.send_settings(Values::streams(full));
        } else if (400..500).contains(&status) && status != 410 && self.limits.advertised > 1 && self.is_choked() {
            self.send_settings(Values::streams(1));
        }
    }

    fn is_choked(&self) -> bool {
        self.settings_play().is_some_and(|play| play.choke)
    }

    /// The script's part for this connection.
    fn settings_play(&self) -> Option<&SettingsPlay> {
        self.active.script.script.settings.as_ref().filter(|play| play.concerns(self.number))
    }

    /// Counts a request.
    pub fn count_for_changes(&mut self) {
        self.changes.requests += 1;
        self.make_changes();
    }

    /// Makes every change that is due.
    pub fn make_changes(&mut self) {
        while let Some(change) = self.next_change() {
            let due = match change.at {
                At::Requests(count) => self.changes.requests >= count,
                At::Ms(after) => self.changes.since + Duration::from_millis(after) <= Instant::now(),
            };
            if !due {
                return;
            }
            self.changes.made += 1;
            self.limits.full = change.set.max_concurrent_streams.unwrap_or(self.limits.full);
            self.send_settings(change.set);
        }
    }

    pub fn next_change_at(&self) -> Option<Instant> {
        match self.next_change()?.at {
            At::Ms(after) => Some(self.changes.since + Duration::from_millis(after)),
            At::Requests(_) => None,
        }
    }

    fn next_change(&self) -> Option<Change> {
        self.settings_play()?.changes.get(self.changes.made).copied()
    }

    /// Sends a SETTINGS frame.
    fn send_settings(&mut self, values: Values) {
        self.limits.send(values.max_concurrent_streams);
        self.order(&pump::settings(&values.wire()));
    }

    /// Returns `true` if this stream, the newest, is one too many.
    pub fn is_over_limit(&mut self, stream: u32) -> bool {
        self.take_seen();
        self.open > self.limits.for_stream(stream)
    }

    /// RFC 9113 5.1.2: the stream was not processed and may be sent again. The script may request more.
    pub fn refuse_over_limit(&mut self, arrival: Arrival) {
        self.batch.totals.over_limit += 1;
        self.refuse(arrival, "over MAX_CONCURRENT_STREAMS");
        if self.settings_play().is_some_and(|play| play.violation == Violation::Goaway) && self.is_open() {
            let debug = DebugData::Text(OVER_LIMIT_TEXT.to_owned());
            self.end(&GoAway { code: OVER_LIMIT, debug, ..GoAway::new(When::Now, Ending::Single) });
        }
    }
}
