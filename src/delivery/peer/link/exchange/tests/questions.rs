//! Questions on a link.

use super::*;
use crate::delivery::peer::wire::Lane;
use tokio::sync::oneshot::error::TryRecvError;

#[test]
fn on_a_busy_link_a_handover_goes_on_and_only_figures_are_not_asked() {
    let mut trial = Trial::up();
    while trial.exchange.fill(trial.now).len() < OUTBOX_BYTES {
        trial.push(1000, false);
    }
    let ((warm, warmed), (held, lanes)) = (oneshot::channel(), oneshot::channel());
    let lane = Lane { app: trial.app.key.clone(), lane: 0 };
    trial.exchange.ask(Question::Warm(vec![lane.clone()], warm), trial.now);
    trial.exchange.ask(Question::Held(held), trial.now);
    let (reply, mut figures) = oneshot::channel();
    trial.exchange.ask(Question::Figures(vec![trial.app.key.clone()], reply), trial.now);
    assert!(figures.try_recv().is_err_and(|error| error == TryRecvError::Closed));
    trial.carry(usize::MAX);
    assert_eq!(trial.asked.len(), 2);
    for (id, mut waiting) in trial.asked.clone().into_iter().zip([warmed, lanes]) {
        trial.receive(|bytes| wire::put_ready(bytes, id, std::slice::from_ref(&lane))).expect("a good READY");
        assert_eq!(waiting.try_recv().expect("an answer"), std::slice::from_ref(&lane));
    }
}
