//! Rules on the form of a file: its first line, its `select!`, and marks that may not stay.

use super::source::{Complaint, Source};

const LEFT_OPEN: [&str; 7] = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore", "TODO", "FIXME", "XXX"];

/// The first line says what the file is for.
pub fn check_opening(source: &Source) -> Vec<Complaint> {
    let opens = source.text.starts_with("//! ");
    let complaint = || Complaint::new(1, "does not begin with a line that states its purpose");
    if opens { Vec::new() } else { vec![complaint()] }
}

/// Without `biased;` the order is drawn at random, and no test can count on it.
pub fn check_selects(source: &Source) -> Vec<Complaint> {
    let is = |at: usize, text: &str| source.tokens.get(at).is_some_and(|token| token.text == text);
    let selects = (0..source.tokens.len()).filter(|&at| is(at, "select") && is(at + 1, "!"));
    let unbiased = selects.filter(|at| !(is(at + 3, "biased") && is(at + 4, ";")));
    unbiased.map(|at| Complaint::new(source.tokens[at].line, "select! without `biased;` first")).collect()
}

/// Tests, too.
pub fn check_left_open(source: &Source) -> Vec<Complaint> {
    let lines = source.text.lines().enumerate();
    let found = |(at, line): (usize, &str)| {
        let words = LEFT_OPEN.iter().filter(move |word| line.contains(**word));
        words.map(move |word| Complaint::new(at + 1, format!("`{word}` is left open"))).collect::<Vec<_>>()
    };
    lines.flat_map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines;

    #[test]
    fn a_file_without_an_opening_line_is_seen() {
        assert_eq!(lines(check_opening, "a.rs", "use a;"), [1]);
        assert_eq!(lines(check_opening, "a.rs", "// A\nuse a;"), [1]);
        assert_eq!(lines(check_opening, "a.rs", "//! A\nuse a;"), [0; 0]);
    }

    #[test]
    fn a_select_that_is_not_biased_is_seen() {
        assert_eq!(lines(check_selects, "a.rs", "fn f() {\n tokio::select! { _ = a() => {} } }"), [2]);
        assert_eq!(lines(check_selects, "a.rs", "#[cfg(test)]\nmod tests;\nfn f() { select!(_ = a() => {}) }"), [3]);
        assert_eq!(lines(check_selects, "a.rs", "fn f() { select! {\n // first\n biased; _ = a() => {} } }"), [0; 0]);
    }

    #[test]
    fn what_is_left_open_is_seen_in_tests_and_comments_too() {
        for (at, word) in LEFT_OPEN.iter().enumerate() {
            let text = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n    // {word})]{at}\n}}");
            assert!(lines(check_left_open, "a.rs", &text).contains(&4), "{word}");
        }
        assert_eq!(lines(check_left_open, "a.rs", "fn f() {}"), [0; 0]);
    }
}
