//! `pyapns send`: one push, a file of many, or a broadcast to a channel, through a running node.

mod stream;
mod tally;

use super::{print, runtime};
use crate::api::routes::notifications::TIMEOUT_RANGE;
use crate::credentials::{Secret, paths};
use crate::drain::Drain;
use crate::http::client::{Authorities, Client, NodeUrl, Target, refusal};
use crate::model::{AppId, Environment};
use anyhow::{Context, bail};
use clap::ArgGroup;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use stream::{Source, StreamResult};
use tally::Tally;

/// The variable of the API key, `ID.SECRET`.
pub const API_KEY: &str = "PYAPNS_API_KEY";

pub const EXAMPLES: &str = "\
Examples:
  pyapns send --app com.example.app --environment sandbox --token 00fc13ad… --alert 'Hello'
  pyapns send --app com.example.app --environment production --token 00fc13ad… --payload @payload.json --priority 5
  pyapns send --app com.example.app --environment production --file million.ndjson --output outcomes.ndjson
  pyapns send --app com.example.app --environment production --channel dHN0LXNyY2gtY2hubA== --payload @update.json
  generate | pyapns send --app com.example.app --environment production --file - > outcomes.ndjson

Prints one outcome a line, as JSON, and the number of each kind on stderr. A file has one notification a line, as
POST …/notifications accepts it. A broadcast goes to all devices that subscribe to the channel; `pyapns channel`
makes channels. Give an API key, if the node requires one, in the variable PYAPNS_API_KEY (ID.SECRET) or
with --api-key-file. Exit codes: 0 all were accepted; 1 some were not; 2 wrong usage.";

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("what").required(true)))]
pub struct Arguments {
    /// The app id, as provisioned.
    #[arg(long, value_name = "ID")]
    app: AppId,
    /// sandbox or production.
    #[arg(long, value_name = "NAME")]
    environment: Environment,
    #[command(flatten)]
    push: Push,
    /// Notifications to stream, one JSON object a line; `-` reads stdin.
    #[arg(long, value_name = "FILE", group = "what", conflicts_with = "push")]
    file: Option<PathBuf>,
    /// The file for the outcomes, one a line [default: stdout].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The time limit for the outcomes; for a file, for the outcomes of each block of lines.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<f64>,
    /// Resend a notification that Apple may have received already: duplicates are better than losses.
    #[arg(long)]
    retry_unknown: bool,
    /// Show no progress of a file.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    node: Node,
}

/// One notification.
#[derive(Debug, clap::Args)]
#[group(id = "push", multiple = true)]
#[command(group(ArgGroup::new("content")))]
struct Push {
    /// The device token in hex; may be repeated.
    #[arg(long, value_name = "HEX", group = "what", requires = "content")]
    token: Vec<String>,
    /// The id of a channel to broadcast to, for Live Activities; may be repeated.
    #[arg(long, value_name = "ID", group = "what", requires = "payload")]
    #[arg(conflicts_with_all = ["alert", "push_type", "topic", "collapse_id"])]
    channel: Vec<String>,
    /// The payload for Apple, as JSON; @FILE reads it from a file.
    #[arg(long, value_name = "JSON", group = "content", value_parser = payload)]
    payload: Option<Payload>,
    /// The text to show: the payload is {"aps":{"alert":TEXT}}.
    #[arg(long, value_name = "TEXT", group = "content")]
    alert: Option<String>,
    /// 10 immediately, 5 to spare the device's battery, 1 without waking the device.
    #[arg(long, value_name = "NUMBER", value_parser = priority)]
    priority: Option<u64>,
    /// alert, background, voip, …; derived from the payload if left out.
    #[arg(long, value_name = "TYPE")]
    push_type: Option<String>,
    /// A topic in place of the app's.
    #[arg(long)]
    topic: Option<String>,
    /// Notifications with the same id show as one.
    #[arg(long, value_name = "ID")]
    collapse_id: Option<String>,
    /// The UNIX time until which Apple keeps trying; 0 tries once.
    #[arg(long, value_name = "SECONDS")]
    expiry: Option<u64>,
    /// Your name for the notification, repeated in its outcome; a UUID becomes the apns-id.
    #[arg(long, value_name = "TEXT")]
    identifier: Option<String>,
}

/// The payload for Apple.
#[derive(Debug, Clone)]
enum Payload {
    Json(Box<RawValue>),
    File(PathBuf),
}

/// The node to call.
#[derive(Debug, clap::Args)]
pub struct Node {
    /// The node: http://HOST:PORT, https://HOST:PORT or unix:/path/of/the.sock.
    #[arg(long, value_name = "URL", env = "PYAPNS_NODE", default_value = "http://127.0.0.1:8088")]
    node: NodeUrl,
    /// A file with the API key, ID.SECRET; overrides the variable PYAPNS_API_KEY.
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// Authorities (PEM) to trust for https, in place of the public ones.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Node {
    /// The node with the API key from its file, or from the variable.
    pub fn target(&self) -> anyhow::Result<Target> {
        let api_key = api_key(self.api_key_file.as_deref())?;
        let authorities = self.ca_file.clone().map_or(Authorities::Public, Authorities::File);
        Ok(Target { api_key, node: self.node.clone(), authorities })
    }
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let done = runtime.block_on(send(arguments));
    // A thread may block on stdin without end.
    runtime.shutdown_background();
    done
}

