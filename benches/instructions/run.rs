//! One shape, from a node's start to its last answer; to be run under valgrind, which counts inside [`counted`].

use crate::apple::Apple;
use crate::caller::Caller;
use crate::shapes::{self, Shape};
use pyapns::clock::Clock;
use pyapns::config::{Config, File};
use pyapns::node::{Node, World};
use simulator::Identity;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// Makes this program run one shape.
pub const ARGUMENT: &str = "run";
/// Counting is switched on and off at the beginning and the end of the functions that match.
pub const SWITCHES: [&str; 4] = ["*::run::counted", "*::uncounted_read", "*::uncounted_write", "*::uncounted_wait"];
/// The app everything is sent to.
pub const APP: &str = "/apps/com.example.app/production";

/// Runs a shape.
pub fn run(shape: &Shape) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let directory = tempfile::tempdir().expect("a folder");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let node = runtime.block_on(node(directory.path()));
    let identity = Identity::generate().expect("a certificate");
    let provisioner = Caller::new(shapes::post(APP, "", "text/plain", identity.client_pem.as_bytes()), 0);
    start(&runtime, &node, &provisioner, 1);
    runtime.block_on(&provisioner);
    let callers: Vec<_> =
        (0..shape.callers).map(|number| Caller::new(shape.request(number), shape.notifications)).collect();
    callers.iter().for_each(|caller| start(&runtime, &node, caller, shape.warm_up));
    runtime.block_on(all(&callers));
    callers.iter().for_each(|caller| caller.allow(shape.counted));
    counted(&runtime, &callers);
    [provisioner].iter().chain(&callers).for_each(Caller::check);
}

#[inline(never)]
fn counted(runtime: &Runtime, callers: &[Caller]) {
    runtime.block_on(all(callers));
}

async fn all(callers: &[Caller]) {
    for caller in callers {
        caller.await;
    }
}

fn start(runtime: &Runtime, node: &Node, caller: &Caller, requests: usize) {
    caller.allow(requests);
    runtime.spawn(node.serve_io(caller.clone()));
}

async fn node(directory: &std::path::Path) -> Node {
    let text = format!("listen = \"127.0.0.1:0\"\ndata_dir = {:?}\n", directory.join("data"));
    let config = Config::parse(Some(File { name: "gate", text: &text }), &|_| None).expect("good settings");
    Node::build(
        config,
        World {
            clock: Clock::system(),
            connect: Arc::new(Apple),
            has_simulator: false,
            cluster: None,
            shared_store: None,
        },
    )
    .await
    .expect("a node")
}
