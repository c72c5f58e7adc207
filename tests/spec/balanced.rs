//! A cluster behind HAProxy and Nginx, with the configuration files of this repository.
//!
//! Nodes stop with 3 seconds of notice, and old connections close after 10: each test takes at most 60 s.

mod guarded;
mod hangs;
mod placement;
mod restarts;
mod streams;
mod try_cluster;

use crate::support::balancer::{Balancer, Kind};
use crate::support::lasting_address::lasting_address;
use crate::support::site::{Node, Seat, Site};
use std::net::SocketAddr;

const NAMES: [&str; 4] = ["push-1", "push-2", "push-3", "push-4"];
/// Three seconds, as the documentation says.
const NOTICE: u32 = 3;

/// Nodes at addresses that the balancer knows. The last one need not run.
struct Balanced {
    site: Site,
    nodes: Vec<Node>,
    addresses: [SocketAddr; 4],
    balancer: Balancer,
}

impl Balanced {
    /// Starts three nodes.
    async fn start(kind: Kind) -> Self {
        let (site, addresses) = (Site::new(&[]).await.with_notice(NOTICE), NAMES.map(|_| lasting_address()));
        let servers: Vec<_> = NAMES.into_iter().zip(addresses).collect();
        let balancer = Balancer::start(kind, &servers).await;
        let mut balanced = Self { site, nodes: Vec::new(), addresses, balancer };
        for index in 0..3 {
            let node = balanced.run(index).await;
            balanced.nodes.push(node);
        }
        balanced.wait_joined().await;
        balanced
    }

    /// Starts the node of that index.
    async fn run(&self, index: usize) -> Node {
        self.site.start_at(Seat { port: self.addresses[index].port(), ..self.site.seat(NAMES[index]) }).await
    }

    async fn wait_joined(&self) {
        let nodes: Vec<&Node> = self.nodes.iter().collect();
        self.site.wait_joined(&nodes).await;
    }

    /// Provisions apps through the balancer, and waits until every node knows them.
    async fn provision(&self, apps: &[String]) {
        let mut front = crate::support::client::Client::connect(self.balancer.address).await;
        for app in apps {
            let credential = self.site.simulator.identity().client_pem.clone();
            let mut answer = front.post(app, credential.clone()).await;
            // A Redis on a busy machine may not answer in time.
            while answer.reason() == "store_away" {
                answer = front.post(app, credential.clone()).await;
            }
            assert_eq!(answer.status, 201, "{answer:?}");
        }
        for node in &self.nodes {
            let mut client = node.client().await;
            for app in apps {
                while client.get(app).await.status != 200 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// The sum of a metric over the nodes.
    async fn sum(&self, metric: &str) -> f64 {
        let mut sum = 0.0;
        for node in &self.nodes {
            sum += node.metric(metric).await;
        }
        sum
    }

    async fn stop(self) {
        let stopping: Vec<_> = self.nodes.into_iter().map(|node| tokio::spawn(node.process.stop())).collect();
        for node in stopping {
            node.await.expect("a node that ends well");
        }
    }
}
