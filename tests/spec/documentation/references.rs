//! References in pages and comments: to files, headings, sections and names.

use super::page::{in_docs, read, root};
use std::fs;
use std::path::Path;

/// Pages with links, besides those of `docs/`.
const PAGES: [&str; 7] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "benches/README.md",
    "crates/simulator/README.md",
    "tests/foreign/README.md",
];
/// Folders with code.
const CODE: [&str; 5] = ["benches", "crates", "fuzz", "src", "tests"];

/// Links to files and headings that do not exist.
pub fn broken_links() -> Vec<String> {
    let mut faults = Vec::new();
    for page in PAGES.map(str::to_owned).into_iter().chain(in_docs()) {
        let (text, folder) = (read(&page), Path::new(&page).parent().unwrap_or(Path::new("")).to_owned());
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { folder.join(file).display().to_string() };
            if !root().join(&target).exists() {
                faults.push(format!("{page}: there is no {target}"));
            } else if !anchor.is_empty() && !headings(&read(&target)).any(|heading| slug(heading) == anchor) {
                faults.push(format!("{page}: {target} has no heading #{anchor}"));
            }
        }
    }
    faults
}

/// Citations in comments of pages that do not exist, and of sections that Apple's contract does not have.
pub fn broken_citations() -> Vec<String> {
    let contract = read("docs/apns-protocol.md");
    let sections: Vec<_> = headings(&contract).filter_map(|heading| heading.split(' ').next()).collect();
    assert!(sections.contains(&"9.") && sections.contains(&"12.1"), "{sections:?}");
    let mut faults = Vec::new();
    for file in CODE {
        walk(&root().join(file), &mut |path, text| {
            for (at, line) in text.lines().enumerate() {
                let Some((_, comment)) = line.split_once("//") else { continue };
                faults.extend(cited(comment, &sections).map(|why| format!("{path}:{}: {why}", at + 1)));
            }
        });
    }
    faults
}

/// The faults in the citations of one comment.
fn cited<'a>(comment: &'a str, sections: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    let words = || comment.split(|c: char| c.is_whitespace() || "()`[],;:".contains(c)).filter(|word| !word.is_empty());
    let pages = words().filter(|word| word.ends_with(".md") && !word.starts_with('.'));
    let lost = pages.filter(|page| {
        let name = page.rsplit('/').next().unwrap_or(page);
        ![format!("docs/{name}"), page.to_string()].iter().any(|path| root().join(path).exists())
    });
    let lost = lost.map(|page| format!("missing page {page}"));
    let mut after =
        comment.split("apns-protocol").skip(1).map(|rest| rest.trim_start_matches([' ', '`', '.', 'm', 'd']));
    let numbers = std::iter::from_fn(move || after.next()).flat_map(|rest| {
        let list = rest.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',' || c == ' ')).next();
        list.unwrap_or_default()
            .split([',', ' '])
            .map(|number| number.trim_end_matches('.'))
            .filter(|number| !number.is_empty())
    });
    let missing =
        numbers.filter(|number| !sections.contains(number) && !sections.contains(&format!("{number}.").as_str()));
    lost.chain(missing.map(|number| format!("apns-protocol.md has no section {number}")))
}

/// Files in backquotes that do not exist, and names that their file does not contain: `NAME` in `FILE`.
pub fn lost_places(page: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let quoted: Vec<&str> = page.split('`').collect();
    for (at, path) in quoted.iter().enumerate().filter(|(at, _)| at % 2 == 1) {
        let is_place = CODE.iter().chain(&["docs"]).any(|folder| path.starts_with(&format!("{folder}/")));
        if !is_place || path.contains(['*', ' ', '{']) {
            continue;
        }
        if !root().join(path).exists() {
            faults.push(format!("there is no {path}"));
        } else if at >= 2 && quoted[at - 1].split_whitespace().eq(["in"]) {
            let (name, text) = (quoted[at - 2], read(path));
            let is_end = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            let whole = |(start, _): (usize, &str)| {
                is_end(text[..start].chars().next_back()) && is_end(text[start + name.len()..].chars().next())
            };
            if !text.match_indices(name).any(whole) {
                faults.push(format!("{path} has no {name}"));
            }
        }
    }
    faults
}

fn headings(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim())
}

/// The anchor of a heading.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn walk(folder: &Path, visit: &mut impl FnMut(String, &str)) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            // Build output and packages of others.
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                walk(&path, visit);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).expect("below the root").display().to_string();
            visit(name, &fs::read_to_string(&path).expect("source is text"));
        }
    }
}

#[test]
fn a_page_or_a_section_that_is_not_there_is_found_in_a_comment() {
    let sections = ["9.", "12.", "12.1"];
    let faults = |comment: &str| cited(comment, &sections).count();
    for good in
        [" (apns-protocol.md 9)", " `apns-protocol` 12.1, as seen", " (apns-protocol.md 9, 12 and more)", " none"]
    {
        assert_eq!(faults(good), 0, "{good}");
    }
    for bad in [" (apns-protocol.md 17)", " `apns-protocol` 9.3", " see house.md 2", " (apns-protocol.md 9, 18)"] {
        assert_eq!(faults(bad), 1, "{bad}");
    }
}

#[test]
fn a_file_or_a_name_that_is_not_there_is_found_in_a_page() {
    assert!(lost_places("`read` in `tests/spec/documentation/page.rs`, `src/lib.rs`, `/healthz`").is_empty());
    for bad in ["`src/none.rs`", "`rea` in `tests/spec/documentation/page.rs`", "`nothing` in\n`src/lib.rs`"] {
        assert_eq!(lost_places(bad).len(), 1, "{bad}");
    }
}
