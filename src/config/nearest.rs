//! Finds the known name that a mistyped one most likely means. Pure.

use strsim::normalized_damerau_levenshtein;

/// The minimum similarity, from 0 to 1: a third of the letters may be wrong.
const SIMILARITY_MIN: f64 = 0.66;
/// The minimum similarity of a name that only lacks its section or its end. The similarity of the letters decides
/// between several.
const WITHOUT_SECTION_SIMILARITY: f64 = 0.8;
const PREFIX_SIMILARITY: f64 = 0.7;
/// The minimum number of letters for a name to match by its beginning.
const PREFIX_LETTERS_MIN: usize = 3;

/// Returns the most similar known name, if one is similar enough. `.` and `_` separate the parts of a name; case is
/// ignored.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    let similar = known.into_iter().map(|known| (similarity(&name, &known.to_ascii_lowercase()), known));
    let similar = similar.filter(|(similarity, _)| *similarity >= SIMILARITY_MIN);
    // The first of several equally similar names.
    similar.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, known)| known)
}

fn similarity(name: &str, known: &str) -> f64 {
    let letters = normalized_damerau_levenshtein(name, known);
    let between = |least: f64| least + (1.0 - least) * letters;
    if known.strip_suffix(name).is_some_and(|section| section.ends_with(['.', '_'])) {
        between(WITHOUT_SECTION_SIMILARITY)
    } else if name.len() >= PREFIX_LETTERS_MIN && known.starts_with(name) {
        between(PREFIX_SIMILARITY)
    } else {
        letters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 7] = [
        "listen",
        "log.level",
        "limits.items",
        "limits.body_bytes",
        "limits.in_flight_bytes",
        "credentials.key_files",
        "certificate",
    ];

    #[test]
    fn a_name_with_some_letters_wrong_missing_or_exchanged_finds_the_nearest() {
        for (name, meant) in [
            ("litsen", "listen"),
            ("Listen", "listen"),
            ("loglevel", "log.level"),
            ("limit.items", "limits.items"),
            ("items", "limits.items"),
            ("body_bytes", "limits.body_bytes"),
            ("limits.inflight_bytes", "limits.in_flight_bytes"),
            ("credentials.key", "credentials.key_files"),
            ("cert", "certificate"),
        ] {
            assert_eq!(nearest(name, KNOWN), Some(meant), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_similar_to_no_other_finds_none() {
        for name in ["", "x", "store", "redis.url", "limits.foo"] {
            assert_eq!(nearest(name, KNOWN), None, "{name}");
        }
        assert_eq!(nearest("listen", []), None);
    }
}
