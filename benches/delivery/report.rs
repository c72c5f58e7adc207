//! The outputs of the figures: the terminal, a JSON file, the picture, and the page beside this program.

use crate::figures::Figures;
use crate::{chart, table};
use std::fs;
use std::io;
use std::path::Path;

/// Between these the page holds the last figures.
const BEGIN: &str = "<!-- figures -->\n";
const END: &str = "<!-- end of figures -->\n";

/// Prints everything. What is whole replaces the published figures; all else goes to `target/`.
pub fn publish(figures: &Figures, is_whole: bool) -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = table::text(figures);
    println!("\n{text}");
    let folder = root.join(if is_whole { "benches/results" } else { "target/delivery" });
    fs::create_dir_all(&folder)?;
    let (json, picture) = (folder.join("delivery.json"), folder.join("delivery.svg"));
    fs::write(&json, serde_json::to_string_pretty(figures)? + "\n")?;
    fs::write(&picture, chart::svg(figures))?;
    if is_whole {
        let page = root.join("benches/README.md");
        fs::write(&page, replace(&fs::read_to_string(&page)?, &text)?)?;
    }
    println!("written: {} and {}", json.display(), picture.display());
    Ok(())
}

fn replace(page: &str, figures: &str) -> io::Result<String> {
    let lacking = || io::Error::other(format!("benches/README.md lacks {BEGIN:?} or {END:?}"));
    let (before, rest) = page.split_once(BEGIN).ok_or_else(lacking)?;
    let (_, after) = rest.split_once(END).ok_or_else(lacking)?;
    Ok(format!("{before}{BEGIN}\n![CPU of each sender](results/delivery.svg)\n\n{figures}\n{END}{after}"))
}
