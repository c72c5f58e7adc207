//! The order of the layers: which folder may use which.

use super::source::{Complaint, Source};

/// Modules of `src/`, each with its rank: a module may use itself and modules of a lower rank.
const LAYERS: &[(&str, u32)] = &[
    ("hash", 0),
    ("json", 0),
    ("network", 0),
    ("subject", 0),
    ("model", 1),
    ("budget", 2),
    ("clock", 2),
    ("telemetry", 2),
    ("drain", 2),
    ("health", 3),
    ("store", 3),
    ("credentials", 3),
    ("apns", 4),
    ("registry", 5),
    ("events", 5),
    ("cluster", 6),
    ("delivery", 7),
    ("http", 8),
    ("api", 9),
    ("autoprovision", 10),
    ("config", 11),
    ("node", 12),
    ("cli", 13),
    ("main", 14),
    ("lib", 15),
];

/// The crate that simulates Apple: only the command line starts it.
const SIMULATOR: &str = "simulator";

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
        if used.segments.first().is_some_and(|root| root == SIMULATOR) && own != "cli" {
            complaints.push(Complaint::new(used.line, format!("{own} may not know the simulator")));
        }
        let [root, other, ..] = used.segments.as_slice() else { continue };
        if root != "crate" || other == own || own == "lib" {
            continue;
        }
        if self::rank(other).is_none_or(|other| other >= rank) {
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
    fn only_the_command_line_knows_the_simulator() {
        assert_eq!(lines(check, "node.rs", "use simulator::Simulator;"), [1]);
        assert_eq!(lines(check, "api.rs", "fn f() { simulator::start(); }"), [1]);
        assert_eq!(lines(check, "cli/simulator.rs", "use simulator::Simulator;"), [0; 0]);
    }

    #[test]
    fn a_module_without_a_rank_is_reported() {
        assert_eq!(lines(check, "new.rs", ""), [1]);
        assert_eq!(lines(check, "api.rs", "use crate::new;"), [1]);
    }
}
