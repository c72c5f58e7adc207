//! Notifications that are sent again though Apple may have them, in virtual time, against the simulator's ledger.

use crate::support::pipes::{Gateway, talk};
use crate::support::sender::{DEADLINE, Sender, app, numbers};
use crate::support::world::token;
use pyapns::model::OutcomeKind;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

/// Refusals of a resend: each is final for a notification that Apple never had.
const REFUSALS: [(u16, &str); 9] = [
    (410, "Unregistered"),
    (410, "ExpiredToken"),
    (400, "BadDeviceToken"),
    (400, "DeviceTokenNotForTopic"),
    (400, "TopicDisallowed"),
    (400, "PayloadEmpty"),
    (413, "PayloadTooLarge"),
    (404, "BadPath"),
    (400, "Novelty"),
];
const COUNT: usize = 10 * REFUSALS.len();

fn refusal(number: usize) -> (u16, &'static str) {
    REFUSALS[number % REFUSALS.len()]
}

#[tokio::test(start_paused = true)]
async fn a_refused_resend_is_unknown_if_apple_may_have_taken_an_earlier_attempt() {
    let taken = Arc::new(Mutex::new(BTreeSet::new()));
    let state = Arc::clone(&taken);
    let gateway = Gateway::new(move |mut peer| {
        let taken = Arc::clone(&state);
        talk(async move {
            peer.handshake(COUNT as u32).await;
            while let Some(push) = peer.next().await {
                let number = numbers(&push.body).1;
                if peer.number > 0 {
                    let (status, reason) = refusal(number);
                    peer.refuse(&push, status, reason).await;
                    continue;
                }
                // Apple takes every other one, and loses the connection before it answers any.
                if number.is_multiple_of(2) {
                    taken.lock().expect("no panic").insert(number);
                }
                if number + 1 == COUNT {
                    return;
                }
            }
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let pairs = (0..COUNT).map(|number| (number, number)).collect();
    let outcomes = sender.begin_with(&app, pairs, DEADLINE, true).await.expect("no panic");

    let taken = taken.lock().expect("no panic").clone();
    assert_eq!(taken.len(), COUNT / 2);
    for (number, outcome) in outcomes.iter().enumerate() {
        let (status, reason) = refusal(number);
        assert_eq!(outcome.kind, OutcomeKind::Unknown, "{number}: {outcome:?}, and Apple may have it");
        let told = (outcome.status, outcome.reason.as_ref().map(|reason| reason.as_str().to_owned()), outcome.attempts);
        assert_eq!(
            told,
            (Some(status), Some(reason.to_owned()), 2),
            "{number}: the last word is Apple's, and it is final"
        );
    }
    let mut attempts: HashMap<usize, usize> = HashMap::new();
    for push in &gateway.ledger().pushes {
        *attempts.entry(numbers(&push.body).1).or_default() += 1;
    }
    assert!(attempts.values().all(|count| *count == 2), "nothing is sent a third time: {attempts:?}");

    let dead = sender.feedback(&app).await;
    let is_dead = |number: &usize| matches!(refusal(*number).1, "Unregistered" | "ExpiredToken" | "BadDeviceToken");
    let mut expected: Vec<_> = (0..COUNT).filter(is_dead).map(|n| (token(n), refusal(n).1.to_owned())).collect();
    expected.sort();
    let mut told: Vec<_> = dead.into_iter().map(|(token, reason, _)| (token, reason)).collect();
    told.sort();
    assert_eq!(told, expected, "the feedback is written as for a first attempt");
}

#[tokio::test(start_paused = true)]
async fn a_refused_resend_is_rejected_if_apple_never_had_the_notification() {
    let gateway = Gateway::new(move |mut peer| {
        talk(async move {
            peer.handshake(100).await;
            while let Some(push) = peer.next().await {
                match peer.number {
                    // Not processed: above GOAWAY's last stream id.
                    0 => return peer.goaway(0, "Shutdown").await,
                    _ => peer.refuse(&push, 410, "Unregistered").await,
                }
            }
        })
    });
    let (sender, app) = (Sender::new(&gateway), app("any"));
    let outcomes = sender.begin_with(&app, vec![(1, 1)], DEADLINE, true).await.expect("no panic");
    assert_eq!((outcomes[0].kind, outcomes[0].attempts), (OutcomeKind::Rejected, 2), "{:?}", outcomes[0]);
}
