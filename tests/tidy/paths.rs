//! The paths that a file names in any form: `use` trees, `super::super`, renames, the contents of macros.

use super::source::{Source, Token};
use std::collections::HashMap;
use std::rc::Rc;

/// A path as written in the code, from the crate or from another one: `crate::api::error`, `tokio::task::spawn`.
#[derive(Debug)]
pub struct Used {
    pub segments: Vec<String>,
    pub line: usize,
    pub of_one_system: bool,
}

impl Used {
    /// Returns `true` if it is `path`, or something in it. A `*` at its end matches everything there.
    pub fn is_in(&self, path: &str) -> bool {
        let (wanted, own) = (path.split("::"), self.segments.iter().map(String::as_str));
        let is_glob = self.segments.last().is_some_and(|last| last == "*");
        let own = own.filter(|segment| *segment != "*");
        let (wanted, own): (Vec<_>, Vec<_>) = (wanted.collect(), own.collect());
        own.starts_with(&wanted) || is_glob && wanted.starts_with(&own)
    }
}

impl Source {
    /// The module that a token is in, from the crate's root, for each token.
    fn modules(&self) -> Vec<Rc<[String]>> {
        let (mut now, mut depth) = (Rc::<[String]>::from(self.own_module()), 0);
        let mut around = Vec::new();
        let mut modules = Vec::with_capacity(self.tokens.len());
        for (at, token) in self.tokens.iter().enumerate() {
            modules.push(Rc::clone(&now));
            match token.text.as_str() {
                "{" => {
                    depth += 1;
                    if at >= 2 && self.tokens[at - 2].text == "mod" {
                        let inner = now.iter().cloned().chain([self.tokens[at - 1].text.clone()]).collect();
                        around.push((depth, std::mem::replace(&mut now, inner)));
                    }
                }
                "}" => {
                    if let Some((_, outer)) = around.pop_if(|(opened, _)| *opened == depth) {
                        now = outer;
                    }
                    depth -= 1;
                }
                _ => {}
            }
        }
        modules
    }

    /// Every path in the file: from `use`, and from the code with its first word resolved by `use`.
    pub fn used(&self) -> Vec<Used> {
        let modules = self.modules();
        let (mut used, mut names) = (Vec::new(), HashMap::new());
        let mut elsewhere = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let token = &self.tokens[at];
            let begins = at == 0 || [";", "{", "}", "]", "pub", ")"].contains(&self.tokens[at - 1].text.as_str());
            if token.text == "use" && begins {
                at = self.read_use(at + 1, &[], &modules[at], &mut used, &mut names);
                continue;
            }
            let end = self.end_of_path(at);
            if end > at {
                elsewhere.push((at, end));
            }
            at = end.max(at + 1);
        }
        for (at, end) in elsewhere {
            let words = self.tokens[at..end].iter().map(|token| token.text.clone());
            let mut segments: Vec<String> = words.filter(|word| word != "::").collect();
            if let Some(whole) = names.get(&segments[0]) {
                let rest = segments.split_off(1);
                segments = [whole.clone(), rest].concat();
            }
            used.push(self.used_at(at, absolute(segments, &modules[at])));
        }
        used
    }

    fn used_at(&self, at: usize, segments: Vec<String>) -> Used {
        let Token { line, of_one_system, .. } = self.tokens[at];
        Used { segments, line, of_one_system }
    }

    /// The end of the path that begins here; this position if none begins.
    fn end_of_path(&self, at: usize) -> usize {
        let text = |at: usize| self.tokens.get(at).map_or("", |token| token.text.as_str());
        let goes_on = at > 0 && (text(at - 1) == "." || text(at - 1) == "::" && at > 1 && is_word(text(at - 2)));
        if goes_on || !is_word(text(at)) {
            return at;
        }
        let mut end = at + 1;
        while text(end) == "::" && is_word(text(end + 1)) {
            end += 2;
        }
        end
    }

    /// Reads a tree of `use` behind `before`; gives where it ends.
    fn read_use(
        &self,
        mut at: usize,
        before: &[String],
        module: &[String],
        used: &mut Vec<Used>,
        names: &mut HashMap<String, Vec<String>>,
    ) -> usize {
        let (first, mut path) = (at, before.to_vec());
        loop {
            let text = self.tokens.get(at).map_or(";", |token| token.text.as_str());
            match text {
                "{" => {
                    at += 1;
                    while self.tokens[at].text != "}" {
                        at = self.read_use(at, &path, module, used, names);
                        at += usize::from(self.tokens[at].text == ",");
                    }
                    return at + 1;
                }
                ";" | "," | "}" => break,
                "as" => break,
                "::" => {}
                word => path.push(word.to_owned()),
            }
            at += 1;
        }
        // `self` in braces names what is before them.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let segments = absolute(path, module);
        let mut name = segments.last().cloned().unwrap_or_default();
        if self.tokens.get(at).is_some_and(|token| token.text == "as") {
            name = self.tokens[at + 1].text.clone();
            at += 2;
        }
        names.insert(name, segments.clone());
        used.push(self.used_at(first, segments));
        at + usize::from(self.tokens.get(at).is_some_and(|token| token.text == ";" && before.is_empty()))
    }
}

