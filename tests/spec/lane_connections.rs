//! The life of an app's connections: opened one after the other, replaced before they end, closed when not needed.

use crate::support::pipes::{Gateway, Manner, address, talk};
use crate::support::sender::{DEADLINE, Sender, all, app, is_accepted, numbers, tally};
use pyapns::model::OutcomeKind;
use rustls::AlertDescription;
use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

const SECOND: Duration = Duration::from_secs(1);

/// A notification to each of `count` tokens.
fn each(count: usize) -> Vec<(usize, usize)> {
    (0..count).map(|at| (at, at)).collect()
}

#[tokio::test(start_paused = true)]
async fn connections_open_one_after_the_other_while_all_are_full_and_close_when_not_needed() {
    let gateway = Gateway::new(|peer| talk(peer.serve(10, SECOND)));
    let (sender, app) = (Sender::new(&gateway), app("hot"));
    let mut begun = Vec::new();
    for round in 0..300 {
        begun.push(sender.begin(&app, (0..5).map(|at| (round * 5 + at, round)).collect(), DEADLINE));
        sleep(SECOND / 10).await;
    }
    let outcomes = all(begun).await;
    assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
    let opened = gateway.ledger().dials.len();
    assert!((5..=10).contains(&opened), "{opened} connections of 10/s each for 50/s and what has piled up");
    for (at, gap) in gateway.dial_gaps().into_iter().enumerate() {
        // The connection before must have accepted a notification, which takes a second here; only then this one is
        // useful.
        assert!(gap >= 1.0, "connection {} came after {gap} s", at + 1);
    }
    assert_eq!(sender.metric("connections"), opened as f64);

    for minute in 0..65 {
        assert!(is_accepted(&sender.one(&app, minute, 0).await));
        sleep(60 * SECOND).await;
    }
    assert_eq!(sender.metric("connections"), 1.0, "one suffices for this traffic");
    assert_eq!(gateway.ledger().dials.len(), opened, "and it is an old one");
    sleep(3700 * SECOND).await;
    assert_eq!(sender.metric("connections"), 0.0, "after an hour without traffic none is left");
}

/// More answers in a wave than requests in a write, and waves that follow each other quickly: there is room now and then,
/// but never for what waits.
#[tokio::test(start_paused = true)]
async fn another_connection_opens_at_any_distance_to_apple() {
    let gateway = Gateway::new(|peer| talk(peer.serve(300, SECOND / 25)));
    let sender = Sender::new(&gateway);
    let outcomes = sender.begin(&app("hot"), each(4_000), DEADLINE).await.expect("no panic");
    assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
    assert!(gateway.ledger().dials.len() >= 2, "all 300 streams were taken for half a second");
}

/// The gateway never returns credit to a connection, and answers every PING.
#[tokio::test(start_paused = true)]
async fn a_connection_whose_windows_stay_shut_is_given_up() {
    let gateway = Gateway::new(|peer| talk(peer.serve(300, SECOND / 25)));
    let sender = Sender::with(&gateway, |lanes| lanes.with_connections_max(1));
    let outcomes = sender.begin(&app("hot"), each(4_000), DEADLINE).await.expect("no panic");
    assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
    assert_eq!(gateway.ledger().dials.len(), 2);
}

/// Each is over before the connection is given up, and for a while nothing waits.
#[tokio::test(start_paused = true)]
async fn windows_that_stay_shut_show_to_sparse_callers_too() {
    let gateway = Gateway::new(|peer| talk(peer.serve(300, SECOND / 25)));
    let (sender, app) = (Sender::with(&gateway, |lanes| lanes.with_connections_max(1)), app("sparse"));
    let outcomes = sender.begin(&app, each(4_000), SECOND).await.expect("no panic");
    assert!(outcomes.iter().any(|outcome| !is_accepted(outcome)), "the window is used up");
    for number in 4_000..4_003 {
        sender.begin(&app, vec![(number, number)], SECOND).await.expect("no panic");
        sleep(2 * SECOND).await;
    }
    let last = sender.begin(&app, vec![(5_000, 5_000)], SECOND).await.expect("no panic");
    assert!(last.iter().all(is_accepted), "{:?}", tally(&last));
    assert_eq!(gateway.ledger().dials.len(), 2);
}

/// The gateway answers every PING, and allows no request.
#[tokio::test(start_paused = true)]
async fn a_connection_that_never_allows_a_stream_is_given_up() {
    let gateway = Gateway::new(|peer| {
        let streams = if peer.number == 0 { 0 } else { 100 };
        talk(peer.serve(streams, SECOND / 10))
    });
    let sender = Sender::new(&gateway);
    let began = Instant::now();
    assert!(is_accepted(&sender.one(&app("any"), 1, 1).await));
    assert!(began.elapsed() < 7 * SECOND, "{:?}", began.elapsed());
    assert_eq!(gateway.ledger().dials.len(), 2);
}

