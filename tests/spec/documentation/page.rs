//! A page of the documentation, and the blocks in it.

use std::fs;
use std::path::{Path, PathBuf};

/// The marks that a block can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Sh,
    Python,
    Json,
    Toml,
    /// Not run; docs/README.md says why.
    Console,
}

impl Language {
    fn parse(text: &str) -> Option<Self> {
        let known = [
            ("sh", Self::Sh),
            ("python", Self::Python),
            ("json", Self::Json),
            ("toml", Self::Toml),
            ("console", Self::Console),
        ];
        known.into_iter().find(|(name, _)| *name == text).map(|(_, language)| language)
    }

    pub fn is_run(self) -> bool {
        matches!(self, Self::Sh | Self::Python)
    }
}

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    pub language: Language,
    /// The file name to save it under: `file=NAME` after the language.
    pub file: Option<String>,
    pub text: String,
    /// The line of its opening fence, from 1.
    pub line: usize,
    /// It follows another block directly, and so shows that block's output.
    pub is_answer: bool,
}

#[derive(Debug)]
pub struct Page {
    /// Relative to the repository.
    pub name: String,
    pub blocks: Vec<Block>,
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the repository.
pub fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The pages whose blocks are executed. Apple's contract is left out: its blocks show frames.
pub fn executed() -> Vec<Page> {
    let mut names = vec!["README.md".to_owned(), "crates/simulator/README.md".to_owned()];
    names.extend(in_docs().into_iter().filter(|name| name != "docs/apns-protocol.md"));
    names.into_iter().map(Page::read).collect()
}

/// All pages of `docs/`.
pub fn in_docs() -> Vec<String> {
    let files = fs::read_dir(root().join("docs")).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = files.map(|name| format!("docs/{}", name.to_string_lossy())).collect();
    names.retain(|name| Path::new(name).extension().is_some_and(|extension| extension == "md"));
    names.sort();
    assert!(names.len() >= 9, "{names:?}");
    names
}

impl Page {
    fn read(name: String) -> Self {
        let blocks = blocks(&name, &read(&name));
        Self { name, blocks }
    }
}

fn blocks(name: &str, text: &str) -> Vec<Block> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let (mut found, mut last_end) = (Vec::new(), 0);
    while let Some((line, fence)) = lines.next() {
        assert!(!fence.starts_with(' ') || !fence.trim_start().starts_with("```"), "{name}:{line}: an indented fence");
        let Some(mark) = fence.strip_prefix("```") else { continue };
        let (language, file) = mark.split_once(' ').unwrap_or((mark, ""));
        let language = Language::parse(language);
        let language = language.unwrap_or_else(|| panic!("{name}:{line}: a block is not marked {mark:?}"));
        let file = file.strip_prefix("file=").map(str::to_owned);
        let mut block = String::new();
        let end = loop {
            match lines.next().unwrap_or_else(|| panic!("{name}:{line}: the block has no end")) {
                (end, "```") => break end,
                (_, inside) => block.extend([inside, "\n"]),
            }
        };
        found.push(Block { language, file, text: block, line, is_answer: last_end > 0 && line == last_end + 1 });
        last_end = end;
    }
    found
}
