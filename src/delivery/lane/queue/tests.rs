//! The order of items and jobs, and the times at which they are due.

use super::*;
use crate::budget::Budget;
use crate::delivery::admission::Room;
use crate::delivery::send::Sending;
use crate::model::{Batch, Draft};
use crate::registry::App;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

const SECOND: Duration = Duration::from_secs(1);

/// A job of `count` items with this deadline.
fn job(count: usize, deadline: Instant) -> Job {
    let mut batch = Batch::default();
    for _ in 0..count {
        batch.push(Draft { token: "00fc", payload: "{}", ..Draft::default() }, uuid::Uuid::new_v4).unwrap();
    }
    let budget = Budget::new(2);
    let room = Room::Own([budget.try_acquire(1).unwrap(), budget.try_acquire(1).unwrap()]);
    let (sending, (reply, _)) = (Sending { deadline, retry_unknown: false }, oneshot::channel());
    Job::new(Arc::new(App::sample()), Arc::new(batch), deadline, sending, reply, room)
}

/// A queue of jobs, each of as many items as its number says and one second more than the one before.
fn queue(counts: &[usize]) -> (Queue, Instant) {
    let (mut queue, mut deadline) = (Queue::default(), Instant::now());
    let now = deadline;
    for count in counts {
        deadline += SECOND;
        queue.push(job(*count, deadline));
    }
    (queue, now)
}

fn names(item_refs: &[ItemRef]) -> Vec<(u32, u32)> {
    item_refs.iter().map(|item_ref| (item_ref.job, item_ref.item)).collect()
}

fn drained(queue: &mut Queue) -> Vec<(u32, u32)> {
    let mut sent = Vec::new();
    while let Some(item_ref) = queue.front() {
        queue.pop_front();
        sent.push(item_ref);
    }
    names(&sent)
}

#[test]
fn items_go_out_in_the_order_of_their_jobs_and_those_sent_again_before_fresh_ones() {
    let (mut queue, now) = queue(&[2, 1]);
    let first = queue.front().unwrap();
    queue.pop_front();
    queue.postpone(first, now + SECOND);
    queue.push_again(ItemRef::fresh(1, 7));
    queue.put_back(vec![ItemRef::fresh(1, 8), ItemRef::fresh(1, 9)]);
    queue.release_due(now);
    assert_eq!(drained(&mut queue), [(1, 8), (1, 9), (1, 7), (0, 1), (1, 0)]);
    queue.release_due(now + SECOND);
    assert_eq!(drained(&mut queue), [(0, 0)]);
    assert!(!queue.is_empty(), "an item without an outcome keeps its job");
    queue.remove(0);
    assert!(!queue.contains(0) && queue.contains(1));
}

#[test]
fn the_next_time_is_the_earliest_deadline_or_postponed_item() {
    let (mut queue, now) = queue(&[1, 1]);
    assert_eq!(queue.next_time(), Some(now + SECOND));
    queue.postpone(ItemRef::fresh(1, 0), now + SECOND / 2);
    assert_eq!(queue.next_time(), Some(now + SECOND / 2));
    queue.release_due(now + SECOND / 2);
    assert_eq!(queue.remove(0).deadline, now + SECOND);
    assert_eq!(queue.next_time(), Some(now + 2 * SECOND));
    queue.remove(1);
    assert_eq!(queue.next_time(), None);
}

#[test]
fn a_job_is_late_once_and_at_its_deadline() {
    let (mut queue, now) = queue(&[1, 1, 1]);
    assert_eq!(queue.take_late(now), [0; 0]);
    assert_eq!(queue.take_late(now + 2 * SECOND), [0, 1]);
    assert_eq!(queue.take_late(now + 2 * SECOND), [0; 0]);
    queue.force_deadlines(now);
    assert_eq!((queue.take_late(now), queue[2].deadline), (vec![2], now));
}

#[test]
fn draining_jobs_leaves_the_items_of_other_jobs_in_their_order() {
    let (mut queue, now) = queue(&[1, 3, 1, 2]);
    let mut waiting = Vec::new();
    queue.pop_front();
    queue.pop_front();
    for item_ref in [ItemRef::fresh(0, 0), ItemRef::fresh(1, 0)] {
        queue.push_again(item_ref);
        queue.postpone(item_ref, now);
    }
    queue.drain_jobs(&[1, 3], &mut waiting);
    assert_eq!(names(&waiting), [(1, 0), (1, 0), (1, 1), (1, 2), (3, 0), (3, 1)]);
    queue.release_due(now);
    assert_eq!(drained(&mut queue), [(0, 0), (0, 0), (2, 0)]);
}

#[test]
fn draining_all_leaves_nothing_to_send_and_no_job_is_lost() {
    let (mut queue, now) = queue(&[2, 1]);
    let mut waiting = Vec::new();
    queue.push_again(ItemRef::fresh(1, 5));
    queue.postpone(ItemRef::fresh(1, 6), now);
    queue.drain_sendable(&mut waiting);
    assert_eq!(names(&waiting), [(1, 5), (0, 0), (0, 1), (1, 0)]);
    queue.drain_postponed(&mut waiting);
    assert_eq!((waiting.len(), queue.front()), (5, None));
    assert!(queue.contains(0) && queue.contains(1));
}
