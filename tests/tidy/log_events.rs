//! `docs/logs.md` lists every event that the node logs, with its level and its fields.

use super::source::{self, Source, Token};
use std::collections::BTreeSet;
use std::fs;

const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

/// The row of an event in the page, as Markdown, without its last column.
fn row(level: &str, message: &str, fields: &[String]) -> String {
    let fields: Vec<_> = fields.iter().map(|field| format!("`{field}`")).collect();
    format!("| {level} | {message} | {} |", fields.join(", "))
}

/// The rows of the events in a file.
fn events(source: &Source) -> Vec<String> {
    let text = |at: usize| source.tokens.get(at).map_or("", |token| token.text.as_str());
    let begins = |at: &usize| {
        text(*at) == "tracing" && text(at + 1) == "::" && LEVELS.contains(&text(at + 2)) && text(at + 3) == "!"
    };
    (0..source.tokens.len()).filter(begins).map(|at| event(text(at + 2), &source.tokens[at + 5..])).collect()
}

/// The row of the event whose arguments begin here.
fn event(level: &str, arguments: &[Token]) -> String {
    let (mut depth, mut argument, mut fields) = (0_usize, Vec::new(), Vec::new());
    for Token { text, .. } in arguments {
        let is_end = depth == 0 && [",", ")"].contains(&text.as_str());
        match text.as_str() {
            _ if is_end => {
                if let [message] = argument[..]
                    && let Some(message) = unquoted(message)
                {
                    return row(level, &message, &fields);
                }
                fields.push(field(&argument));
                argument.clear();
                continue;
            }
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        argument.push(text.as_str());
    }
    row(level, "no message", &fields)
}

/// The name of a field: what is before `=`, or the variable of a short form.
fn field(argument: &[&str]) -> String {
    let name = argument.iter().take_while(|token| **token != "=");
    name.filter(|token| !["%", "?"].contains(token)).copied().collect()
}

/// The text of a literal.
fn unquoted(literal: &str) -> Option<String> {
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut parts = text.split("\\\n");
    let mut joined = parts.next()?.to_owned();
    parts.for_each(|part| joined.push_str(part.trim_start()));
    Some(joined.replace("\\\"", "\""))
}

/// The rows of the page's tables, without their last column.
fn documented(page: &str) -> Vec<String> {
    let rows = page.lines().filter(|line| LEVELS.iter().any(|level| line.starts_with(&format!("| {level} |"))));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "a row has four columns: {row}");
        format!("| {} | {} | {} |", cells[0], cells[1], cells[2])
    })
    .collect()
}

#[test]
fn the_page_about_logs_lists_every_event_with_its_fields_and_no_other() {
    let page = fs::read_to_string(source::root().join("docs/logs.md")).expect("the page");
    let documented = documented(&page);
    let listed: BTreeSet<_> = documented.iter().cloned().collect();
    assert_eq!(listed.len(), documented.len(), "a row is there twice");
    let logged: BTreeSet<_> =
        source::product().filter(|source| !source.is_of_another_crate()).flat_map(events).collect();
    let missing: Vec<_> = logged.difference(&listed).map(|row| format!("{row} |")).collect();
    let wrong: Vec<_> = listed.difference(&logged).map(String::as_str).collect();
    assert!(missing.is_empty(), "add to docs/logs.md:\n{}", missing.join("\n"));
    assert!(wrong.is_empty(), "no code logs these events of docs/logs.md:\n{}", wrong.join("\n"));
}

#[test]
fn an_event_is_read_with_its_fields_however_it_is_written() {
    let read = |text: &str| events(&Source::new("api/error.rs", format!("fn f() {{ {text} }}")));
    for (text, expected) in [
        ("tracing::info!(\"draining\");", "| info | draining |  |"),
        (
            "tracing::warn!(%app, why = label(a, b), \"refused: {fault}\");",
            "| warn | refused: {fault} | `app`, `why` |",
        ),
        ("tracing::debug!(url.path = path, ?other, \"a \\\"b\\\"\", c);", "| debug | a \"b\" | `url.path`, `other` |"),
        ("tracing::error!(\n    app,\n    \"one \\\n     line\"\n)", "| error | one line | `app` |"),
    ] {
        assert_eq!(read(text), [expected]);
    }
    assert_eq!(read("let x = 1;"), [""; 0]);
}
