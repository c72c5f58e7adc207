//! Splits a batch by lane, and merges the outcomes of its parts. Pure.

use super::shard::lane_of;
use crate::model::{Batch, Notification, Outcome};
use std::sync::Arc;

/// The items of a batch that fall into one lane.
#[derive(Debug)]
pub struct Part {
    pub lane: u16,
    pub batch: Arc<Batch>,
    /// The position of each of its notifications in the batch.
    pub positions: Vec<u32>,
}

/// Returns one part for each lane with notifications, in their order.
pub fn split_by_lane(whole: &Arc<Batch>, lanes: u16) -> Vec<Part> {
    let mut positions = vec![Vec::new(); usize::from(lanes)];
    for (at, item) in (0..).zip(whole.items()) {
        positions[usize::from(lane_of(whole.bytes(item.token), lanes))].push(at);
    }
    let taken = (0..).zip(positions).filter(|(_, positions)| !positions.is_empty());
    taken.map(|(lane, positions)| Part { lane, batch: Arc::new(whole.part(&positions)), positions }).collect()
}

/// The memory of the parts besides the batch, in bytes.
pub fn bytes_added(whole: &Batch) -> usize {
    whole.len() * (size_of::<Notification>() + size_of::<u32>())
}

/// Inserts the outcomes of a part at their positions in the batch's outcomes.
pub fn merge_outcomes(outcomes: Vec<Outcome>, positions: &[u32], into: &mut [Outcome]) {
    for (at, outcome) in positions.iter().zip(outcomes) {
        into[*at as usize] = outcome;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Draft, OutcomeKind};

    fn batch(tokens: impl IntoIterator<Item = String>) -> Arc<Batch> {
        let mut batch = Batch::default();
        for (number, token) in tokens.into_iter().enumerate() {
            let identifier = number.to_string();
            let draft = Draft { token: &token, payload: "{}", identifier: Some(&identifier), ..Draft::default() };
            batch.push(draft, uuid::Uuid::new_v4).unwrap();
        }
        Arc::new(batch)
    }

    fn many() -> Arc<Batch> {
        batch((0..1000).map(|number| format!("{:08x}", number % 300)))
    }

    #[test]
    fn every_notification_is_in_the_part_of_its_lane_once_and_in_order() {
        let whole = many();
        for lanes in [1, 2, 7, 64] {
            let parts = split_by_lane(&whole, lanes);
            let mut seen = vec![0; whole.len()];
            for Part { lane, batch, positions } in &parts {
                assert_eq!(batch.len(), positions.len());
                assert!(positions.is_sorted() && *lane < lanes);
                for (item, at) in batch.items().iter().zip(positions) {
                    let identifier = item.identifier.map(|identifier| batch.text(identifier));
                    assert_eq!(identifier, Some(at.to_string().as_str()));
                    assert_eq!(lane_of(batch.bytes(item.token), lanes), *lane);
                    seen[*at as usize] += 1;
                }
            }
            assert!(seen.iter().all(|count| *count == 1));
            assert!(parts.is_sorted_by(|one, other| one.lane < other.lane));
        }
    }

    #[test]
    fn a_token_falls_into_the_same_lane_in_every_notation() {
        let written = ["<00FC13AD ff>", "00fc13adff", "00FC 13AD FF"].map(str::to_owned);
        for lanes in 2..=64 {
            assert_eq!(split_by_lane(&batch(written.clone()), lanes).len(), 1);
        }
    }

    #[test]
    fn lanes_without_notifications_get_no_part() {
        assert_eq!(split_by_lane(&batch(["00".to_owned()]), 64).len(), 1);
        assert!(split_by_lane(&batch([]), 64).is_empty());
    }

    #[test]
    fn outcomes_return_to_their_positions_in_any_order_of_the_parts() {
        let whole = many();
        let outcome = |timestamp| Outcome {
            kind: OutcomeKind::Accepted,
            status: Some(200),
            reason: None,
            timestamp,
            attempts: 1,
        };
        let mut outcomes = vec![outcome(-1.0); whole.len()];
        for part in split_by_lane(&whole, 5).into_iter().rev() {
            let of_part = part.batch.items().iter().map(|item| {
                let identifier = item.identifier.map(|identifier| part.batch.text(identifier));
                outcome(identifier.and_then(|identifier| identifier.parse().ok()).unwrap())
            });
            merge_outcomes(of_part.collect(), &part.positions, &mut outcomes);
        }
        let timestamps: Vec<_> = outcomes.iter().map(|outcome| outcome.timestamp as usize).collect();
        assert_eq!(timestamps, (0..1000).collect::<Vec<_>>());
    }
}