/// From the crate's root, if it begins with `self`, `super` or the crate's name.
fn absolute(segments: Vec<String>, module: &[String]) -> Vec<String> {
    let ups = segments.iter().take_while(|segment| *segment == "super").count();
    let from = match segments[0].as_str() {
        "self" => module,
        "super" => &module[..module.len().saturating_sub(ups)],
        "pyapns" => &[],
        _ => return segments,
    };
    let rest = segments.into_iter().skip(ups.max(1));
    std::iter::once("crate".to_owned()).chain(from.iter().cloned()).chain(rest).collect()
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(path: &str, text: &str) -> Vec<String> {
        Source::new(path, text).used().iter().map(|used| used.segments.join("::")).collect()
    }

    #[test]
    fn paths_are_found_in_every_form_and_told_from_the_root() {
        let one = |text: &str| {
            let mut paths = paths("api/auth/key.rs", text);
            paths.retain(|path| path.contains("::"));
            paths
        };
        assert_eq!(
            one("use crate::{store, model::{Token, reason::*}};"),
            ["crate::store", "crate::model::Token", "crate::model::reason::*"]
        );
        assert_eq!(one("pub use super::super::error;"), ["crate::api::error"]);
        assert_eq!(
            one("use super::super::super::delivery::{self, Lane as L};"),
            ["crate::delivery", "crate::delivery::Lane"]
        );
        assert!(one("fn f() { super::super::super::node::run() }").contains(&"crate::node::run".to_owned()));
        assert!(
            one("mod inner { fn f() { super::super::super::super::node::run() } }")
                .contains(&"crate::node::run".to_owned())
        );
        assert!(one("use tokio::task; fn f() { task::spawn(g()) }").contains(&"tokio::task::spawn".to_owned()));
        assert!(one("use tokio::task as t; fn f() { t::spawn(g()) }").contains(&"tokio::task::spawn".to_owned()));
        assert!(
            one("fn f() { select! { biased; _ = crate::node::run() => {} } }").contains(&"crate::node::run".to_owned())
        );
        assert!(paths("main.rs", "fn main() { pyapns::cli::run() }").contains(&"crate::cli::run".to_owned()));
        assert!(!one("// crate::node\nfn f() { \"crate::node\"; }").iter().any(|path| path.contains("node")));
    }

    #[test]
    fn a_glob_is_in_everything_it_may_name() {
        let used = |text: &str| Source::new("a.rs", format!("use {text};")).used().remove(0);
        assert!(used("tokio::*").is_in("tokio::spawn"));
        assert!(used("tokio::task::spawn").is_in("tokio::task"));
        assert!(!used("tokio::task::*").is_in("tokio::spawn"));
        assert!(!used("tokio::spawner").is_in("tokio::spawn"));
    }

    #[test]
    fn what_is_for_one_system_is_marked() {
        let text =
            "#[cfg(target_os = \"linux\")]\nfn f() { use std::os::linux::net; }\nfn g() { std::os::linux::fs::x(); }";
        let used = Source::new("a.rs", text).used();
        let marked: Vec<_> =
            used.iter().filter(|used| used.is_in("std::os::linux")).map(|used| used.of_one_system).collect();
        assert_eq!(marked, [true, false]);
    }
}
