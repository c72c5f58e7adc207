//! The options of the command line: `cargo bench --bench delivery -- --shapes batch-100,lines --rounds 3`.

use crate::shape::{SHAPES, Shape};
use clap::Parser;

/// Measures the cost of a notification.
#[derive(Debug, Parser)]
pub struct Options {
    /// Only these; the floor is always measured. See the table for their names.
    #[arg(long, value_delimiter = ',', value_parser = known)]
    shapes: Vec<&'static str>,
    /// Rounds, each of which measures everything once; medians are reported.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Notifications of a shape in a round; the slow ones send a part of them.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1000..))]
    notifications: u32,
    /// One round of few notifications, to see that it all works.
    #[arg(long)]
    pub quick: bool,
    /// Only how fast the simulator is, against a bare h2 server.
    #[arg(long)]
    pub simulator: bool,
    /// The argument that cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn known(name: &str) -> Result<&'static str, String> {
    let names = SHAPES.iter().map(|shape| shape.name).chain([PEER, APPLE]);
    let all: Vec<_> = names.clone().collect();
    names.into_iter().find(|known| *known == name).ok_or_else(|| format!("the shapes are {}", all.join(", ")))
}

/// The peer's name among the shapes.
pub const PEER: &str = "a2";
/// The name of what is measured with Apple far away.
pub const APPLE: &str = "apple";

impl Options {
    pub fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds as usize }
    }

    pub fn notifications(&self) -> usize {
        if self.quick { 5000 } else { self.notifications as usize }
    }

    pub fn wants(&self, name: &str) -> bool {
        self.shapes.is_empty() || self.shapes.contains(&name)
    }

    pub fn shapes(&self) -> impl Iterator<Item = &'static Shape> {
        SHAPES.iter().filter(|shape| self.wants(shape.name))
    }

    /// Returns `true` if the figures are complete: nothing was left out or shortened.
    pub fn is_whole(&self) -> bool {
        self.shapes.is_empty() && !self.quick
    }
}
