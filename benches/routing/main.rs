//! The time of one look-up of the node that a lane's notifications go to: `cargo bench --bench routing`.
#![expect(clippy::disallowed_macros, reason = "a benchmark prints")]

use pyapns::cluster::{Member, MemberState, Pins, Route, View};
use pyapns::model::{AppId, AppKey, Environment, NodeName, NodeSession};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const APPS: usize = 10_000;
const ROUNDS: usize = 31;
/// The most that a look-up may take.
const MOST_NANOS: f64 = 200.0;

fn main() {
    let apps: Vec<AppKey> = (0..APPS).map(app).collect();
    println!("nanoseconds a look-up, the median of {ROUNDS} rounds of {APPS} apps; {MOST_NANOS} may be\n");
    println!("| nodes | all reachable | one missing |");
    println!("| ----- | ------------- | ----------- |");
    let mut worst: f64 = 0.0;
    for nodes in [1, 3, 5, 16] {
        let view = Arc::new(View::of((0..nodes).map(member), Pins::default()));
        let whole = measure(&Route::of(&view, []), &apps);
        let missing = measure(&Route::of(&view, [name(0)]), &apps);
        println!("| {nodes:5} | {whole:13.0} | {missing:11.0} |");
        worst = worst.max(whole).max(missing);
    }
    println!("\nthe slowest takes {worst:.0} ns{}", if worst > MOST_NANOS { ": missed" } else { "" });
}

fn measure(route: &Route, apps: &[AppKey]) -> f64 {
    let round = |_| {
        let began = Instant::now();
        for (number, app) in apps.iter().enumerate() {
            black_box(route.target(black_box(app), number as u16 % 4));
        }
        began.elapsed().as_nanos() as f64 / apps.len() as f64
    };
    let mut nanos: Vec<f64> = (0..ROUNDS).map(round).collect();
    nanos.sort_by(f64::total_cmp);
    nanos[ROUNDS / 2]
}

fn app(number: usize) -> AppKey {
    AppKey::new(AppId::new(&format!("com.example.app{number}")).expect("an id"), Environment::Production)
}

fn name(number: usize) -> NodeName {
    format!("push-{number}.example.com").parse().expect("a name")
}

fn member(number: usize) -> Member {
    let (node, session) = (name(number), NodeSession::from_bits(number as u128 + 1));
    Member { node, session, address: "127.0.0.1:1".to_owned(), weight: 1, state: MemberState::Active }
}
