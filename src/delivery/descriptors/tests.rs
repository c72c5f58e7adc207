//! Tests of the budget alone: lanes are wakers that count.

use super::*;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A lane with its claim.
struct Lane {
    claim: Claim,
    woken: Arc<Woken>,
}

impl Lane {
    fn of(budget: &Descriptors) -> Self {
        Self { claim: budget.claim(), woken: Arc::default() }
    }

    fn ask(&mut self, need: Need) -> Option<ConnectionPermit> {
        let waker = Waker::from(Arc::clone(&self.woken));
        match self.claim.poll(&mut Context::from_waker(&waker), need) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    fn first(&mut self) -> Option<ConnectionPermit> {
        self.ask(Need::First)
    }

    fn try_take(&mut self) -> Option<ConnectionPermit> {
        let waker = Waker::from(Arc::clone(&self.woken));
        self.claim.try_take(&mut Context::from_waker(&waker))
    }

    /// The number of wake-ups since the last call.
    fn woken(&self) -> usize {
        self.woken.0.swap(0, Ordering::Relaxed)
    }
}

/// A budget whose connections are all taken by one lane each, and one more lane.
fn used_up(max: usize) -> (Descriptors, Vec<Lane>, Vec<ConnectionPermit>, Lane) {
    let budget = Descriptors::new(max, Instant::now());
    let mut lanes: Vec<_> = (0..max).map(|_| Lane::of(&budget)).collect();
    let permits = lanes.iter_mut().map(|lane| lane.first().expect("one is left")).collect();
    let late = Lane::of(&budget);
    (budget, lanes, permits, late)
}

#[test]
fn the_connection_that_was_idle_for_longest_is_asked_to_close() {
    let (budget, lanes, mut permits, mut late) = used_up(3);
    let now = Instant::now();
    let idle = [2, 1, 3].map(|seconds| Usage::Idle(now + seconds * SECOND));
    for (permit, usage) in permits.iter_mut().zip(idle) {
        assert!(!permit.must_close(usage), "no lane waits");
    }
    assert!(late.first().is_none() && !late.claim.is_short());
    assert_eq!(lanes.iter().map(Lane::woken).collect::<Vec<_>>(), [0, 1, 0]);
    assert!(!permits[0].must_close(idle[0]) && permits[1].must_close(idle[1]));
    assert!(late.first().is_none(), "its socket is not closed yet");
    permits.remove(1);
    assert_eq!(late.woken(), 1);
    let _permit = late.first().expect("its turn");
    assert_eq!(budget.counts(), Counts { max: Some(3), used: 3, waiting: 0, reclaimed: 1 });
}

#[test]
fn a_connection_that_got_work_since_it_was_asked_stays_and_another_closes() {
    let (_, lanes, mut permits, mut late) = used_up(2);
    let now = Instant::now();
    assert!(!permits[0].must_close(Usage::Idle(now)) && !permits[1].must_close(Usage::Idle(now + SECOND)));
    assert!(late.first().is_none());
    assert!(!permits[0].must_close(Usage::Busy));
    assert_eq!(lanes[1].woken(), 1);
    assert!(permits[1].must_close(Usage::Idle(now + SECOND)));
    assert!(!permits[0].must_close(Usage::Idle(now + 2 * SECOND)), "one lane needs one");
}

#[test]
fn while_all_connections_are_busy_lanes_wait_in_order_and_the_first_idle_one_closes() {
    let (budget, _, mut permits, mut late) = used_up(2);
    let mut later = Lane::of(&budget);
    assert!(late.first().is_none() && later.first().is_none() && late.claim.is_short());
    assert!(permits[1].must_close(Usage::Idle(Instant::now())));
    permits.remove(1);
    assert_eq!((late.woken(), later.woken()), (1, 0), "no more are woken than get one");
    assert!(later.first().is_none() && later.try_take().is_none(), "it is the other's turn");
    assert!(late.first().is_some_and(|permit| !permits[0].must_close(Usage::Busy) && permit.number == 1));
}

#[test]
fn a_lane_that_leaves_the_queue_passes_its_turn_on() {
    let (budget, _, mut permits, mut late) = used_up(1);
    let mut later = Lane::of(&budget);
    assert!(late.first().is_none() && later.first().is_none());
    permits.clear();
    assert_eq!((late.woken(), later.woken()), (1, 0));
    drop(late);
    assert_eq!(later.woken(), 1);
    assert!(later.first().is_some());
}

#[test]
fn a_lane_without_a_connection_precedes_one_that_wants_more() {
    let (budget, _, mut permits, mut late) = used_up(1);
    let mut greedy = Lane::of(&budget);
    assert!(greedy.ask(Need::More).is_none() && late.first().is_none());
    permits.clear();
    assert_eq!((late.woken(), greedy.woken()), (1, 0));
    assert!(greedy.ask(Need::More).is_none());
    let permit = late.first().expect("its turn");
    assert!(greedy.ask(Need::First).is_none(), "it lost its connection and joins the others");
    drop(permit);
    assert!(greedy.ask(Need::First).is_some());
}

#[test]
fn a_lane_with_several_connections_closes_one_only_for_a_lane_without_any() {
    let (budget, _, mut permits, mut late) = used_up(2);
    assert!(!permits[0].must_close(Usage::Spare) && !permits[1].must_close(Usage::Spare));
    let mut greedy = Lane::of(&budget);
    assert!(greedy.ask(Need::More).is_none() && !permits[0].must_close(Usage::Spare));
    assert!(late.first().is_none());
    let asked: Vec<_> = permits.iter_mut().map(|permit| permit.must_close(Usage::Spare)).collect();
    assert_eq!(asked.iter().filter(|asked| **asked).count(), 1, "one of both");
    let (budget, _, mut permits, mut late) = used_up(2);
    assert!(!permits[0].must_close(Usage::Spare) && !permits[1].must_close(Usage::Idle(Instant::now())));
    assert!(late.first().is_none() && permits[1].must_close(Usage::Idle(Instant::now())), "idle ones go first");
    drop((budget, permits));
}

#[test]
fn a_connection_without_work_closes_no_other_and_does_not_queue() {
    let (budget, lanes, mut permits, mut late) = used_up(1);
    assert!(!permits[0].must_close(Usage::Idle(Instant::now())));
    assert!(late.claim.is_used_up() && late.try_take().is_none() && !late.claim.is_waiting());
    assert_eq!(lanes[0].woken(), 0);
    permits.clear();
    assert!(!late.claim.is_used_up() && late.try_take().is_some());
    assert_eq!(budget.counts().used, 0, "each goes back when it is dropped");
}

#[test]
fn a_shortage_is_reported_once_a_minute() {
    let (budget, start) = (Descriptors::unlimited(Instant::now()), Instant::now());
    assert_eq!(budget.counts().max, None);
    assert!(budget.is_news(start) && !budget.is_news(start + 59 * SECOND) && budget.is_news(start + 60 * SECOND));
}

/// Lanes on several threads enter and leave the queue: it empties, and no permit is lost.
#[test]
fn no_lane_waits_forever_while_lanes_enter_and_leave() {
    const LANES: usize = 8;
    let budget = Descriptors::new(2, Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            let budget = budget.clone();
            scope.spawn(move || {
                let mut claim = budget.claim();
                let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
                let mut cx = Context::from_waker(&waker);
                for _ in 0..500 {
                    let mut permit = loop {
                        match claim.poll(&mut cx, Need::First) {
                            Poll::Ready(permit) => break permit,
                            Poll::Pending => std::thread::park(),
                        }
                    };
                    assert!(!permit.must_close(Usage::Busy));
                    while !permit.must_close(Usage::Idle(budget.0.began)) && budget.counts().waiting > 0 {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    let Counts { used, waiting, .. } = budget.counts();
    assert_eq!((used, waiting), (0, 0));
    assert_eq!(budget.0.lock().closing, 0);
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
