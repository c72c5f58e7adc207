//! A whole world in one process: a node as production builds it, the simulator, and a provisioned app.

use super::client::{Answer, Client};
use pyapns::apns::connect::Connect;
use pyapns::config::{Config, File};
use pyapns::node::{Node, World as Outside};
use serde_json::{Value, json};
use simulator::{Environment, Options, Simulator};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The app that every world has.
pub const APP: &str = "/apps/com.example.app/sandbox";

/// The provider's credential, as the app is provisioned with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    Certificate,
    Token,
}

pub struct World {
    pub simulator: Simulator,
    pub node: Running,
    pub directory: TempDir,
}

/// A node that serves.
pub struct Running {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<bool>,
}

/// The settings that take `gateway` for both of Apple's environments.
fn both(gateway: SocketAddr) -> String {
    format!("sandbox = \"https://{gateway}\"\nproduction = \"https://{gateway}\"")
}

/// The same with the simulator's gateways for the management of channels.
fn all_of(simulator: &Simulator) -> String {
    let of = [("sandbox", Environment::Sandbox), ("production", Environment::Production)];
    let settings = of.map(|(name, environment)| {
        let address = simulator.channels_address(environment);
        address.map_or_else(String::new, |address| format!("\n{name}_channels = \"https://{address}\""))
    });
    both(simulator.address()) + &settings.concat()
}

impl Running {
    /// A node that takes `gateway` for both of Apple's environments.
    pub async fn start(directory: &Path, gateway: SocketAddr) -> Self {
        Self::with(directory, &both(gateway)).await
    }

    /// A node with these settings of the way to Apple, which trusts the simulator in the same directory.
    pub async fn with(directory: &Path, apple: &str) -> Self {
        Self::through(directory, apple, None).await
    }

    /// A world with another connector than production's.
    pub async fn through(directory: &Path, apple: &str, connect: Option<Arc<dyn Connect>>) -> Self {
        let ca_file = directory.join("simulator/ca.pem");
        let data = directory.join("data");
        let text = format!(
            "drain_notice_seconds = 0\nlisten = \"127.0.0.1:0\"\ndata_dir = {data:?}\n[apple]\nca_file = {ca_file:?}\n{apple}\n",
        );
        let file = File { name: "test", text: &text };
        let config = Config::parse(Some(file), &|_| None).expect("good settings");
        let mut outside = Outside::real(&config);
        outside.connect = connect.unwrap_or(outside.connect);
        Self::run(Node::build(config, outside).await.expect("a node"))
    }

    /// A node that was built already.
    pub fn run(node: Node) -> Self {
        let address = node.address().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(async move {
            node.run(async {
                let _ = stopped.await;
            })
            .await
        });
        Self { address, stop, done }
    }

    /// Drains the node; all it had must be finished in time.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        assert!(self.done.await.expect("no panic"), "the node did not finish in time");
    }
}

impl World {
    pub async fn start() -> Self {
        Self::with(Credential::Certificate).await
    }

    pub async fn with(credential: Credential) -> Self {
        Self::made(Options::default(), credential).await
    }

    /// Beside such a simulator.
    pub async fn beside(options: Options) -> Self {
        Self::made(options, Credential::Certificate).await
    }

    /// Beside a simulator whose addresses all belong to one name; `connect` opens streams to them.
    pub async fn through(options: Options, connect: impl FnOnce(&[SocketAddr]) -> Arc<dyn Connect>) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let options = Options { directory: Some(directory.path().join("simulator")), ..options };
        let simulator = Simulator::start(options).await.expect("a simulator");
        let gateway = format!("sandbox = 'https://localhost:{}'", simulator.address().port());
        let connect = connect(simulator.addresses());
        let node = Running::through(directory.path(), &gateway, Some(connect)).await;
        let world = Self { simulator, node, directory };
        assert_eq!(world.provision(APP, Credential::Certificate).await.status, 201);
        world
    }

    /// Provisions an app with either kind of credential.
    pub async fn beside_with(options: Options, credential: Credential) -> Self {
        Self::made(options, credential).await
    }

    /// Its apps have one connection per lane, even a full one: any other replaces one that ended.
    pub async fn with_one_connection(options: Options, credential: Credential) -> Self {
        Self::set(options, "connections = 1", credential).await
    }

    async fn made(options: Options, credential: Credential) -> Self {
        Self::set(options, "", credential).await
    }

    async fn set(options: Options, apple: &str, credential: Credential) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let options = Options { directory: Some(directory.path().join("simulator")), ..options };
        let simulator = Simulator::start(options).await.expect("a simulator");
        let apple = format!("{}\n{apple}", all_of(&simulator));
        let node = Running::with(directory.path(), &apple).await;
        let world = Self { simulator, node, directory };
        let answer = world.provision(APP, credential).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        world
    }

    pub async fn provision(&self, app: &str, credential: Credential) -> Answer {
        let identity = self.simulator.identity();
        let body = match credential {
            Credential::Certificate => identity.client_pem.clone(),
            Credential::Token => {
                let (key, key_id, team_id) = (&identity.key_pem, &identity.key_id, &identity.team_id);
                json!({"key": key, "key_id": key_id, "team_id": team_id, "topic": identity.topic}).to_string()
            }
        };
        self.client().await.post(app, body).await
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.node.address).await
    }

    /// Sends to the world's app.
    pub async fn send(&self, notifications: &Value) -> Answer {
        self.send_with("", notifications).await
    }

    /// Sends with a query, which begins with `?`.
    pub async fn send_with(&self, query: &str, notifications: &Value) -> Answer {
        let path = format!("{APP}/notifications{query}");
        self.client().await.post(&path, notifications.to_string()).await
    }

    /// The node's metrics as Prometheus reads them.
    pub async fn metrics(&self) -> String {
        self.client().await.text("/metrics").await
    }

    /// Stops the node and starts it again on the same data.
    pub async fn restart(self) -> Self {
        self.node.stop().await;
        let node = Running::with(self.directory.path(), &all_of(&self.simulator)).await;
        Self { node, ..self }
    }

    /// A world whose apps' lanes have one connection each.
    pub async fn restart_with_one_connection(self) -> Self {
        self.node.stop().await;
        let apple = format!("{}\nconnections = 1", both(self.simulator.address()));
        let node = Running::with(self.directory.path(), &apple).await;
        Self { node, ..self }
    }

    /// Everything must end well.
    pub async fn stop(self) {
        self.node.stop().await;
        self.simulator.stop().await;
    }
}

/// A device token of 64 hex digits.
pub fn token(number: usize) -> String {
    format!("{:064x}", (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// A notification with that token.
pub fn to(token: &str) -> Value {
    json!({"token": token, "payload": {"aps": {"alert": "Hello"}}})
}
