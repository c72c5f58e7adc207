//! The peer: the crate a2, sending the same notifications to the same simulator as the floor and the daemon.

use a2::request::payload::PayloadLike;
use a2::{Client, ClientConfig, Endpoint, NotificationOptions, Priority, PushType};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Tokens that are sent to in turn.
const TOKENS: usize = 8000;
/// With it a payload has 160 bytes.
const BODY: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// The one argument, as JSON; it says more to others.
#[derive(Deserialize)]
struct Order {
    certificate_file: String,
    topic: String,
    notifications: usize,
    in_flight: usize,
}

#[derive(Debug, Serialize)]
struct Push<'a> {
    aps: Aps<'a>,
    #[serde(skip)]
    token: &'a str,
    #[serde(skip)]
    options: NotificationOptions<'a>,
}

#[derive(Debug, Serialize)]
struct Aps<'a> {
    alert: Alert<'a>,
    sound: &'a str,
}

#[derive(Debug, Serialize)]
struct Alert<'a> {
    title: &'a str,
    body: &'a str,
}

impl PayloadLike for Push<'_> {
    fn get_device_token(&self) -> &str {
        self.token
    }

    fn get_options(&self) -> &NotificationOptions<'_> {
        &self.options
    }
}

fn main() {
    let order = std::env::args().nth(1).expect("an order");
    let order: Order = serde_json::from_str(&order).expect("an order as JSON");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pem = std::fs::read(&order.certificate_file).expect("a certificate");
        let config = ClientConfig::new(Endpoint::Sandbox);
        let client = Client::certificate_parts(&pem, &pem, config).expect("a client");
        // Alone, so that those that follow find a connection.
        send(&client, &order, 1).await;
        send(&client, &order, order.notifications / 10).await;
        let (cpu, began) = (own_cpu(), Instant::now());
        send(&client, &order, order.notifications).await;
        println!(r#"{{"cpu":{},"wall":{}}}"#, own_cpu() - cpu, began.elapsed().as_secs_f64());
    });
}

/// Closed loop: one more goes out for each that is answered.
async fn send(client: &Client, order: &Order, notifications: usize) {
    let mut waiting = FuturesUnordered::new();
    for number in 0..notifications {
        if waiting.len() == order.in_flight {
            waiting.next().await;
        }
        waiting.push(one(client, order, number));
    }
    while waiting.next().await.is_some() {}
}

async fn one(client: &Client, order: &Order, number: usize) {
    let number = ((number % TOKENS) as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let (token, id) = (format!("{number:064x}"), uuid::Uuid::new_v4().to_string());
    let options = NotificationOptions {
        apns_id: Some(&id),
        apns_push_type: Some(PushType::Alert),
        apns_priority: Some(Priority::High),
        apns_topic: Some(&order.topic),
        ..NotificationOptions::default()
    };
    let aps = Aps { alert: Alert { title: "Bench", body: BODY }, sound: "default" };
    let answer = client.send(Push { aps, token: &token, options }).await.expect("an answer");
    assert_eq!(answer.code, 200);
}

/// Seconds of user and system time of this process so far, all its threads.
fn own_cpu() -> f64 {
    let time = nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID.now().expect("a clock");
    std::time::Duration::from(time).as_secs_f64()
}
