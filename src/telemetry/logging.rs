//! Log lines: human or JSON, through a bounded queue, so that a slow terminal or pipe never blocks a worker.

use super::panics;
use prometheus::IntCounter;
use std::io::{self, IsTerminal, Write};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

/// The maximum number of lines in the queue. Further lines are dropped and counted.
const QUEUED_LINES_MAX: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Config {
    pub format: Format,
    pub level: Level,
}

/// The format of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// The lowest level that is written. Lines of libraries are written only from `warn` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err("must be `human` or `json`"),
        }
    }
}

impl FromStr for Level {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            _ => Err("must be `error`, `warn`, `info` or `debug`"),
        }
    }
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
        }
    }
}

/// Returns false if the variable NO_COLOR asks for text without colours (no-color.org).
pub fn allows_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The running log.
#[derive(Debug, Clone)]
pub struct Logging {
    lines: Lines,
    filter: reload::Handle<Targets, Registry>,
}

impl Logging {
    /// Sends this process's log lines and panics to standard error. Call it once in a process.
    pub fn install(config: Config) -> Result<Self, SetGlobalDefaultError> {
        let stderr = io::stderr();
        let colours = config.format == Format::Human && stderr.is_terminal() && allows_colours();
        let lines = Lines::start(stderr, QUEUED_LINES_MAX);
        let (subscriber, filter) = subscriber(config, colours, lines.clone());
        tracing::subscriber::set_global_default(subscriber)?;
        let logging = Self { lines, filter };
        panics::install(logging.clone());
        Ok(logging)
    }

    /// Changes the lowest level that is written.
    pub fn set_level(&self, level: Level) {
        // Fails only when the subscriber no longer exists, and then there is no log.
        let _ = self.filter.reload(targets(level));
    }

    /// The counter of lines dropped because the queue was full, for the node's metrics.
    pub fn dropped(&self) -> &IntCounter {
        &self.lines.dropped
    }

    /// Waits until the lines logged so far are written, at most `timeout`. Blocks: call it last.
    pub fn flush(&self, timeout: Duration) {
        let (written, wait) = sync_channel(1);
        if self.lines.queue.try_send(Message::Flush(written)).is_ok() {
            let _ = wait.recv_timeout(timeout);
        }
    }
}

type Filtered = (Box<dyn Subscriber + Send + Sync>, reload::Handle<Targets, Registry>);

fn subscriber(config: Config, colours: bool, lines: Lines) -> Filtered {
    let (filter, handle) = reload::Layer::new(targets(config.level));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(lines);
    let subscriber: Box<dyn Subscriber + Send + Sync> = match config.format {
        Format::Human => Box::new(registry.with(layer)),
        Format::Json => Box::new(registry.with(layer.json().flatten_event(true).with_span_list(false))),
    };
    (subscriber, handle)
}

fn targets(level: Level) -> Targets {
    let level = LevelFilter::from(level);
    let ours = env!("CARGO_CRATE_NAME");
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target(ours, level)
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// The sender of the queue. A separate thread receives, as writing may block.
#[derive(Debug, Clone)]
struct Lines {
    queue: SyncSender<Message>,
    dropped: IntCounter,
}

impl Lines {
    fn start(sink: impl Write + Send + 'static, queued_max: usize) -> Self {
        let (queue, waiting) = sync_channel(queued_max);
        let dropped =
            IntCounter::new("pyapns_log_lines_dropped_total", "Log lines dropped because the queue was full.")
                .expect("a name of letters and underscores");
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(&waiting, sink))
            .expect("a process that cannot start its first thread cannot run");
        Self { queue, dropped }
    }
}

/// Writes the queued lines. A line that cannot be written is lost.
fn write_lines(waiting: &Receiver<Message>, mut sink: impl Write) {
    while let Ok(message) = waiting.recv() {
        match message {
            Message::Line(line) => drop(sink.write_all(&line)),
            Message::Flush(written) => {
                let _ = sink.flush();
                let _ = written.try_send(());
            }
        }
    }
}

impl Write for &Lines {
    /// The subscriber writes each line in one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Message::Line(line.to_vec())).is_err() {
            self.dropped.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Lines;

    fn make_writer(&'a self) -> &'a Lines {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, MutexGuard};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn hold(&self) -> MutexGuard<'_, Vec<u8>> {
            self.0.lock().unwrap()
        }

        fn text(&self) -> String {
            String::from_utf8(self.hold().clone()).unwrap()
        }
    }

    impl Write for Sink {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.hold().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(config: Config, what: impl FnOnce()) -> String {
        logged_with(config, |_| what())
    }

    fn logged_with(config: Config, what: impl FnOnce(&Logging)) -> String {
        let sink = Sink::default();
        let lines = Lines::start(sink.clone(), 16);
        let (subscriber, filter) = subscriber(config, false, lines.clone());
        let logging = Logging { lines, filter };
        tracing::subscriber::with_default(subscriber, || what(&logging));
        logging.flush(Duration::from_secs(10));
        sink.text()
    }

    #[test]
    fn a_json_line_is_one_object_with_its_fields_on_top() {
        let config = Config { format: Format::Json, level: Level::Info };
        let text = logged(config, || tracing::info!(route = "/apps", status = 200, "answered"));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["message"], &line["route"], &line["level"]),
            (&"answered".into(), &"/apps".into(), &"INFO".into())
        );
    }

    #[test]
    fn the_level_applies_to_our_lines_and_libraries_are_logged_from_warn_on() {
        let text = logged(Config { format: Format::Human, level: Level::Debug }, || {
            tracing::debug!("ours");
            tracing::info!(target: "hyper", "chatter");
            tracing::warn!(target: "hyper", "trouble");
        });
        assert!(text.contains("ours") && text.contains("trouble") && !text.contains("chatter"), "{text}");
        let text = logged(Config { format: Format::Human, level: Level::Error }, || {
            tracing::warn!("ours");
            tracing::warn!(target: "hyper", "trouble");
        });
        assert_eq!(text, "");
    }

    #[test]
    fn the_level_can_change_while_the_log_runs() {
        let text = logged_with(Config { format: Format::Human, level: Level::Error }, |logging| {
            let say = |what: &str| tracing::info!("{what}");
            say("before");
            logging.set_level(Level::Info);
            say("between");
            logging.set_level(Level::Error);
            say("after");
        });
        assert!(text.contains("between") && !text.contains("before") && !text.contains("after"), "{text}");
    }

    #[test]
    fn a_blocked_sink_loses_lines_but_delays_no_thread() {
        let sink = Sink::default();
        let lines = Lines::start(sink.clone(), 4);
        let blocked = sink.hold();
        for _ in 0..100 {
            (&lines).write_all(b"line\n").unwrap();
        }
        // The thread may hold one line; four wait.
        assert!((95..=96).contains(&lines.dropped.get()), "{}", lines.dropped.get());
        drop(blocked);
    }
}
