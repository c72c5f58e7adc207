//! Warns of environment variables that look like mistyped settings.

use super::Config;
use super::nearest::nearest;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// The prefix of every setting's variable.
const PREFIX: &str = "PYAPNS_";

/// Returns a warning for each variable that is neither a setting nor in `others`.
pub fn warnings(names: impl IntoIterator<Item = String>, others: &[String]) -> Vec<String> {
    let settings = setting_variables();
    let ours = |name: &String| name.starts_with(PREFIX) && !is_foreign(name);
    let mut unknown: Vec<_> = names.into_iter().filter(ours).collect();
    unknown.retain(|name| !settings.contains(name) && !others.contains(name));
    unknown.sort();
    let known = || settings.iter().filter_map(|setting| setting.strip_prefix(PREFIX));
    let warning = |name: &String| match nearest(name.trim_start_matches(PREFIX), known()) {
        Some(setting) => format!("{name} is not a setting; did you mean {PREFIX}{setting}?"),
        None => format!("{name} is not a setting"),
    };
    unknown.iter().map(warning).collect()
}

/// The variable of every setting.
fn setting_variables() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    let _ = Config::parse(None, &|name| {
        asked.borrow_mut().insert(name.to_owned());
        None
    });
    asked.into_inner()
}

/// Returns true for the variables that Kubernetes sets for a service named pyapns, and for those of our tests.
fn is_foreign(name: &str) -> bool {
    let prefixes = ["PYAPNS_PORT_", "PYAPNS_SERVICE_", "PYAPNS_TEST_"];
    name == "PYAPNS_PORT" || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(names: &[&str]) -> Vec<String> {
        warnings(names.iter().map(|name| (*name).to_owned()), &["PYAPNS_NODE".to_owned()])
    }

    #[test]
    fn the_warning_of_a_mistyped_setting_names_the_nearest() {
        for (name, near) in [
            ("PYAPNS_LIMIT_ITEMS", "PYAPNS_LIMITS_ITEMS"),
            ("PYAPNS_LOGLEVEL", "PYAPNS_LOG_LEVEL"),
            ("PYAPNS_LITSEN", "PYAPNS_LISTEN"),
            ("PYAPNS_BODY_BYTES", "PYAPNS_LIMITS_BODY_BYTES"),
            ("PYAPNS_CREDENTIALS", "PYAPNS_CREDENTIALS_DIR"),
        ] {
            assert_eq!(warned(&[name]), [format!("{name} is not a setting; did you mean {near}?")]);
        }
        assert_eq!(warned(&["PYAPNS_QUEUE", "PYAPNS_"]), ["PYAPNS_ is not a setting", "PYAPNS_QUEUE is not a setting"]);
    }

    #[test]
    fn settings_and_the_variables_of_kubernetes_and_of_our_tests_are_ignored() {
        let names: Vec<_> = setting_variables().into_iter().collect();
        assert_eq!(warnings(names, &[]), [""; 0]);
        let kubernetes =
            ["PYAPNS_PORT", "PYAPNS_PORT_8088_TCP_ADDR", "PYAPNS_SERVICE_HOST", "PYAPNS_SERVICE_PORT_HTTP"];
        assert_eq!(warned(&kubernetes), [""; 0]);
        assert_eq!(warned(&["PATH", "PYAPNS", "PYAPNS_NODE", "PYAPNS_TEST_FULL"]), [""; 0]);
    }
}
