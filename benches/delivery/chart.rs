//! The picture: CPU of each sender as a multiple of the floor's, with a line where the target lies.

use crate::figures::{Figures, Row};
use std::fmt::Write as _;

const WIDTH: u32 = 860;
const LABELS: u32 = 300;
const BARS: u32 = 470;
const TOP: u32 = 64;
const LINE: u32 = 30;
const BAR: u32 = 18;
/// Longer bars are cut off here, and say how long they are.
const MOST: f64 = 3.0;

/// An SVG document.
pub fn svg(figures: &Figures) -> String {
    let rows = &figures.senders;
    let bottom = TOP + LINE * rows.len() as u32;
    let mut out = String::new();
    let _ = writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {}" font-family="sans-serif" font-size="13" fill="#24292f">
<title>CPU for a notification, as a multiple of the floor's</title>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="16" y="26" font-size="16" font-weight="bold">CPU for a notification: × a bare h2 loop's (shorter is better)</text>
<text x="16" y="46" fill="#57606a">Medians of {} rounds; the red line is the most that it may be.</text>"##,
        bottom + 56,
        figures.rounds
    );
    for mark in 0..=(MOST as u32) {
        let x = at(f64::from(mark));
        let colour = if mark == 1 { "#57606a" } else { "#d0d7de" };
        let _ = writeln!(
            out,
            r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}" stroke="{colour}"/><text x="{x:.1}" y="{}" text-anchor="middle" fill="#57606a">{mark}</text>"##,
            bottom + 16
        );
    }
    for (row, y) in rows.iter().zip((TOP..).step_by(LINE as usize)) {
        bar(&mut out, row, y);
    }
    let machine = escape(&figures.machine.to_string());
    let _ = writeln!(out, r##"<text x="16" y="{}" font-size="11" fill="#57606a">{machine}</text>"##, bottom + 42);
    out.push_str("</svg>\n");
    out
}

fn bar(out: &mut String, row: &Row, y: u32) {
    let times = row.times_floor();
    let meets = row.target.is_none_or(|target| times <= target);
    let colour = match row.name {
        "floor" | "a2" => "#8c959f",
        _ if meets => "#2da44e",
        _ => "#bf8700",
    };
    let (length, middle) = (at(times) - at(0.0), y + LINE / 2 + 5);
    let _ = writeln!(
        out,
        r##"<text x="{}" y="{middle}" text-anchor="end">{}</text><rect x="{LABELS}" y="{}" width="{length:.1}" height="{BAR}" fill="{colour}"/><text x="{:.1}" y="{middle}">{times:.2}</text>"##,
        LABELS - 10,
        escape(&row.title),
        y + (LINE - BAR) / 2,
        at(times.max(row.target.unwrap_or_default())) + 6.0,
    );
    if let Some(target) = row.target {
        let x = at(target);
        let (from, to) = (y + 2, y + LINE - 2);
        let _ = writeln!(
            out,
            r##"<line x1="{x:.1}" y1="{from}" x2="{x:.1}" y2="{to}" stroke="#cf222e" stroke-width="2"/>"##
        );
    }
}

fn at(times: f64) -> f64 {
    f64::from(LABELS) + times.min(MOST) / MOST * f64::from(BARS)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
