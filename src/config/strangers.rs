//! Variables that look like settings and are none: mistyped, most likely.

use super::Config;
use super::nearest::nearest;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Every setting's variable begins so.
const HEAD: &str = "PYAPNS_";

/// A sentence for each of these variables that is neither a setting nor one of `others`.
pub fn warnings(names: impl IntoIterator<Item = String>, others: &[String]) -> Vec<String> {
    let settings = settings();
    let ours = |name: &String| name.starts_with(HEAD) && !is_foreign(name);
    let mut strangers: Vec<_> = names.into_iter().filter(ours).collect();
    strangers.retain(|name| !settings.contains(name) && !others.contains(name));
    strangers.sort();
    let known = || settings.iter().filter_map(|setting| setting.strip_prefix(HEAD));
    let warning = |name: &String| match nearest(name.trim_start_matches(HEAD), known()) {
        Some(setting) => format!("{name} is not a setting; there is {HEAD}{setting}"),
        None => format!("{name} is not a setting"),
    };
    strangers.iter().map(warning).collect()
}

/// The variable of every setting.
fn settings() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    let _ = Config::read(None, &|name| {
        asked.borrow_mut().insert(name.to_owned());
        None
    });
    asked.into_inner()
}

/// Kubernetes tells each container of a service named pyapns, and our tests are told what to do.
fn is_foreign(name: &str) -> bool {
    let heads = ["PYAPNS_PORT_", "PYAPNS_SERVICE_", "PYAPNS_TEST_"];
    name == "PYAPNS_PORT" || heads.iter().any(|head| name.starts_with(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[&str]) -> Vec<String> {
        warnings(names.iter().map(|name| (*name).to_owned()), &["PYAPNS_NODE".to_owned()])
    }

    #[test]
    fn a_mistyped_setting_is_told_with_the_one_that_is_near() {
        for (name, near) in [
            ("PYAPNS_LIMIT_ITEMS", "PYAPNS_LIMITS_ITEMS"),
            ("PYAPNS_LOGLEVEL", "PYAPNS_LOG_LEVEL"),
            ("PYAPNS_LITSEN", "PYAPNS_LISTEN"),
            ("PYAPNS_BODY_BYTES", "PYAPNS_LIMITS_BODY_BYTES"),
            ("PYAPNS_CREDENTIALS", "PYAPNS_CREDENTIALS_DIR"),
        ] {
            assert_eq!(told(&[name]), [format!("{name} is not a setting; there is {near}")]);
        }
        assert_eq!(told(&["PYAPNS_STORE", "PYAPNS_"]), ["PYAPNS_ is not a setting", "PYAPNS_STORE is not a setting"]);
    }

    #[test]
    fn settings_and_what_others_put_there_are_passed_over() {
        let names: Vec<_> = settings().into_iter().collect();
        assert_eq!(warnings(names, &[]), [""; 0]);
        let kubernetes =
            ["PYAPNS_PORT", "PYAPNS_PORT_8088_TCP_ADDR", "PYAPNS_SERVICE_HOST", "PYAPNS_SERVICE_PORT_HTTP"];
        assert_eq!(told(&kubernetes), [""; 0]);
        assert_eq!(told(&["PATH", "PYAPNS", "PYAPNS_NODE", "PYAPNS_TEST_FULL"]), [""; 0]);
    }
}