/// No other traffic wakes the lane: its timers must send their PINGs themselves.
#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_does_not_count_as_dead_beside_another_connection() {
    const BUSY: usize = 400;
    let gateway = Gateway::new(|mut peer| {
        if peer.number > 0 {
            return talk(peer.serve(10, SECOND));
        }
        talk(async move {
            peer.handshake(10).await;
            while let Some(push) = peer.next().await {
                if numbers(&push.body).1 < BUSY {
                    sleep(SECOND / 10).await;
                    peer.accept(&push).await;
                }
            }
        })
    });
    let (sender, app) = (Sender::with(&gateway, |lanes| lanes.with_connections_max(2)), app("any"));
    assert!(sender.begin(&app, each(BUSY), 100 * SECOND).await.expect("no panic").iter().all(is_accepted));
    assert_eq!(sender.metric("connections"), 2.0);
    sleep(60 * SECOND).await;
    let first = sender.begin(&app, vec![(1, BUSY)], DEADLINE);
    sleep(SECOND * 49 / 10).await;
    let second = sender.begin(&app, vec![(2, BUSY + 1)], DEADLINE);
    let ended = tally(&all(vec![first, second]).await);
    assert_eq!(ended.into_keys().collect::<Vec<_>>(), ["unknown deadline_passed"]);
}

#[tokio::test(start_paused = true)]
async fn an_app_gets_no_more_connections_than_the_setting_allows() {
    for connections in [1, 3] {
        let gateway = Gateway::new(|peer| talk(peer.serve(10, SECOND)));
        let sender = Sender::with(&gateway, |lanes| lanes.with_connections_max(connections));
        let outcomes = sender.begin(&app("hot"), each(200), DEADLINE).await.expect("no panic");
        assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
        assert_eq!(gateway.ledger().dials.len(), connections);
    }
}

