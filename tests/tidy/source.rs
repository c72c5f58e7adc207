//! A source file as the checks see it: its tokens without comments and without `#[cfg(test)]` items, wherever those are.

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub struct Source {
    /// Relative to `src/`; of another crate of the workspace, relative to the repository: `crates/…`.
    pub path: String,
    pub text: String,
    pub tokens: Vec<Token>,
    /// The whole file is for tests.
    pub is_test: bool,
    /// Lines that are only for tests.
    test_lines: usize,
    /// Modules in separate files that are only for tests.
    test_modules: Vec<String>,
}

/// A word, a mark (`::` is one), a literal, or one side of a bracket.
#[derive(Debug)]
pub struct Token {
    pub text: String,
    pub line: usize,
    /// It is compiled for some systems only (`#[cfg(target_os = …)]`).
    pub of_one_system: bool,
}

/// A breach of a rule.
#[derive(Debug)]
pub struct Complaint {
    pub line: usize,
    pub what: String,
}

impl Complaint {
    pub fn new(line: usize, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }
}

/// Every file below `src/` and `crates/`.
pub fn all() -> &'static [Source] {
    static ALL: OnceLock<Vec<Source>> = OnceLock::new();
    ALL.get_or_init(read_all)
}

/// The files that are part of the product.
pub fn product() -> impl Iterator<Item = &'static Source> + Clone {
    all().iter().filter(|source| !source.is_test)
}

fn read_all() -> Vec<Source> {
    let mut found = Vec::new();
    for (folder, relative_to) in [("src", root().join("src")), ("crates", root())] {
        let folder = root().join(folder);
        walk(&folder, &mut |path| {
            if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(path).expect("a source file is text");
                found.push(Source::new(&path.strip_prefix(&relative_to).expect("below it").to_string_lossy(), text));
            }
        });
    }
    assert!(found.len() > 20, "the walk found the sources");
    mark_test_files(&mut found);
    found
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn walk(folder: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() { walk(&path, visit) } else { visit(&path) }
    }
}