async fn send(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let callee = arguments.node.target()?;
    let body = if arguments.file.is_none() { Some(notification(&arguments.push)?) } else { None };
    let mut output: Box<dyn Write> = match &arguments.output {
        None => Box::new(io::stdout()),
        Some(path) => Box::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?),
    };
    let drain = Drain::new();
    let path = request_path(&arguments);
    let Some(body) = body else {
        let source = Source::open(arguments.file.as_deref().unwrap_or(Path::new("-"))).await?;
        let mut caller = Client::connect(&callee, &drain).await?;
        let done = stream::send(&mut caller, &path, source, &mut *output, arguments.quiet, &drain).await?;
        return Ok(report(&done));
    };
    let mut caller = Client::connect(&callee, &drain).await?;
    let (status, answer) = caller.exchange(http::Method::POST, &path, body.into()).await?;
    if status != 201 {
        bail!("{}", refusal(status, &answer));
    }
    let outcomes = match &answer["response"] {
        Value::Array(outcomes) => outcomes.iter().collect(),
        outcome => vec![outcome],
    };
    let mut tally = Tally::default();
    for outcome in outcomes.into_iter().map(Value::to_string) {
        print::ignore_closed_pipe(writeln!(output, "{outcome}")).context("the outcomes cannot be written")?;
        tally.count(outcome.as_bytes());
    }
    print::note(tally.summary());
    Ok(exit_code(tally.all_accepted()))
}

/// Prints the summary of a file.
fn report(done: &StreamResult) -> ExitCode {
    let answered = done.tally.total();
    print::note(format_args!("{answered} notifications: {}", done.tally.summary()));
    if let Some(why) = &done.failure {
        print::note(format_args!("pyapns: {why}"));
    }
    if answered < done.sent {
        let (first, last) = (answered + 1, done.sent);
        print::note(format_args!(
            "not answered: notifications {first} to {last} were sent, and Apple may have received them"
        ));
    }
    if done.stopped {
        let first = done.sent + 1;
        print::note(format_args!("not sent: notification {first} and all after it (blank lines do not count)"));
    }
    exit_code(done.tally.all_accepted() && done.failure.is_none() && !done.stopped && answered == done.sent)
}

fn exit_code(is_success: bool) -> ExitCode {
    if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn request_path(arguments: &Arguments) -> String {
    let mut query = Vec::new();
    query.extend(arguments.timeout.map(|seconds| format!("timeout={seconds}")));
    query.extend(arguments.retry_unknown.then(|| "retry_unknown=true".to_owned()));
    let question = if query.is_empty() { "" } else { "?" };
    let (app, environment) = (arguments.app.as_str(), arguments.environment.as_str());
    let resource = if arguments.push.channel.is_empty() { "notifications" } else { "broadcasts" };
    format!("/apps/{app}/{environment}/{resource}{question}{}", query.join("&"))
}

/// The body of a push or a broadcast; the payload is sent byte for byte.
fn notification(push: &Push) -> anyhow::Result<String> {
    let payload = match &push.payload {
        None => to_raw_value(&json!({"aps": {"alert": push.alert}}))?,
        Some(Payload::Json(payload)) => payload.clone(),
        Some(Payload::File(path)) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?
        }
    };
    let whole = |address: (&str, Value)| {
        let options = Value::Object(options(push, address)).to_string();
        format!("{},\"payload\":{payload}}}", options.trim_end_matches('}'))
    };
    Ok(match (push.channel.as_slice(), push.token.as_slice()) {
        ([], [token]) => whole(("token", json!(token))),
        ([], tokens) => whole(("tokens", json!(tokens))),
        ([channel], _) => whole(("channel", json!(channel))),
        (channels, _) => {
            let broadcasts: Vec<_> = channels.iter().map(|channel| whole(("channel", json!(channel)))).collect();
            format!("[{}]", broadcasts.join(","))
        }
    })
}

/// The fields of a push or a broadcast without its payload.
fn options(push: &Push, (name, address): (&str, Value)) -> Map<String, Value> {
    let mut options = Map::from_iter([(name.to_owned(), address)]);
    let mut put = |name: &str, value: Option<Value>| options.extend(value.map(|value| (name.to_owned(), value)));
    put("priority", push.priority.map(Value::from));
    put("push_type", push.push_type.clone().map(Value::from));
    put("topic", push.topic.clone().map(Value::from));
    put("collapse_id", push.collapse_id.clone().map(Value::from));
    put("expiry", push.expiry.map(Value::from));
    put("identifier", push.identifier.clone().map(Value::from));
    options
}

fn payload(text: &str) -> Result<Payload, String> {
    match text.strip_prefix('@') {
        Some(path) => Ok(Payload::File(path.into())),
        None => {
            serde_json::from_str(text).map(Payload::Json).map_err(|error| format!("must be JSON or @FILE: {error}"))
        }
    }
}

fn priority(text: &str) -> Result<u64, &'static str> {
    text.parse().ok().filter(|number| [10, 5, 1].contains(number)).ok_or("must be 10, 5 or 1")
}

fn seconds(text: &str) -> Result<f64, String> {
    let (least, most) = TIMEOUT_RANGE.into_inner();
    let seconds = text.parse().ok().filter(|seconds| (least..=most).contains(seconds));
    seconds.ok_or_else(|| format!("must be a number of seconds from {least} to {most}"))
}

fn api_key(file: Option<&Path>) -> anyhow::Result<Option<Secret>> {
    let Some(path) = file else { return Ok(std::env::var(API_KEY).ok().map(Secret::from)) };
    let read = paths::read_trusted(path)?;
    Ok(Some(Secret::from(read.expose().trim_ascii().to_vec())))
}
