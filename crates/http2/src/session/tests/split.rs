//! Split equivalence: however reads cut the input and writes cut the output, the same events and the same bytes.

use proptest::prelude::*;

use super::super::Config;
use super::support::*;
use crate::frame::{flag, kind};

/// The results of a replay: events, all output, and the ends that a close brings.
type Shown = (Vec<Seen>, Vec<u8>, Vec<Seen>);

/// Streams 1, 3, 5 (its body waiting) and 7 are open.
fn client() -> Client {
    let mut client = Client::ready(&[(4, 1_000)]);
    client.request(1, b"{}").unwrap();
    client.request(2, b"{}").unwrap();
    client.request(3, &[b'x'; 3_000]).unwrap();
    client.request(4, b"{}").unwrap();
    client.drain();
    client
}

/// Feeds `input` cut at `cuts`; the output is written at the end, since a fault drops unwritten frames.
fn replay(mut client: Client, input: &[u8], cuts: &[usize]) -> Shown {
    let (mut seen, mut from) = (Vec::new(), 0);
    for &to in cuts.iter().chain([&input.len()]) {
        seen.extend(client.feed(&input[from..to]));
        from = to;
    }
    (seen, client.drain(), client.close())
}

#[test]
fn a_recording_cut_anywhere_shows_the_same() {
    let input = recording();
    let whole = replay(client(), &input, &[]);
    assert_eq!(whole.0.iter().filter(|seen| matches!(seen, Seen::Answered { complete: true, .. })).count(), 3);
    for cut in 0..=input.len() {
        assert_eq!(replay(client(), &input, &[cut]), whole, "cut at {cut}");
    }
    let bytewise: Vec<_> = (0..input.len()).collect();
    assert_eq!(replay(client(), &input, &bytewise), whole);
}

#[test]
fn a_first_answer_cut_anywhere_shows_the_same() {
    let input = [settings(&[(3, 1)]), frame(kind::SETTINGS, flag::ACK, 0, &[]), goaway(0, 2, b"x")].concat();
    let whole = replay(Client::new(Config::default()), &input, &[]);
    for cut in 0..=input.len() {
        assert_eq!(replay(Client::new(Config::default()), &input, &[cut]), whole);
    }
}

#[test]
fn output_taken_in_any_pieces_is_the_same() {
    let bytes_by = |piece: usize| {
        let mut client = Client::ready(&[(4, 1_000)]);
        client.feed(&[ping(0, 1), settings(&[(3, 9)])].concat());
        client.request(1, &[b'x'; 1_000]).unwrap();
        client.request(2, &[b'x'; 2_000]).unwrap();
        let mut output = Vec::new();
        while !client.session.output().is_empty() {
            let taken = client.session.output().len().min(piece);
            output.extend_from_slice(&client.session.output()[..taken]);
            client.session.handed(taken);
        }
        output
    };
    let whole = bytes_by(usize::MAX);
    for piece in [1, 2, 7, 100, 999] {
        assert_eq!(bytes_by(piece), whole);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_cuts_show_the_same(mut cuts in prop::collection::vec(0..recording().len(), 0..20)) {
        cuts.sort_unstable();
        let input = recording();
        prop_assert_eq!(replay(client(), &input, &cuts), replay(client(), &input, &[]));
    }

    /// Broken input, too, means the same in one piece or bytewise, and never panics.
    #[test]
    fn mutated_streams_neither_panic_nor_depend_on_cuts(
        changes in prop::collection::vec((0..recording().len(), any::<u8>()), 1..6),
        dropped in prop::option::of(0..recording().len()),
    ) {
        let mut input = recording();
        changes.iter().for_each(|&(at, byte)| input[at] = byte);
        if let Some(at) = dropped {
            input.remove(at);
        }
        let bytewise: Vec<_> = (0..input.len()).collect();
        prop_assert_eq!(replay(client(), &input, &bytewise), replay(client(), &input, &[]));
    }

    #[test]
    fn noise_never_panics(input in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytewise: Vec<_> = (0..input.len()).collect();
        prop_assert_eq!(replay(client(), &input, &bytewise), replay(client(), &input, &[]));
    }
}
