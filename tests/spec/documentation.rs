//! The documentation as its reader follows it: every command of a page is run unchanged, every answer that is shown is
//! compared with the real one, and every file, heading and section that a page or a comment cites exists.

mod answer;
mod page;
mod reader;
mod references;

use page::{Block, Language, Page};
use pyapns::api::auth::Need;
use pyapns::api::auth::key::Scope;
use pyapns::api::routes::ROUTES;
use pyapns::config::{Config, File};
use pyapns::model::NodeReason;
use reader::Reader;
use std::collections::BTreeSet;
use tokio::task::JoinSet;

/// Follows a page from its first block to its last.
///
/// # Errors
/// The first fault, with page and line.
async fn follow(page: Page) -> Result<(), String> {
    let mut reader = Reader::at(&page).await;
    let mut printed: Option<String> = None;
    for block in &page.blocks {
        let at = |why: String| format!("{}:{}: {why}", page.name, block.line);
        let answers = printed.take().filter(|_| block.is_answer);
        match (block.language, answers) {
            (Language::Json, Some(real)) => answer::compare(&block.text, &real).map_err(at)?,
            (Language::Json, None) => answer::parse(&block.text).map(drop).map_err(at)?,
            (Language::Toml, _) => read_settings(block).map_err(at)?,
            (Language::Sh | Language::Python, _) => printed = Some(reader.run(block).await.map_err(at)?),
            (Language::Console, _) => {}
        }
        reader.save(block);
    }
    reader.leave().await.map_err(|why| format!("{}: {why}", page.name))
}

fn read_settings(block: &Block) -> Result<(), String> {
    let file = File { name: "a page", text: &block.text };
    Config::parse(Some(file), &|_| None).map(drop).map_err(|faults| faults.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_documentation_works_unchanged_and_answers_as_shown() {
    let pages = page::executed();
    let commands = pages.iter().flat_map(|page| &page.blocks).filter(|block| block.language.is_run()).count();
    assert!(commands >= 30, "the pages have commands: {commands}");
    let mut followed: JoinSet<_> = pages.into_iter().map(follow).collect();
    let mut faults = Vec::new();
    while let Some(page) = followed.join_next().await {
        faults.extend(page.expect("no panic").err());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn every_block_that_cannot_be_run_is_listed_with_its_reason() {
    let first_line =
        |page: &Page, block: &Block| (page.name.clone(), block.text.lines().next().unwrap_or_default().to_owned());
    let pages = page::executed();
    let consoles = |page: &Page| page.blocks.iter().filter(|block| block.language == Language::Console).count();
    let blocks = pages.iter().flat_map(|page| page.blocks.iter().map(move |block| (page, block)));
    let marked: BTreeSet<_> = blocks
        .filter(|(_, block)| block.language == Language::Console)
        .map(|(page, block)| first_line(page, block))
        .collect();
    assert_eq!(marked.len(), pages.iter().map(consoles).sum::<usize>(), "each begins with another line");
    let index = page::read("docs/README.md");
    let (_, list) = index.split_once("## How this documentation is tested").expect("the list");
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = list.lines().filter(|line| line.starts_with("| ") && line.contains(".md"));
    let listed: BTreeSet<_> = rows
        .map(|line| match cells(line).as_slice() {
            [page, first, reason] if !reason.is_empty() => (page.clone(), first.trim_matches('`').to_owned()),
            _ => panic!("a row has a page, a first line and a reason: {line}"),
        })
        .collect();
    assert_eq!(marked, listed);
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let faults = references::broken_links();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_page_and_section_that_a_comment_cites_is_there() {
    let faults = references::broken_citations();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_and_name_that_the_architecture_shows_is_there() {
    let faults = references::lost_places(&page::read("ARCHITECTURE.md"));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_call_is_listed_with_the_scope_that_it_needs() {
    let index = page::read("docs/README.md");
    for route in ROUTES {
        assert!(index.contains(&format!("{}`", route.path)), "docs/README.md lists {}", route.path);
        for operation in route.operations.iter().filter(|operation| operation.method != "*") {
            let reads = operation.method == "GET";
            let need = match if reads { route.reading } else { route.changing } {
                Need::Scope(scope) => format!("`{scope}`"),
                Need::Nothing | Need::AnyKey => "none".to_owned(),
            };
            let call = format!("| `{} {}` |", operation.method, route.path);
            let row = index.lines().find(|line| line.starts_with(&call));
            let row = row.unwrap_or_else(|| panic!("docs/README.md has a row {call}"));
            assert!(row.ends_with(&format!("| {need} |")), "{row}: it needs {need}");
        }
    }
}

#[test]
fn every_reason_of_ours_and_every_scope_is_explained() {
    let (sending, running) = (page::read("docs/sending.md"), page::read("docs/running.md"));
    for reason in NodeReason::ALL {
        assert!(sending.contains(&format!("\n| `{}` |", reason.as_str())), "docs/sending.md explains {reason:?}");
    }
    for scope in Scope::ALL {
        assert!(running.contains(&format!("\n| `{scope}` |")), "docs/running.md explains {scope}");
    }
}
