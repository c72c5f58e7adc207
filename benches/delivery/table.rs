//! The figures as tables, for a terminal and for Markdown alike.

use crate::figures::{Distance, Figures, Latency, Row, median};
use std::fmt::Write as _;

/// All of it.
pub fn text(figures: &Figures) -> String {
    let mut out = format!("{}\n\n", figures.machine);
    let rounds = figures.rounds;
    let _ = writeln!(
        out,
        "Medians of {rounds} round{}, in brackets the least and the most; {} in flight; payloads of 160 bytes, TLS on \
         loopback.\n",
        if rounds == 1 { "" } else { "s" },
        figures.in_flight
    );
    let rows = figures.senders.iter().map(sender).collect();
    table(&mut out, ["sender", "notifications/s", "CPU µs each", "× floor", "may be"], rows);
    if !figures.latency.is_empty() {
        let head = [
            "open loop at half of its most",
            "notifications/s",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "p99 bare",
            "p99 added",
        ];
        table(&mut out, head, figures.latency.iter().map(latency).collect());
    }
    if !figures.apple.is_empty() {
        let head = ["Apple answers after", "connections", "notifications/s", "of what streams allow", "CPU µs each"];
        table(&mut out, head, figures.apple.iter().map(distance).collect());
    }
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let memory = &figures.memory;
    let _ = writeln!(
        out,
        "The daemon holds {:.1} MB resident when just started, held {:.1} MB at the most and {:.1} MB at the end.",
        mb(memory.idle),
        mb(memory.most),
        mb(memory.after)
    );
    out
}

fn sender(row: &Row) -> [String; 5] {
    let spread = |figures: &[f64], digits: usize| {
        let (middle, least) = (median(figures.iter().copied()), figures.iter().copied().fold(f64::MAX, f64::min));
        let most = figures.iter().copied().fold(f64::MIN, f64::max);
        format!("{middle:.digits$} ({least:.digits$} to {most:.digits$})")
    };
    let target = row.target.map_or(String::new(), |target| {
        format!("{target:.2}{}", if row.times_floor() <= target { "" } else { ", missed" })
    });
    let per_second = format!("{:.0}", median(row.per_second.iter().copied()));
    [row.title.clone(), per_second, spread(&row.cpu_us, 2), spread(&row.times_floor, 2), target]
}

fn latency(latency: &Latency) -> [String; 7] {
    let Latency { title, per_second, daemon_ms, bare_ms, .. } = latency;
    let ms = |ms: f64| format!("{ms:.2}");
    [
        (*title).to_owned(),
        format!("{per_second:.0}"),
        ms(daemon_ms.p50),
        ms(daemon_ms.p99),
        ms(daemon_ms.p999),
        ms(bare_ms.p99),
        ms(daemon_ms.p99 - bare_ms.p99),
    ]
}

fn distance(distance: &Distance) -> [String; 5] {
    let Distance { latency_ms, connections, per_second, share, cpu_us } = distance;
    let share = format!("{:.0} %", share * 100.0);
    [format!("{latency_ms} ms"), connections.to_string(), format!("{per_second:.0}"), share, format!("{cpu_us:.2}")]
}

fn table<const N: usize>(out: &mut String, head: [&str; N], rows: Vec<[String; N]>) {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([head[at].chars().count()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut line = |cells: [&str; N]| {
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(out, "| {cell:width$} ");
        }
        out.push_str("|\n");
    };
    line(head);
    let rules = widths.map(|width| "-".repeat(width));
    line(std::array::from_fn(|at| rules[at].as_str()));
    for row in &rows {
        line(std::array::from_fn(|at| row[at].as_str()));
    }
    out.push('\n');
}