#[tokio::test(start_paused = true)]
async fn no_second_connection_is_opened_beside_one_that_never_accepted_a_notification() {
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(1).await;
            while let Some(push) = peer.next().await {
                sleep(SECOND / 10).await;
                peer.refuse(&push, 400, "BadDeviceToken").await;
            }
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("wrong"));
    let outcomes = sender.begin(&app, each(250), DEADLINE).await.expect("no panic");
    assert_eq!(tally(&outcomes).get("rejected BadDeviceToken"), Some(&250));
    assert_eq!(gateway.ledger().dials.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_connection_that_widens_after_its_first_answer_is_enough() {
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(1).await;
            let push = peer.next().await.expect("a request");
            sleep(SECOND / 2).await;
            peer.accept(&push).await;
            sleep(SECOND / 20).await;
            peer.allow(1000).await;
            peer.go_on(SECOND / 5).await;
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let outcomes = sender.begin(&app, each(500), DEADLINE).await.expect("no panic");
    assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
    assert_eq!(gateway.ledger().dials.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn notifications_to_one_token_arrive_in_order_over_several_connections() {
    const TOKENS: usize = 40;
    let gateway = Gateway::new(|peer| {
        let latency = SECOND / [3, 20, 7, 50][peer.number % 4];
        talk(peer.serve(4, latency))
    });
    let (sender, app) = (Sender::new(&gateway), app("hot"));
    let mut begun = Vec::new();
    for round in 0..100 {
        begun.push(sender.begin(
            &app,
            (0..TOKENS / 4).map(|at| (fastrand::usize(..TOKENS), round * 100 + at)).collect(),
            DEADLINE,
        ));
        sleep(SECOND / 20).await;
    }
    let outcomes = all(begun).await;
    assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
    let ledger = gateway.ledger();
    let mut last = HashMap::new();
    let mut used: HashMap<usize, HashSet<usize>> = HashMap::new();
    // Over connections of different speed, the order is kept only if tokens do not change their connection.
    for (connection, body) in &ledger.accepted {
        let (token, number) = numbers(body);
        let before = last.insert(token, number);
        assert!(before < Some(number), "token {token}: {number} came after {before:?}");
        used.entry(token).or_default().insert(*connection);
    }
    assert_eq!(ledger.pushes.len(), outcomes.len());
    assert!(ledger.dials.len() >= 3, "{} connections", ledger.dials.len());
    assert!(used.values().any(|connections| connections.len() > 1), "tokens move when nothing of theirs is in flight");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_nothing_holds_up_its_own_tokens_only() {
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            if peer.number > 0 {
                return peer.serve(20, SECOND / 10).await;
            }
            peer.handshake(20).await;
            for _ in 0..100 {
                let Some(push) = peer.next().await else { return };
                sleep(SECOND / 50).await;
                peer.accept(&push).await;
            }
            peer.silent = true;
            while peer.next().await.is_some() {}
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("hot"));
    let mut begun = Vec::new();
    for round in 0..150 {
        let batch = (0..10).map(|at| ((round * 10 + at) % 500, round)).collect();
        begun.push(sender.begin(&app, batch, 5 * SECOND));
        sleep(SECOND / 10).await;
    }
    let outcomes = all(begun).await;
    let unknown = outcomes.iter().filter(|outcome| outcome.kind == OutcomeKind::Unknown).count();
    assert_eq!(unknown, 20, "what it had taken: {:?}", tally(&outcomes));
    let accepted = outcomes.iter().filter(|outcome| is_accepted(outcome)).count();
    assert!((1420..1480).contains(&accepted), "its twenty tokens come again three times: {:?}", tally(&outcomes));
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_doubt_gets_no_new_work() {
    let gateway = Gateway::new(|mut peer| {
        if peer.number > 0 {
            return talk(peer.serve(100, SECOND / 10));
        }
        talk(async move {
            peer.handshake(100).await;
            let push = peer.next().await.expect("a request");
            peer.accept(&push).await;
            peer.silent = true;
            while peer.next().await.is_some() {}
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    assert!(is_accepted(&sender.one(&app, 0, 0).await));
    let swallowed = sender.begin(&app, vec![(1, 1)], DEADLINE);
    sleep(6 * SECOND).await;
    let start = Instant::now();
    assert!(is_accepted(&sender.one(&app, 2, 2).await));
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    assert_eq!(swallowed.await.expect("no panic")[0].kind, OutcomeKind::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_goaway_gets_its_replacement_before_the_old_connection_has_drained() {
    let gateway = Gateway::new(|mut peer| {
        if peer.number > 0 {
            return talk(peer.serve(100, SECOND / 10));
        }
        talk(async move {
            peer.handshake(100).await;
            let mut pushes = Vec::new();
            while pushes.len() < 10 {
                pushes.push(peer.next().await.expect("a request"));
            }
            peer.accept(&pushes[0]).await;
            peer.goaway((1 << 31) - 1, r#"{"reason":"Shutdown"}"#).await;
            peer.goaway(pushes[7].stream, "").await;
            sleep(5 * SECOND).await;
            for push in &pushes[1..8] {
                peer.accept(push).await;
            }
            assert!(peer.next().await.is_none(), "nothing new comes, and it is closed");
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let start = Instant::now();
    let outcomes = sender.begin(&app, each(10), DEADLINE).await.expect("no panic");
    assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.attempts == 2).count(), 2, "those above the last id");
    let replaced = gateway.dialed(1).expect("a replacement");
    assert!(replaced < start + SECOND, "{:?}", replaced - start);
    let ledger = gateway.ledger();
    assert_eq!(ledger.accepted.len(), 10, "none twice");
    assert_eq!(ledger.closed[0].0, 0);
    assert!(ledger.closed[0].1 >= start + 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_replacement_opens_even_if_nothing_waits_but_not_without_end() {
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(100).await;
            if peer.number == 0 {
                let push = peer.next().await.expect("a request");
                peer.accept(&push).await;
            }
            sleep(10 * SECOND).await;
            peer.goaway(0, r#"{"reason":"IdleTimeout"}"#).await;
            peer.next().await;
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("quiet"));
    assert!(is_accepted(&sender.one(&app, 1, 1).await));
    sleep(SECOND).await;
    assert_eq!(gateway.ledger().dials.len(), 1);
    sleep(10 * SECOND).await;
    assert_eq!(gateway.ledger().dials.len(), 2, "the next notification shall not wait");
    sleep(600 * SECOND).await;
    let dials = gateway.ledger().dials.len();
    assert!((3..=7).contains(&dials), "{dials}");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_sends_goaway_on_every_connection_is_not_flooded() {
    for addresses in [1, 8] {
        let gateway = Gateway::new(|mut peer| {
            talk(async move {
                peer.handshake(100).await;
                peer.goaway(0, r#"{"reason":"Shutdown"}"#).await;
                peer.next().await;
            })
        });
        gateway.resolve_to(Ok((1..=addresses).map(address).collect()));
        let (sender, app) = (Sender::new(&gateway), app("any"));
        let begun = (0..120).map(|_| sender.begin(&app, each(2), DEADLINE));
        let mut outcomes = Vec::new();
        for batch in begun {
            sleep(SECOND).await;
            outcomes.push(batch);
        }
        let outcomes = all(outcomes).await;
        assert!(outcomes.iter().all(|outcome| outcome.kind.as_str() == "not_sent"), "{:?}", tally(&outcomes));
        let gaps = gateway.dial_gaps();
        assert!(gaps.len() >= 5, "it is tried again: {gaps:?}");
        assert!(gaps.iter().skip(2).all(|gap| *gap >= 1.0), "{gaps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_replaced_before_its_stream_ids_are_used_up() {
    let gateway = Gateway::new(|peer| talk(peer.serve(100, SECOND / 100)));
    let sender = Sender::with(&gateway, |lanes| lanes.with_requests_max(50));
    let app = app("busy");
    let mut begun = Vec::new();
    for round in 0..100 {
        begun.push(sender.begin(&app, (0..5).map(|at| (at, round)).collect(), DEADLINE));
        sleep(SECOND / 5).await;
    }
    let outcomes = all(begun).await;
    assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
    let ledger = gateway.ledger();
    let mut requests: HashMap<usize, usize> = HashMap::new();
    ledger.pushes.iter().for_each(|push| *requests.entry(push.connection).or_default() += 1);
    assert_eq!(requests.len(), 10, "{requests:?}");
    assert!(requests.values().all(|count| (50..=60).contains(count)), "{requests:?}");
    let last = |number| ledger.pushes.iter().filter(|push| push.connection == number).map(|push| push.at).max();
    for number in 0..9 {
        assert!(ledger.closed.iter().any(|(closed, _)| *closed == number), "{number} was closed");
        assert!(Some(ledger.dials[number + 1].at) <= last(number).map(|at| at + SECOND / 4));
    }
}

#[tokio::test(start_paused = true)]
async fn each_connection_looks_up_the_addresses_and_uses_a_free_one() {
    let gateway = Gateway::new(|peer| talk(peer.serve(5, SECOND)));
    gateway.resolve_to(Ok((1..=4).map(address).collect()));
    let (sender, app) = (Sender::new(&gateway), app("hot"));
    let mut begun = Vec::new();
    for round in 0..150 {
        begun.push(sender.begin(&app, vec![(round * 2, 0), (round * 2 + 1, 0)], DEADLINE));
        if round == 100 {
            gateway.resolve_to(Err(io::ErrorKind::NotFound.into()));
        }
        sleep(SECOND / 10).await;
    }
    assert!(all(begun).await.iter().all(is_accepted));
    let ledger = gateway.ledger();
    assert_eq!(ledger.lookups, ledger.dials.len());
    assert!(ledger.dials.len() >= 4);
    let first: HashSet<_> = ledger.dials.iter().take(4).map(|dial| dial.address).collect();
    assert_eq!(first.len(), 4, "no address twice while others are free");
}

#[tokio::test(start_paused = true)]
async fn a_further_connection_that_cannot_be_opened_affects_no_notification() {
    for alert in [None, Some(AlertDescription::CertificateRevoked)] {
        let gateway = Gateway::new(move |peer| match (peer.address == address(1), alert) {
            (true, _) => talk(peer.serve(5, SECOND / 10)),
            (false, None) => Manner::Refuse,
            (false, Some(alert)) => Manner::Alert(alert),
        });
        gateway.resolve_to(Ok(vec![address(1), address(2)]));
        let (sender, app) = (Sender::new(&gateway), app("hot"));
        let mut begun = Vec::new();
        for round in 0..600 {
            begun.push(sender.begin(&app, (0..6).map(|at| (round * 6 + at, 0)).collect(), DEADLINE));
            sleep(SECOND / 10).await;
        }
        let outcomes = all(begun).await;
        assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
        let refused = gateway.ledger().dials.iter().filter(|dial| dial.address == address(2)).count();
        assert!((1..=20).contains(&refused), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_dead_address_among_several_costs_little() {
    let gateway = Gateway::new(|mut peer| match peer.address {
        dead if dead == address(1) => Manner::Swallow,
        _ => talk(async move {
            // Every connection ends soon, so that there are many.
            peer.handshake(100).await;
            let end = Instant::now() + 10 * SECOND;
            loop {
                tokio::select! {
                    biased;
                    () = sleep_until(end) => break,
                    push = peer.next() => match push {
                        Some(push) => peer.accept(&push).await,
                        None => return,
                    },
                }
            }
        }),
    });
    gateway.resolve_to(Ok((1..=3).map(address).collect()));
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let mut waits = Vec::new();
    for number in 0..600 {
        let start = Instant::now();
        assert!(is_accepted(&sender.one(&app, number, 0).await));
        waits.push(start.elapsed());
        sleep(SECOND / 2).await;
    }
    waits.sort_unstable();
    assert!(waits[599] <= 3 * SECOND + SECOND / 10, "{:?}", waits[599]);
    let dead: Vec<_> = gateway.ledger().dials.iter().copied().filter(|dial| dial.address == address(1)).collect();
    assert!(dead.iter().all(|dial| dial.within == 3 * SECOND), "no patience where others are free");
    let dead = dead.len();
    assert!(dead <= 10, "{dead} attempts at the dead one in five minutes");
    let slow = waits.iter().filter(|wait| **wait > SECOND / 10).count();
    assert!(slow <= dead, "{slow} waits");
}
