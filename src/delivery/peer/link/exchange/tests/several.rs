//! Errands on their way over three links and this node, in random orders of events: each caller gets one answer, and it
//! is true.

use super::model::{Books, Event, event, happen};
use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

const LINKS: usize = 3;
/// As [`crate::delivery::peer::peers::Peers`] has it.
const ROUTES_MAX: u8 = 3;

struct Ways {
    links: Vec<Trial>,
    /// The batches that each peer has read and not answered: id and errand.
    read: Vec<Vec<(u64, usize)>>,
    /// The nodes that have an errand: peers that read it and did not refuse it, and this node. An errand is known by its
    /// number of notifications, which no other one has.
    holders: HashMap<usize, usize>,
    callers: Vec<(bool, oneshot::Receiver<Reply>)>,
}

impl Ways {
    fn new() -> Self {
        let mut links: Vec<Trial> = (0..LINKS).map(|_| Trial::up()).collect();
        let now = links[LINKS - 1].now;
        links.iter_mut().for_each(|link| link.now = now);
        Self { links, read: vec![Vec::new(); LINKS], holders: HashMap::new(), callers: Vec::new() }
    }

    fn happen(&mut self, at: usize, event: Event) {
        match event {
            Event::Push { milliseconds, retry_unknown } => {
                let (link, count) = (&mut self.links[at], self.callers.len() + 1);
                link.push_until(link.now + Duration::from_millis(milliseconds), count, retry_unknown);
                self.callers.push((retry_unknown, link.callers.pop().expect("its caller")));
            }
            Event::Answer(which) => {
                if let Some((id, errand)) = self.take_read(at, which) {
                    self.links[at].answer(id, errand).expect("good outcomes");
                }
            }
            Event::Refuse(which, leaving) => {
                if let Some((id, errand)) = self.take_read(at, which) {
                    *self.holders.get_mut(&errand).expect("read") -= 1;
                    let overloaded = Refusal::NodeOverloaded { retry_after_seconds: 1 };
                    self.links[at].refuse(id, if leaving { Refusal::Leaving } else { overloaded });
                }
            }
            Event::Wait(milliseconds) => self.wait(Duration::from_millis(milliseconds)),
            _ => happen(event, &mut self.links[at], &mut Books::default()),
        }
        self.note_read();
        self.end_errands();
    }

    /// A batch that a peer has read, which it answers now.
    fn take_read(&mut self, at: usize, which: usize) -> Option<(u64, usize)> {
        let read = &mut self.read[at];
        (!read.is_empty()).then(|| read.remove(which % read.len()))
    }

    fn wait(&mut self, span: Duration) {
        for link in &mut self.links {
            link.now += span;
            if link.exchange.elapse(link.now) == Finding::Dead {
                link.exchange.closed(link.now, 0.5);
            }
        }
    }

    fn note_read(&mut self) {
        for (link, read) in self.links.iter_mut().zip(&mut self.read) {
            for (id, errand) in link.batches.drain(..).zip(link.sizes.drain(..)) {
                read.push((id, errand));
                *self.holders.entry(errand).or_default() += 1;
            }
            if link.exchange.phase() != Phase::Up {
                read.clear();
            }
        }
    }

    fn end_errands(&mut self) {
        for at in (0..LINKS).cycle().take(LINKS * usize::from(ROUTES_MAX + 1)) {
            for (forwarded, end) in self.links[at].exchange.take_ended() {
                match end {
                    End::Answered(outcomes) => forwarded.end(outcomes),
                    End::Refused(refused) => forwarded.end_refused(refused, 7.0),
                    End::NotSent(reason) => forwarded.end_not_sent(reason, 7.0),
                    End::Unknown(reason) => forwarded.end_unknown(reason, 7.0),
                    End::Here => self.send_here(forwarded),
                    End::Elsewhere => self.reroute(forwarded, at),
                }
            }
        }
    }

    fn reroute(&mut self, mut forwarded: Forwarded, from: usize) {
        forwarded.routes += 1;
        let is_usable = |at: &usize| *at != from && self.links[*at].exchange.is_reachable();
        match (0..LINKS).find(is_usable).filter(|_| forwarded.routes < ROUTES_MAX) {
            Some(at) => {
                let link = &mut self.links[at];
                link.exchange.push(forwarded, link.now);
            }
            None => self.send_here(forwarded),
        }
    }

    fn send_here(&mut self, forwarded: Forwarded) {
        let errand = forwarded.errand.batch.len();
        *self.holders.entry(errand).or_default() += 1;
        forwarded.end(vec![accepted(); errand]);
    }

    /// Every caller has one answer by now.
    fn check(self) {
        for (errand, (retry_unknown, mut caller)) in (1..).zip(self.callers) {
            let holders = self.holders.get(&errand).copied().unwrap_or(0);
            assert!(holders <= 1 || retry_unknown, "{holders} nodes have errand {errand}");
            let Ok(sent) = caller.try_recv().expect("an answer") else {
                assert_eq!(holders, 0, "errand {errand} was refused");
                continue;
            };
            assert_eq!(sent.outcomes.len(), errand);
            match sent.outcomes[0].kind {
                OutcomeKind::Accepted => assert!(holders > 0, "nobody has errand {errand}"),
                OutcomeKind::Unknown => {}
                _ => assert_eq!(holders, 0, "errand {errand} was reported as not sent"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_caller_gets_one_true_answer_whichever_ways_its_errand_takes(
        events in prop::collection::vec((0..LINKS, event()), 1..150),
    ) {
        let mut ways = Ways::new();
        for (at, event) in events {
            ways.happen(at, event);
        }
        // Whatever happened, the deadlines end the rest.
        ways.wait(10 * SECOND);
        ways.end_errands();
        ways.check();
    }
}
