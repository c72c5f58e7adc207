//! The maximum length of files and functions.

use super::source::{Complaint, Source};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

pub fn check(source: &Source) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let lines = source.product_lines();
    if lines > FILE_LINES_MAX {
        complaints.push(Complaint::new(lines, format!("{lines} lines, at most {FILE_LINES_MAX}")));
    }
    for at in 0..source.tokens.len().saturating_sub(1) {
        // Before a name: `fn(u8)` is a type.
        if source.tokens[at].text != "fn" || source.tokens[at + 1].text == "(" {
            continue;
        }
        let (first, length) = (source.tokens[at].line, length(source, at));
        if length > FUNCTION_LINES_MAX {
            let what = format!("a function of {length} lines, at most {FUNCTION_LINES_MAX}");
            complaints.push(Complaint::new(first, what));
        }
    }
    complaints
}

/// Lines from the function's first to the brace that ends it; none for one without a body.
fn length(source: &Source, at: usize) -> usize {
    let mut depth = 0;
    for token in &source.tokens[at..] {
        match token.text.as_str() {
            ";" if depth == 0 => return 0,
            "{" | "(" | "[" => depth += 1,
            "}" if depth == 1 => return token.line - source.tokens[at].line + 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines;

    fn function(head: &str, lines: usize) -> String {
        format!("{head} {{\n{}}}\n", "    a();\n".repeat(lines - 2))
    }

    #[test]
    fn a_long_function_is_seen_wherever_it_is() {
        for head in [
            "fn f()",
            "pub(crate) async fn f<T>(a: [u8; 2]) -> Result<T, E> where T: Fn(u8) -> u8",
            "pub const unsafe extern \"C\" fn f()",
        ] {
            assert_eq!(lines(check, "a.rs", &function(head, FUNCTION_LINES_MAX)), [0; 0], "{head}");
            assert_eq!(lines(check, "a.rs", &function(head, FUNCTION_LINES_MAX + 1)), [1], "{head}");
        }
        let long = function("fn f()", FUNCTION_LINES_MAX + 1);
        assert_eq!(lines(check, "a.rs", &format!("impl S {{\n{long}}}")), [2], "a method");
        assert_eq!(lines(check, "a.rs", &format!("fn outer() {{\n{long}}}")), [1, 2], "one in another, and that other");
        assert_eq!(lines(check, "a.rs", &format!("#[cfg(test)]\nmod tests;\n{long}")), [3], "behind tests");
        assert_eq!(lines(check, "a.rs", &format!("#[cfg(test)]\nmod tests {{ {long} }}")), [0; 0], "a test");
        assert_eq!(lines(check, "a.rs", "trait T { fn f();\n fn g(a: fn(u8)) {} }"), [0; 0]);
    }

    #[test]
    fn a_long_file_is_seen_and_its_tests_do_not_count() {
        let product = "const A: u8 = 1;\n".repeat(FILE_LINES_MAX);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{product}}}\n");
        assert_eq!(lines(check, "a.rs", &format!("{product}{tests}")), [0; 0]);
        assert_eq!(lines(check, "a.rs", &format!("{tests}{product}const B: u8 = 1;")), [FILE_LINES_MAX + 1]);
    }
}
