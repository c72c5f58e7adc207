//! The effects of a broken gateway on senders, in virtual time: nothing hangs, nothing is multiplied, all ends once.

use crate::support::pipes::{Gateway, Manner, Peer, address, talk};
use crate::support::sender::{DEADLINE, Sender, all, app, is_accepted, numbers, tally};
use pyapns::delivery::Refused;
use pyapns::delivery::intake::Limits;
use pyapns::model::OutcomeKind;
use rustls::AlertDescription;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

const SECOND: Duration = Duration::from_secs(1);

/// The point at which a connection becomes a black hole.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Hole {
    AfterAccept,
    AfterTls,
    AfterSettings,
    AfterAnswers,
    /// It stops reading, so that our writes block.
    NotReading,
    /// It answers PINGs, but no request.
    OnlyPongs,
}

async fn fall_silent(mut peer: Peer, hole: Hole) {
    if hole == Hole::AfterTls {
        return peer.hang().await;
    }
    peer.handshake(1000).await;
    if matches!(hole, Hole::AfterAnswers | Hole::NotReading) {
        for _ in 0..5 {
            let push = peer.next().await.expect("a request");
            peer.accept(&push).await;
        }
    }
    if hole == Hole::NotReading {
        return peer.hang().await;
    }
    peer.silent = hole != Hole::OnlyPongs;
    while peer.next().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_of_any_kind_is_replaced_within_twelve_seconds() {
    use Hole::*;
    for hole in [AfterAccept, AfterTls, AfterSettings, AfterAnswers, NotReading, OnlyPongs] {
        // The callers' patience differs: short deadlines must not hide that the connection is dead.
        for deadline in [4 * SECOND, DEADLINE] {
            let gateway = Gateway::new(move |peer| match (peer.number, hole) {
                (0, AfterAccept) => Manner::Swallow,
                (0, _) => talk(fall_silent(peer, hole)),
                _ => talk(peer.serve(1000, SECOND / 50)),
            });
            let (sender, app) = (Sender::new(&gateway), app("any"));
            let start = Instant::now();
            let mut begun = Vec::new();
            for round in 0..100 {
                begun.push(sender.begin(&app, vec![(round, 1), (100 + round, 1)], deadline));
                sleep(SECOND / 5).await;
            }
            let outcomes = all(begun).await;
            let replaced = gateway.dialed(1).unwrap_or_else(|| panic!("{hole:?} is never replaced")) - start;
            assert!(replaced <= 12 * SECOND, "{hole:?}, {deadline:?}: {replaced:?}");
            let late: Vec<_> = outcomes[65 * 2..].iter().filter(|outcome| !is_accepted(outcome)).collect();
            assert!(late.is_empty(), "{hole:?}, {deadline:?}: {:?}", tally(late.iter().copied()));
            let accepted = outcomes.iter().filter(|outcome| is_accepted(outcome)).count();
            assert_eq!(accepted, gateway.ledger().accepted.len(), "{hole:?}: the ledgers agree");
            if matches!(hole, AfterAccept | AfterTls) {
                let told = tally(&outcomes);
                assert!(told.keys().all(|how| how == "accepted" || how.starts_with("not_sent")), "{hole:?}: {told:?}");
            }
        }
    }
}

/// Five minutes of 503 with this reason, then health: its log entries and its cost.
async fn outage(reason: &'static str) {
    let broken = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&broken);
    let gateway = Gateway::new(move |mut peer| {
        let broken = Arc::clone(&state);
        talk(async move {
            peer.handshake(100).await;
            while let Some(push) = peer.next().await {
                match broken.load(Ordering::Relaxed) {
                    true => peer.refuse(&push, 503, reason).await,
                    false => peer.accept(&push).await,
                }
            }
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let mut begun = Vec::new();
    for round in 0..3000 {
        begun.push(sender.begin(&app, (0..2).map(|at| (at, round)).collect(), DEADLINE));
        sleep(SECOND / 10).await;
    }
    assert_eq!(sender.metric("breakers_open"), 1.0);
    let outcomes = all(begun).await;
    let attempts = gateway.ledger().pushes.len();
    assert!(outcomes.iter().all(|outcome| outcome.kind == OutcomeKind::NotSent), "{:?}", tally(&outcomes));
    println!("5 minutes of 503 {reason}: {attempts} attempts for {} sent", outcomes.len());
    assert!(attempts * 10 <= outcomes.len() * 11, "{reason}: {attempts} attempts for {}", outcomes.len());
    let gaps = gateway.dial_gaps();
    assert!(gaps.iter().skip(2).all(|gap| *gap >= 1.0), "{gaps:?}");
    println!("connections begun meanwhile: {}", gaps.len() + 1);

    broken.store(false, Ordering::Relaxed);
    let healed = Instant::now();
    while !is_accepted(&sender.one(&app, 1, 1).await) {
        sleep(SECOND / 10).await;
    }
    println!("and accepted again {:.1} s after it was over", healed.elapsed().as_secs_f64());
    assert!(healed.elapsed() <= 6 * SECOND, "{:?}", healed.elapsed());
    sleep(SECOND).await;
    let after = sender.begin(&app, (0..50).map(|at| (at, at)).collect(), DEADLINE).await.expect("no panic");
    assert!(after.iter().all(is_accepted), "{:?}", tally(&after));
    assert_eq!(sender.metric("breakers_open"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn five_minutes_of_503_are_reported_immediately_and_add_no_traffic() {
    outage("ServiceUnavailable").await;
    outage("Shutdown").await;
}

#[tokio::test(start_paused = true)]
async fn some_503_among_good_answers_are_sent_again_within_the_budget() {
    let told = one_503_in(20).await;
    assert_eq!(told.keys().map(String::as_str).collect::<Vec<_>>(), ["accepted"], "{told:?}");
    let told = one_503_in(3).await;
    assert!(told["not_sent ServiceUnavailable"] > 500, "too many to send all again: {told:?}");
}

async fn one_503_in(nth: u32) -> BTreeMap<String, usize> {
    let gateway = Gateway::new(move |mut peer| {
        talk(async move {
            peer.handshake(100).await;
            let mut count = 0_u32;
            while let Some(push) = peer.next().await {
                count += 1;
                match count % nth {
                    0 => peer.refuse(&push, 503, "ServiceUnavailable").await,
                    _ => peer.accept(&push).await,
                }
            }
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let mut begun = Vec::new();
    for round in 0..300 {
        begun.push(sender.begin(&app, (0..10).map(|at| (at, round)).collect(), DEADLINE));
        sleep(SECOND).await;
    }
    let outcomes = all(begun).await;
    let (attempts, fresh) = (gateway.ledger().pushes.len(), outcomes.len());
    // Ten retries are there to begin with.
    assert!((attempts - 10) * 10 <= fresh * 11, "{attempts} attempts for {fresh}");
    tally(&outcomes)
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_gateway_is_reported_immediately_after_a_while_and_recovers() {
    let open = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&open);
    let gateway = Gateway::new(move |peer| match state.load(Ordering::Relaxed) {
        true => talk(peer.serve(100, SECOND / 50)),
        false => Manner::Refuse,
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let mut begun = Vec::new();
    for number in 0..600 {
        begun.push(sender.begin(&app, vec![(number, number)], DEADLINE));
        sleep(SECOND / 10).await;
    }
    let start = Instant::now();
    let told = sender.one(&app, 1, 1).await;
    assert_eq!(tally([&told]).into_keys().collect::<Vec<_>>(), ["not_sent breaker_open"]);
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    let outcomes = all(begun).await;
    assert!(outcomes.iter().all(|outcome| outcome.kind == OutcomeKind::NotSent), "{:?}", tally(&outcomes));
    let dials = gateway.ledger().dials.len();
    assert!((5..=15).contains(&dials), "{dials}");

    open.store(true, Ordering::Relaxed);
    let healed = Instant::now();
    while !is_accepted(&sender.one(&app, 1, 1).await) {
        sleep(SECOND / 2).await;
    }
    assert!(healed.elapsed() <= 62 * SECOND, "{:?}", healed.elapsed());
    assert_eq!(sender.metric("breakers_open"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_short_interruption_delays_and_loses_nothing() {
    let back = Instant::now() + 7 * SECOND;
    let gateway = Gateway::new(move |mut peer| {
        if peer.number > 0 {
            return if Instant::now() < back { Manner::Refuse } else { talk(peer.serve(100, SECOND / 50)) };
        }
        talk(async move {
            peer.handshake(100).await;
            let end = back - 6 * SECOND;
            while let Ok(Some(push)) = tokio::time::timeout_at(end, peer.next()).await {
                peer.accept(&push).await;
            }
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let mut begun = Vec::new();
    for number in 0..200 {
        begun.push(sender.begin(&app, vec![(number, number)], DEADLINE));
        sleep(SECOND / 10).await;
    }
    let outcomes = all(begun).await;
    assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_apple_throttles_rests_and_no_other_does() {
    const HOT: usize = 7;
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(100).await;
            let mut allowed_at = Instant::now();
            while let Some(push) = peer.next().await {
                let hot = numbers(&push.body).0 == HOT;
                if hot && Instant::now() < allowed_at {
                    peer.refuse(&push, 429, "TooManyRequests").await;
                } else {
                    allowed_at = if hot { Instant::now() + SECOND * 5 / 2 } else { allowed_at };
                    peer.accept(&push).await;
                }
            }
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let mut begun = Vec::new();
    let mut others = Vec::new();
    for round in 0..100 {
        others.push(sender.begin(&app, (0..10).map(|at| (100 + at, round)).collect(), SECOND / 2));
        if round < 10 {
            begun.push(sender.begin(&app, vec![(HOT, round)], 120 * SECOND));
        }
        sleep(SECOND / 10).await;
    }
    assert!(all(others).await.iter().all(is_accepted), "no other notification waits");
    let outcomes = all(begun).await;
    assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
    let tries = gateway.ledger().pushes.iter().filter(|push| numbers(&push.body).0 == HOT).count();
    assert!(tries <= 30, "{tries} attempts for 10 notifications");
}

#[tokio::test(start_paused = true)]
async fn notifications_for_a_resting_token_end_with_apples_reason() {
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(100).await;
            while let Some(push) = peer.next().await {
                peer.refuse(&push, 429, "TooManyRequests").await;
            }
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    for number in 0..20 {
        let outcome = sender.one(&app, 1, number).await;
        assert_eq!(tally([&outcome]).into_keys().collect::<Vec<_>>(), ["not_sent TooManyRequests"]);
    }
    let tries = gateway.ledger().pushes.len();
    assert!(tries <= 12, "{tries}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_certificate_stops_its_app_until_it_is_provisioned_again() {
    for alert in
        [AlertDescription::BadCertificate, AlertDescription::CertificateRevoked, AlertDescription::CertificateExpired]
    {
        let good = Arc::new(AtomicBool::new(false));
        let state = Arc::clone(&good);
        let gateway = Gateway::new(move |peer| match state.load(Ordering::Relaxed) {
            true => talk(peer.serve(100, SECOND / 50)),
            false => Manner::Alert(alert),
        });
        let (sender, broken) = (Sender::new(&gateway), app("any"));
        for number in 0..100 {
            let outcome = sender.one(&broken, number, number).await;
            assert_eq!(tally([&outcome]).into_keys().collect::<Vec<_>>(), ["not_sent credential_error"]);
            sleep(SECOND).await;
        }
        assert_eq!(sender.metric("credentials_refused"), 1.0);
        let told = sender.seen(&broken).last_error.expect("an error").what;
        assert!(told.starts_with("Apple refuses the app's credential: it refuses the client certificate"), "{told}");
        let dials = gateway.ledger().dials.len();
        assert!((2..=4).contains(&dials), "{dials} attempts in 100 s");
        good.store(true, Ordering::Relaxed);
        assert!(is_accepted(&sender.one(&app("any"), 1, 1).await), "at once");
        assert_eq!(sender.metric("credentials_refused"), 0.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_apple_takes_again_heals_by_a_probe_on_a_new_connection() {
    let good_from = Instant::now() + 100 * SECOND;
    let gateway = Gateway::new(move |mut peer| {
        talk(async move {
            peer.handshake(100).await;
            let good = Instant::now() >= good_from;
            while let Some(push) = peer.next().await {
                match good {
                    true => peer.accept(&push).await,
                    false => peer.refuse(&push, 403, "InvalidProviderToken").await,
                }
            }
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let mut outcomes = Vec::new();
    for number in 0..400 {
        outcomes.push(sender.one(&app, number, number).await);
        sleep(SECOND).await;
    }
    let tries = gateway.ledger().pushes.iter().filter(|push| push.at < good_from).count();
    assert!((2..=4).contains(&tries), "{tries} attempts with a bad credential");
    assert!(is_accepted(&outcomes[399]));
    assert!(outcomes[0].attempts == 1 && outcomes[0].status == Some(403));
    assert_eq!(tally([&outcomes[1]]).into_keys().collect::<Vec<_>>(), ["not_sent credential_error"]);
}

/// With any number of requests to a stopped app, its log keeps room for other entries, and has the number affected.
#[tokio::test(start_paused = true)]
async fn the_notifications_affected_by_a_broken_credential_are_logged_once_a_minute() {
    let gateway = Gateway::new(|_| Manner::Alert(AlertDescription::CertificateExpired));
    let (sender, app) = (Sender::new(&gateway), app("any"));
    for number in 0..50 {
        assert!(!is_accepted(&sender.one(&app, number, number).await));
    }
    let refused = || "credential_error".to_owned();
    assert_eq!(sender.log(&app).await, [(refused(), 0), (refused(), 1)], "it is logged immediately");
    sleep(61 * SECOND).await;
    let mut costs = sender.log(&app).await;
    costs.retain(|(_, affected)| *affected > 0);
    assert_eq!(costs, [(refused(), 1), (refused(), 49)], "what else it cost is logged together");
}

/// An answer to a request under the old credential is judged after the app has a new one.
#[tokio::test(start_paused = true)]
async fn answers_about_a_former_credential_do_not_stop_the_app() {
    for by_goaway in [false, true] {
        let gateway = Gateway::new(move |mut peer| {
            if peer.number > 0 {
                return talk(peer.serve(100, SECOND / 10));
            }
            talk(async move {
                peer.handshake(100).await;
                let push = peer.next().await.expect("a request");
                sleep(SECOND / 2).await;
                if by_goaway {
                    peer.goaway(0, r#"{"reason":"BadCertificate"}"#).await;
                } else {
                    peer.refuse(&push, 403, "InvalidProviderToken").await;
                }
                peer.hang().await;
            })
        });
        let sender = Sender::new(&gateway);
        let former = sender.begin(&app("any"), vec![(1, 1)], DEADLINE);
        sleep(SECOND / 10).await;
        let app = app("any");
        let mut outcomes = Vec::new();
        for number in 2..12 {
            outcomes.push(sender.one(&app, number, number).await);
        }
        outcomes.extend(former.await.expect("no panic"));
        assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_token_that_apple_turns_against_costs_the_connection_and_nothing_else() {
    for (status, reason) in [(403, "ExpiredProviderToken"), (429, "TooManyProviderTokenUpdates")] {
        let gateway = Gateway::new(move |mut peer| {
            if peer.number > 0 {
                return talk(peer.serve(100, SECOND / 10));
            }
            talk(async move {
                peer.handshake(100).await;
                for good in [true, false] {
                    let push = peer.next().await.expect("a request");
                    match good {
                        true => peer.accept(&push).await,
                        false => peer.refuse(&push, status, reason).await,
                    }
                }
                assert!(peer.next().await.is_none(), "it is of no more use");
            })
        });
        let (sender, app) = (Sender::new(&gateway), app("any"));
        for number in 0..20 {
            let outcome = sender.one(&app, number, number).await;
            assert!(is_accepted(&outcome), "{outcome:?}");
            assert_eq!(outcome.attempts, if number == 1 { 2 } else { 1 });
        }
        assert_eq!(gateway.ledger().dials.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_notification_that_apple_may_have_received_is_never_not_sent() {
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(100).await;
            while let Some(push) = peer.next().await {
                if peer.number == 0 {
                    // Apple has it, and the answer is lost.
                    return;
                }
                peer.refuse(&push, 503, "ServiceUnavailable").await;
            }
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let outcomes = sender.begin_with(&app, vec![(1, 1)], 5 * SECOND, true).await.expect("no panic");
    assert!(outcomes[0].attempts >= 2);
    assert_eq!(outcomes[0].kind, OutcomeKind::Unknown, "{:?}", outcomes[0]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_app_leaves_another_one_alone() {
    // One gateway for both; what an app gets depends on its token numbers.
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(50).await;
            while let Some(push) = peer.next().await {
                match numbers(&push.body) {
                    (0..100, _) => peer.accept(&push).await,
                    (100..200, _) => peer.refuse(&push, 403, "InvalidProviderToken").await,
                    (200..300, _) => peer.refuse(&push, 400, "BadDeviceToken").await,
                    (300..400, _) => peer.refuse(&push, 503, "ServiceUnavailable").await,
                    (400..500, _) => return,
                    _ => peer.goaway(0, r#"{"reason":"BadCertificate"}"#).await,
                }
            }
        })
    });
    gateway.resolve_to(Ok((1..=3).map(address).collect()));
    let sender = Sender::new(&gateway);
    let apps: Vec<_> = ["good", "forbidden", "bad-tokens", "in-trouble", "cut-off", "revoked"].map(app).into();
    let (mut good, mut others) = (Vec::new(), Vec::new());
    for round in 0..200 {
        for (at, app) in apps.iter().enumerate() {
            let batch = (0..10).map(|token| (at * 100 + token, round)).collect();
            let begun = sender.begin(app, batch, 20 * SECOND);
            if at == 0 { good.push(begun) } else { others.push(begun) }
        }
        sleep(SECOND / 10).await;
    }
    let good = all(good).await;
    assert!(good.iter().all(|outcome| is_accepted(outcome) && outcome.attempts == 1), "{:?}", tally(&good));
    let others = all(others).await;
    assert!(!others.iter().any(is_accepted), "{:?}", tally(&others));
    assert_eq!(sender.metric("credentials_refused"), 2.0);
}

#[tokio::test(start_paused = true)]
async fn the_waiting_notifications_of_one_app_are_limited_and_leave_room_for_another() {
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(1).await;
            let Some(push) = peer.next().await else { return };
            match numbers(&push.body) {
                (1000.., _) => {
                    peer.accept(&push).await;
                    peer.go_on(SECOND / 50).await;
                }
                // It takes one and then nothing more: all the rest waits in the lane and its inbox.
                _ => while peer.next().await.is_some() {},
            }
        })
    });
    let limits = Limits { node_bytes: 1 << 20, app_bytes: 1 << 18 };
    let sender = Sender::bounded(&gateway, limits, |lanes| lanes);
    let (greedy, modest) = (app("greedy"), app("modest"));
    let mut begun = Vec::new();
    for round in 0..100 {
        let batch = (0..50).map(|token| (token, round)).collect();
        begun.push(tokio::spawn(sender.attempt(&greedy, batch, 8 * SECOND, false)));
    }
    sleep(SECOND).await;
    let refused = |refusal| matches!(refusal, Refused::AppOverloaded { .. });
    let outcomes = sender.begin(&modest, vec![(1000, 1), (1001, 1)], DEADLINE).await.expect("no panic");
    assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
    let (mut taken, mut given_back) = (0, 0);
    for attempt in begun {
        match attempt.await.expect("no panic") {
            Ok(outcomes) => taken += usize::from(outcomes.iter().all(|outcome| !is_accepted(outcome))),
            Err(refusal) => given_back += usize::from(refused(refusal)),
        }
    }
    assert_eq!(taken + given_back, 100);
    assert!((10..40).contains(&taken), "{taken} of some 10 KB each");
    assert!(sender.attempt(&greedy, vec![(1, 1)], SECOND, false).await.is_ok(), "there is room again");
}

/// Each is answered at its deadline, which `begin` checks, in any order of arrival.
#[tokio::test(start_paused = true)]
async fn deadlines_come_in_another_order_than_their_requests() {
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(1).await;
            while peer.next().await.is_some() {}
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let seconds = [5, 3, 3, 7, 1, 2, 5, 1];
    let begun = seconds.iter().enumerate().map(|(at, &seconds)| sender.begin(&app, vec![(at, at)], seconds * SECOND));
    let ended = tally(&all(begun.collect()).await);
    let ended: Vec<_> = ended.iter().map(|(end, count)| (end.as_str(), *count)).collect();
    // The only stream is free again when the first one's time is over; then the one of seven seconds goes out.
    assert_eq!(ended, [("not_sent deadline_passed", seconds.len() - 2), ("unknown deadline_passed", 2)]);
}

/// The smallest request takes memory, too.
#[tokio::test(start_paused = true)]
async fn small_requests_are_counted_with_their_overhead() {
    let gateway = Gateway::new(|peer| talk(peer.hang()));
    let limits = Limits { node_bytes: 1 << 20, app_bytes: 100 << 10 };
    let (sender, app) = (Sender::bounded(&gateway, limits, |lanes| lanes), app("any"));
    let begun: Vec<_> = (0..200).map(|at| tokio::spawn(sender.attempt(&app, vec![(at, at)], SECOND, false))).collect();
    let mut taken = 0;
    for attempt in begun {
        taken += usize::from(attempt.await.expect("no panic").is_ok());
    }
    assert!((50..=100).contains(&taken), "{taken} of at least a kibibyte each");
}

#[tokio::test(start_paused = true)]
async fn goaways_in_the_middle_of_traffic_lose_and_double_nothing() {
    let gateway = Gateway::new(|mut peer| {
        talk(async move {
            peer.handshake(30).await;
            let mut served = 0;
            let end = Instant::now() + 3 * SECOND;
            loop {
                tokio::select! {
                    biased;
                    () = sleep_until(end) => break,
                    push = peer.next() => match push {
                        Some(push) => {
                            sleep(SECOND / 200).await;
                            served = push.stream;
                            peer.accept(&push).await;
                        }
                        None => return,
                    },
                }
            }
            peer.goaway(served, r#"{"reason":"Shutdown"}"#).await;
            peer.goaway(served, "").await;
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let mut begun = Vec::new();
    for round in 0..600 {
        begun.push(sender.begin(&app, (0..8).map(|at| (at, round)).collect(), DEADLINE));
        sleep(SECOND / 20).await;
    }
    let outcomes = all(begun).await;
    assert!(outcomes.iter().all(is_accepted), "{:?}", tally(&outcomes));
    assert_eq!(gateway.ledger().accepted.len(), outcomes.len(), "none twice");
    assert!(gateway.ledger().dials.len() >= 8);
}
