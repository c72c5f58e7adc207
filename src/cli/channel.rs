//! `pyapns channel`: creates, lists, shows and deletes the broadcast channels of an app, through a running node.

use super::send::Node;
use super::{print, runtime};
use crate::drain::Drain;
use crate::http::client::{Client, refusal};
use crate::model::{AppId, Environment};
use anyhow::bail;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::fmt::Display;
use std::process::ExitCode;

/// Channels of a page: as many as Apple allows an app, and the most that the node answers with.
const PAGE_CHANNELS: usize = 10_000;

pub const EXAMPLES: &str = "\
Examples:
  pyapns channel create --app com.example.app --environment sandbox --policy 1
  pyapns channel list --app com.example.app --environment sandbox
  pyapns channel delete --app com.example.app --environment sandbox dHN0LXNyY2gtY2hubA==
  pyapns send --app com.example.app --environment sandbox --channel dHN0LXNyY2gtY2hubA== --payload @update.json

Prints a channel a line, as JSON; `delete` the one that it deleted. The API key, if the node requires one, needs the scope apps:read to list and show, and
apps:write to create and delete; give it in the variable PYAPNS_API_KEY (ID.SECRET) or with --api-key-file. Exit codes:
0 done; 1 refused or failed; 2 wrong usage.";

const CREATE_EXAMPLE: &str = "\
Example:
  pyapns channel create --app com.example.app --environment sandbox --policy 1

A call whose answer is lost may have created the channel: list the channels before you create another.";

const LIST_EXAMPLE: &str = "\
Example:
  pyapns channel list --app com.example.app --environment sandbox";

const SHOW_EXAMPLE: &str = "\
Example:
  pyapns channel show --app com.example.app --environment sandbox dHN0LXNyY2gtY2hubA==";

const DELETE_EXAMPLE: &str = "\
Example:
  pyapns channel delete --app com.example.app --environment sandbox dHN0LXNyY2gtY2hubA==";

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Create a channel and print it with the id that Apple gave it.
    #[command(after_help = CREATE_EXAMPLE)]
    Create {
        #[command(flatten)]
        app: App,
        /// 0: Apple stores nothing; 1: Apple stores the most recent message for devices that connect later. The policy
        /// of a channel cannot be changed.
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(0..=1))]
        policy: u8,
    },
    /// Print every channel of the app.
    #[command(after_help = LIST_EXAMPLE)]
    List {
        #[command(flatten)]
        app: App,
    },
    /// Print a channel with its policy.
    #[command(after_help = SHOW_EXAMPLE)]
    Show {
        #[command(flatten)]
        app: App,
        /// The id of the channel, as `create` and `list` print it.
        #[arg(value_name = "CHANNEL")]
        channel: String,
    },
    /// Delete a channel for good: devices get nothing from it any more, and its id is never used again.
    #[command(after_help = DELETE_EXAMPLE)]
    Delete {
        #[command(flatten)]
        app: App,
        /// The id of the channel, as `create` and `list` print it.
        #[arg(value_name = "CHANNEL")]
        channel: String,
    },
}

/// An app, and the node that delivers for it.
#[derive(Debug, clap::Args)]
pub struct App {
    /// The app id, as provisioned.
    #[arg(long, value_name = "ID")]
    app: AppId,
    /// sandbox or production.
    #[arg(long, value_name = "NAME")]
    environment: Environment,
    #[command(flatten)]
    node: Node,
}

impl App {
    /// Makes a call below `…/channels` and returns the answer.
    async fn call(&self, method: Method, below: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let mut client = Client::connect(&self.node.target()?, &Drain::new()).await?;
        let path = format!("/apps/{}/{}/channels{below}", self.app.as_str(), self.environment.as_str());
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let (status, answer) = client.exchange(method, &path, body.into()).await?;
        if !(200..300).contains(&status) {
            bail!("{}", refusal(status, &answer));
        }
        Ok(answer)
    }

    /// Makes a call for one channel and returns what the answer shows.
    async fn call_for(&self, method: Method, channel: &str) -> anyhow::Result<Value> {
        let mut answer = self.call(method, &format!("/{}", encoded(channel)), None).await?;
        Ok(answer["response"].take())
    }

    /// Prints every channel, page by page.
    async fn list(&self) -> anyhow::Result<()> {
        let mut from = String::new();
        loop {
            let answer = self.call(Method::GET, &format!("?limit={PAGE_CHANNELS}{from}"), None).await?;
            let page = answer["response"].as_array().map(Vec::as_slice).unwrap_or_default();
            page.iter().try_for_each(print::line)?;
            match answer["cursor"].as_str() {
                Some(cursor) if page.len() >= PAGE_CHANNELS => from = format!("&cursor={}", encoded(cursor)),
                _ => return Ok(()),
            }
        }
    }
}

fn encoded(text: &str) -> impl Display {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match &command {
            Command::Create { app, policy } => {
                let body = json!({ "message_storage_policy": policy });
                print::line(&app.call(Method::POST, "", Some(body)).await?["response"])?;
            }
            Command::List { app } => app.list().await?,
            Command::Show { app, channel } => print::line(app.call_for(Method::GET, channel).await?)?,
            Command::Delete { app, channel } => print::line(app.call_for(Method::DELETE, channel).await?)?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
