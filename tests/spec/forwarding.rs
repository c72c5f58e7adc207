//! What a node takes for an app that another node owns is sent by that node, with the same outcomes.

use super::support::fleet::{Fleet, Plan, app_owned_among};
use super::support::world::{to, token};


#[tokio::test]
async fn a_send_for_an_app_of_another_node_is_sent_by_that_node_alone() {
    let app = app_owned_among(2, 1);
    let fleet = Fleet::ready(Plan::of(2), &[app.clone()]).await;
    let answer = fleet.send(0, &app, &to(&token(1))).await;
    assert_eq!((answer.status, answer.outcomes()), (201, vec!["accepted"]), "{answer:?}");
    let ledger = fleet.simulator.ledger().entries();
    assert_eq!(ledger.len(), 1);
    assert_eq!(ledger[0].apns_id, answer.response()["apns_id"], "{answer:?}");
    assert_eq!((fleet.attempts(0).await, fleet.attempts(1).await), (0, 1));
    fleet.stop().await;
}