fn mark_test_files(sources: &mut [Source]) {
    let modules: Vec<String> = sources
        .iter()
        .flat_map(|source| source.test_modules.iter().map(|name| format!("{}{name}", source.folder())))
        .collect();
    for source in sources {
        let is_below = |module: &String| {
            let rest = source.path.strip_prefix(module.as_str());
            rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        let is_beside_src = source.is_of_another_crate() && source.path.split('/').nth(2) != Some("src");
        source.is_test = is_beside_src || modules.iter().any(is_below);
    }
}

impl Source {
    pub fn new(path: &str, text: impl Into<String>) -> Self {
        let text = text.into();
        let stream = text.parse().unwrap_or_else(|error| panic!("{path} is not Rust: {error}"));
        let mut source = Self {
            path: path.to_owned(),
            text,
            tokens: Vec::new(),
            is_test: false,
            test_lines: 0,
            test_modules: Vec::new(),
        };
        source.read(stream, false);
        source
    }

    /// The first folder or file name: the module that the layers speak of.
    pub fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    pub fn is_of_another_crate(&self) -> bool {
        self.path.starts_with("crates/")
    }

    /// For who reads of it.
    pub fn place(&self) -> String {
        if self.is_of_another_crate() { self.path.clone() } else { format!("src/{}", self.path) }
    }

    /// The folder of its modules' files.
    fn folder(&self) -> String {
        let stem = self.path.trim_end_matches(".rs");
        match stem.strip_suffix("lib").or_else(|| stem.strip_suffix("main")) {
            Some(root) if root.is_empty() || root.ends_with('/') => root.to_owned(),
            _ => format!("{stem}/"),
        }
    }

    /// The module it is, from its crate's root.
    pub fn own_module(&self) -> Vec<String> {
        let folder = self.folder();
        let inside = folder
            .split_once("/src/")
            .filter(|_| self.is_of_another_crate())
            .map_or(folder.as_str(), |(_, inside)| inside);
        inside.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// The number of its lines outside tests.
    pub fn product_lines(&self) -> usize {
        self.text.lines().count() - self.test_lines
    }

    /// The lines with these tokens in a row, written as Rust.
    pub fn lines_with(&self, pattern: &str) -> Vec<usize> {
        let pattern = Self::new("pattern", pattern).tokens;
        let matches = |window: &[Token]| window.iter().zip(&pattern).all(|(found, wanted)| found.text == wanted.text);
        self.tokens.windows(pattern.len()).filter(|window| matches(window)).map(|window| window[0].line).collect()
    }

    fn read(&mut self, stream: TokenStream, of_one_system: bool) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let (mut at, mut system_until) = (0, 0);
        while at < trees.len() {
            let condition = condition(&trees[at..]);
            if condition.as_deref().is_some_and(is_for_tests) {
                let end = end_of_item(&trees, at);
                self.skip(&trees[at..end]);
                at = end;
                continue;
            }
            if condition.is_some_and(|condition| condition.contains("target_os")) {
                system_until = end_of_item(&trees, at);
            }
            at += self.take(&trees[at..], of_one_system || at < system_until);
        }
    }

    /// Takes the tokens of the first tree: how many trees that were.
    fn take(&mut self, trees: &[TokenTree], of_one_system: bool) -> usize {
        let is_colon = |tree: &TokenTree| matches!(tree, TokenTree::Punct(mark) if mark.as_char() == ':');
        let line = trees[0].span().start().line;
        let mut push = |text: &str, line| self.tokens.push(Token { text: text.to_owned(), line, of_one_system });
        match trees {
            [TokenTree::Group(group), ..] => {
                let (open, close) = brackets(group);
                push(open, line);
                self.read(group.stream(), of_one_system);
                let line = group.span_close().end().line;
                self.tokens.push(Token { text: close.to_owned(), line, of_one_system });
            }
            [TokenTree::Punct(mark), next, ..]
                if mark.as_char() == ':' && mark.spacing() == Spacing::Joint && is_colon(next) =>
            {
                push("::", line);
                return 2;
            }
            trees => push(&trees[0].to_string(), line),
        }
        1
    }

    fn skip(&mut self, item: &[TokenTree]) {
        let [first, .., last] = item else { return };
        self.test_lines += last.span().end().line - first.span().start().line + 1;
        let words: Vec<_> = item.iter().map(TokenTree::to_string).collect();
        if let [.., module, name, end] = words.as_slice()
            && (module.as_str(), end.as_str()) == ("mod", ";")
        {
            self.test_modules.push(name.clone());
        }
    }
}

fn brackets(group: &Group) -> (&'static str, &'static str) {
    match group.delimiter() {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    }
}

/// Returns the contents of a `#[cfg(…)]` that begins here.
fn condition(trees: &[TokenTree]) -> Option<String> {
    let [TokenTree::Punct(mark), TokenTree::Group(attribute), ..] = trees else { return None };
    let inner: Vec<TokenTree> = attribute.stream().into_iter().collect();
    match inner.as_slice() {
        [TokenTree::Ident(name), TokenTree::Group(condition)] if mark.as_char() == '#' && name == "cfg" => {
            Some(condition.stream().to_string())
        }
        _ => None,
    }
}

fn is_for_tests(condition: &str) -> bool {
    let all = condition.strip_prefix("all").map(|all| all.trim().trim_matches(['(', ')']));
    all.unwrap_or(condition).split(',').any(|part| part.trim() == "test")
}

/// The position after the item of the attribute at `at`: after its `;` or its last brace, or the `,` of a field.
fn end_of_item(trees: &[TokenTree], at: usize) -> usize {
    let word = |at: usize| trees.get(at).map(TokenTree::to_string).unwrap_or_default();
    let mut begin = at;
    while word(begin) == "#" {
        begin += 2;
    }
    if word(begin) == "pub" {
        begin += 1;
        begin += usize::from(matches!(trees.get(begin), Some(TokenTree::Group(_))));
    }
    let is_value = match word(begin).as_str() {
        "const" => !matches!(word(begin + 1).as_str(), "fn" | "async" | "unsafe" | "extern"),
        first => matches!(first, "use" | "static" | "let" | "type"),
    };
    let is_field = word(begin + 1) == ":";
    let ends = |tree: &TokenTree| match tree {
        TokenTree::Punct(mark) => mark.as_char() == ';' || mark.as_char() == ',' && is_field,
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !is_value && !is_field,
        _ => false,
    };
    trees[begin..].iter().position(ends).map_or(trees.len(), |found| begin + found + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Source::new("api/error.rs", text).tokens.into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn what_is_only_for_tests_is_left_out_and_what_follows_it_is_read() {
        for skipped in [
            "#[cfg(test)] mod tests;",
            "#[cfg(test)] mod tests { fn f() { g(); } }",
            "#[cfg(test)] pub(crate) mod tests { const A: u8 = 1; }",
            "#[cfg(test)] use a::{b, c};",
            "#[cfg(test)] const A: S = S { a: 1 };",
            "#[cfg(test)] const fn f() -> u8 { 1 }",
            "#[cfg(test)] #[allow(x)] impl S { fn f() {} }",
            "#[cfg(all(test, unix))] struct S;",
            "#[test] #[cfg(test)] fn f() {}",
        ] {
            let read = words(&format!("{skipped} after"));
            assert!(read.iter().any(|word| word == "after"), "{skipped}: {read:?}");
            assert!(
                !read.iter().any(|word| word == "mod" || word == "S" || word == "b" || word == "A"),
                "{skipped}: {read:?}"
            );
        }
        assert_eq!(words("struct S { #[cfg(test)] a: u8, b: u8 }"), ["struct", "S", "{", "b", ":", "u8", "}"]);
        assert_eq!(words("fn f() { #[cfg(test)] let a = { 1 }; b }"), ["fn", "f", "(", ")", "{", "b", "}"]);
        assert!(words("#[cfg(any(test, feature = \"fuzzing\"))] mod kept;").contains(&"kept".to_owned()));
        assert!(words("#[cfg(not(test))] mod kept;").contains(&"kept".to_owned()));
    }

    #[test]
    fn lines_for_tests_are_not_counted() {
        let text = "//! A\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n\nfn c() {}\n";
        assert_eq!(Source::new("a.rs", text).product_lines(), 5);
    }

    #[test]
    fn files_are_for_tests_where_the_module_that_names_them_is() {
        let mut sources = [
            Source::new("api.rs", "mod error;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\npub mod helping;"),
            Source::new("api/error.rs", ""),
            Source::new("api/tests.rs", ""),
            Source::new("api/tests/access.rs", ""),
            Source::new("api/helping.rs", ""),
            Source::new("api/helping_more.rs", ""),
            Source::new("tests/odd.rs", ""),
            Source::new("crates/http2/src/lib.rs", "mod session;\n#[cfg(test)]\nmod tests;"),
            Source::new("crates/http2/src/session.rs", ""),
            Source::new("crates/http2/src/tests.rs", ""),
            Source::new("crates/http2/tests/interop.rs", ""),
        ];
        mark_test_files(&mut sources);
        let marked = sources.iter().map(|source| source.is_test).collect::<Vec<_>>();
        assert_eq!(marked, [false, false, true, true, true, false, false, false, false, true, true]);
    }
}
