//! Tests of the choice among several certificates, and of the error if none can be chosen.

use super::*;
use crate::credentials::testing::{NOW, Recipe};
use crate::model::{AppId, Environment};
use rcgen::KeyPair;

const APP: &str = "com.example.app";

fn push(name: &'static str, uid: &'static str) -> Recipe {
    Recipe { name: Some(name), uid: Some(uid), ..Recipe::default() }
}

/// A certificate for signing apps.
fn developer() -> Recipe {
    let recipe = push("Apple Distribution: Example (ABCDE12345)", "ABCDE12345");
    Recipe { sandbox: false, production: false, ..recipe }
}

fn with_key(recipe: Recipe, key: &KeyPair) -> Recipe {
    Recipe { key: KeyPair::from_pem(&key.serialize_pem()).unwrap(), ..recipe }
}

fn chosen(text: &str, topic: Option<&str>, environment: Environment) -> Result<String, ProvisionError> {
    let material = Material::Certificate { pem: text.into() };
    let key = AppKey::new(AppId::new("shop").unwrap(), environment);
    let chosen = choose(&material, Asked { key: &key, topic, now: NOW })?;
    Ok(chosen.credential.certificate().unwrap().name().to_owned())
}

fn in_sandbox(text: &str) -> Result<String, ProvisionError> {
    chosen(text, None, Environment::Sandbox)
}

fn texts(recipes: &[&Recipe]) -> String {
    recipes.iter().map(|recipe| recipe.pem()).collect()
}

#[test]
fn a_push_certificate_is_preferred_to_others_in_any_order() {
    let key = KeyPair::generate().unwrap();
    let (first, second) = (with_key(developer(), &key), with_key(push("push", APP), &key));
    let of_one_key = first.certificate_pem() + &second.certificate_pem() + &key.serialize_pem();
    let of_two_keys = texts(&[&developer(), &push("push", APP)]);
    let turned = texts(&[&push("push", APP), &developer()]);
    for text in [of_one_key, of_two_keys, turned] {
        assert_eq!(in_sandbox(&text).unwrap(), "push");
    }
}

#[test]
fn the_refusal_of_certificates_that_are_not_for_push_names_them() {
    let refused = in_sandbox(&developer().pem()).unwrap_err();
    assert_eq!(refused.reason(), "certificate_not_for_push");
    assert!(refused.to_string().contains("`Apple Distribution: Example (ABCDE12345)` is not for push"), "{refused}");
    let other = Recipe { name: Some("iPhone Developer: B"), ..developer() };
    let refused = in_sandbox(&texts(&[&developer(), &other, &developer()])).unwrap_err();
    let names = refused.certificates().unwrap();
    assert_eq!(names, ["Apple Distribution: Example (ABCDE12345)", "iPhone Developer: B"], "each once");
}

#[test]
fn of_several_certificates_for_a_topic_the_valid_one_that_expires_last_is_chosen() {
    let of = |name, years| Recipe { years, ..push(name, APP) };
    let (expired, old, new) = (of("expired", [2020, 2021]), of("old", [2020, 2030]), of("new", [2020, 2031]));
    let too_new = of("too new", [2040, 2050]);
    for recipes in [[&expired, &old, &new, &too_new], [&too_new, &new, &old, &expired]] {
        assert_eq!(in_sandbox(&texts(&recipes)).unwrap(), "new");
    }
    assert_eq!(
        in_sandbox(&texts(&[&expired, &of("longer", [2020, 2022])])).unwrap(),
        "longer",
        "the expiry is reported by a later check"
    );
    assert_eq!(in_sandbox(&texts(&[&old, &of("equal", [2020, 2030])])).unwrap(), "old", "of equals the first");
}

#[test]
fn the_environment_of_the_app_selects() {
    let sandbox = Recipe { production: false, years: [2020, 2031], ..push("sandbox", APP) };
    let production = Recipe { sandbox: false, ..push("production", APP) };
    let text = texts(&[&sandbox, &production]);
    assert_eq!(chosen(&text, None, Environment::Sandbox).unwrap(), "sandbox");
    assert_eq!(chosen(&text, None, Environment::Production).unwrap(), "production");
    let other = Recipe { production: false, ..push("other", "com.example.other") };
    let text = texts(&[&other, &production]);
    assert_eq!(chosen(&text, None, Environment::Production).unwrap(), "production", "one topic is left");
}

#[test]
fn the_refusal_of_two_topics_lists_them_and_the_requested_topic_selects() {
    let (one, two) = (push("one", APP), Recipe { years: [2020, 2031], ..push("two", "com.example.other") });
    let text = texts(&[&one, &two]);
    let refused = in_sandbox(&text).unwrap_err();
    assert_eq!((refused.reason(), refused.field()), ("several_topics", Some("topic")));
    assert_eq!(refused.topics().unwrap(), [APP, "com.example.other"]);
    assert!(refused.to_string().contains("com.example.app, com.example.other"), "{refused}");
    for (topic, name) in [(APP, "one"), ("com.example.other", "two")] {
        assert_eq!(chosen(&text, Some(topic), Environment::Sandbox).unwrap(), name);
    }
    let refused = chosen(&text, Some("com.example.third"), Environment::Sandbox).unwrap_err();
    assert_eq!(refused.reason(), "topic_not_of_certificate");
    assert!(refused.to_string().contains("com.example.app, com.example.other"), "{refused}");
}

#[test]
fn an_exact_match_of_the_requested_topic_precedes_a_match_by_suffix() {
    const VOIP: &str = "com.example.app.voip";
    let voip = Recipe { topics: &[VOIP], years: [2020, 2031], ..push("voip", VOIP) };
    let all = Recipe { topics: &[APP, VOIP], ..push("all", APP) };
    let text = texts(&[&voip, &all]);
    assert_eq!(chosen(&text, Some(APP), Environment::Sandbox).unwrap(), "all");
    assert_eq!(chosen(&text, Some(VOIP), Environment::Sandbox).unwrap(), "voip");
    assert_eq!(in_sandbox(&text).unwrap_err().topics().unwrap(), [VOIP, APP]);
    let alone = texts(&[&voip, &push("other", "com.example.other")]);
    assert_eq!(chosen(&alone, Some(APP), Environment::Sandbox).unwrap(), "voip", "its topic has a suffix");
}
