//! The fuzz targets on every `cargo test`: over the committed corpus, and over what chance makes of it.

mod batch_seeds;
mod frame_seeds;
mod hpack_seeds;
mod session_seeds;

use std::fs;
use std::path::{Path, PathBuf};

use super::{forwarded_batch, frames, hpack_decoder, hpack_encoder, session};

/// A name for the file, and the input.
type Seed = (&'static str, Vec<u8>);

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Compares the corpus with the seeds it was made from; `WRITE_SEEDS=1` writes it again.
fn check_seeds(target: &str, seeds: Vec<Seed>) {
    for (name, input) in seeds {
        let path = corpus(target).join(name);
        if std::env::var_os("WRITE_SEEDS").is_some() {
            fs::create_dir_all(corpus(target)).expect("a folder for the corpus");
            fs::write(&path, &input).expect("a seed is written");
        }
        assert!(fs::read(&path).is_ok_and(|found| found == input), "{path:?} is outdated: run with WRITE_SEEDS=1");
    }
}

/// Runs the corpus, then as many inputs made of its pieces, with bytes changed, or of noise.
fn run(target: &str, body: impl Fn(&[u8]), count: usize) {
    let files = fs::read_dir(corpus(target)).expect("a corpus");
    let mut inputs: Vec<_> =
        files.map(|file| fs::read(file.expect("a file").path()).expect("a readable input")).collect();
    inputs.sort();
    assert!(inputs.len() > 10);
    inputs.iter().for_each(|input| body(input));
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..count {
        body(&chance(&inputs, &mut random));
    }
}

fn chance(inputs: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    if random.u8(..) < 32 {
        return (0..random.usize(..400)).map(|_| random.u8(..)).collect();
    }
    let mut input = random.choice(inputs).cloned().unwrap_or_default();
    input.truncate(random.usize(..=input.len()));
    let other = random.choice(inputs).map_or(&[][..], |other| &other[random.usize(..=other.len())..]);
    input.extend_from_slice(other);
    for _ in 0..random.usize(..8) {
        if !input.is_empty() {
            let at = random.usize(..input.len());
            input[at] = random.u8(..);
        }
    }
    input
}

#[test]
fn the_corpus_holds_every_seed() {
    check_seeds("session", session_seeds::seeds());
    check_seeds("hpack_decoder", hpack_seeds::decoder());
    check_seeds("hpack_encoder", hpack_seeds::encoder());
    check_seeds("frames", frame_seeds::seeds());
    check_seeds("forwarded_batch", batch_seeds::seeds());
}

#[test]
fn a_session_keeps_the_rules_whatever_its_peer_and_its_caller_do() {
    run("session", session, 1_500);
}

#[test]
fn the_decoder_reads_what_a_naive_one_reads() {
    run("hpack_decoder", hpack_decoder, 20_000);
}

#[test]
fn what_the_encoder_writes_a_strict_peer_reads() {
    run("hpack_encoder", hpack_encoder, 2_000);
}

#[test]
fn frames_are_read_alike_however_they_are_cut_and_what_was_read_is_written_and_read_again() {
    run("frames", frames, 20_000);
}

#[test]
fn a_batch_of_another_node_is_taken_exactly_if_it_keeps_the_rules() {
    run("forwarded_batch", forwarded_batch, 20_000);
}
