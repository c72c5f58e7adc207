//! Who may know whom.

use super::source::{Complaint, Source};

/// Modules of `src/`, each with its rank: a module may use those of a lower rank, and of its own only itself.
const LAYERS: &[(&str, u32)] = &[
    ("model", 0),
    ("clock", 1),
    ("telemetry", 1),
    ("drain", 1),
    ("store", 2),
    ("credentials", 2),
    ("apns", 3),
    ("registry", 4),
    ("events", 4),
    ("cluster", 4),
    ("delivery", 5),
    ("api", 6),
    ("autoprovision", 6),
    ("config", 7),
    ("node", 8),
    ("cli", 9),
    ("main", 10),
    ("lib", 11),
    // Stands alone: `cli` starts it, and it knows nothing of the product.
    ("simulator", 8),
];

pub fn check(source: &Source) -> Vec<Complaint> {
    // Cargo keeps other crates from knowing this one.
    if source.is_of_another_crate() {
        return Vec::new();
    }
    let own = source.module();
    let Some(rank) = rank(own) else {
        return vec![Complaint::new(1, format!("{own} has no place in the layers"))];
    };
    let mut complaints = Vec::new();
    for used in source.used() {
        let [root, other, ..] = used.segments.as_slice() else { continue };
        if root != "crate" || other == own || own == "lib" {
            continue;
        }
        let alone = own == "simulator" || other == "simulator" && own != "cli";
        if alone || self::rank(other).is_none_or(|other| other >= rank) {
            complaints.push(Complaint::new(used.line, format!("{own} may not know {other}")));
        }
    }
    complaints
}

fn rank(module: &str) -> Option<u32> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines;

    #[test]
    fn an_arrow_upwards_is_seen_in_every_form() {
        for upwards in [
            "use crate::api::error;",
            "use crate::{model::Token, api};",
            "use super::super::api;",
            "pub(crate) use super::super::{api::error::Failure as F};",
            "fn f() { crate::api::run(); }",
            "fn f() -> super::super::api::Failure { todo() }",
            "mod inner { fn f() { super::super::super::api::run(); } }",
            "fn f() { tokio::select! { biased; _ = crate::api::run() => {} } }",
            "#[cfg(test)]\nmod tests; use crate::api;",
            "use super::super as root; fn f() { root::api::run(); }",
        ] {
            assert!(!lines(check, "store/sqlite.rs", upwards).is_empty(), "{upwards}");
        }
    }

    #[test]
    fn an_arrow_downwards_or_in_a_test_is_fine() {
        for fine in [
            "use crate::model::Token;",
            "use super::super::model;",
            "use super::memory; use crate::store::error;",
            "// crate::api",
            "const A: &str = \"crate::api\";",
            "#[cfg(test)]\nmod tests { use crate::api; }",
            "#[cfg(test)]\nuse crate::api;",
        ] {
            assert_eq!(lines(check, "store/sqlite.rs", fine), [0; 0], "{fine}");
        }
    }

    #[test]
    fn the_simulator_knows_nobody_and_only_the_command_line_knows_it() {
        assert_eq!(lines(check, "simulator/rules.rs", "use crate::model;"), [1]);
        assert_eq!(lines(check, "node.rs", "use crate::simulator;"), [1]);
        assert_eq!(lines(check, "cli/simulator.rs", "use crate::simulator;"), [0; 0]);
    }

    #[test]
    fn a_module_without_a_rank_is_told() {
        assert_eq!(lines(check, "new.rs", ""), [1]);
        assert_eq!(lines(check, "api.rs", "use crate::new;"), [1]);
    }
}
