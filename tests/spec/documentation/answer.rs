//! An answer as a page shows it, against the real one: the same keys and types, and the same stable words.

use serde_json::{Deserializer, Value};

/// Keys with stable values: the shown value must equal the real one.
const STABLE: [&str; 10] =
    ["type", "code", "outcome", "status", "reason", "state", "environment", "bound_by", "attempts", "verbose_message"];

/// The JSON values of a text, one or several.
pub fn parse(text: &str) -> Result<Vec<Value>, String> {
    let values: Vec<Value> =
        Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if values.is_empty() { Err("it holds no JSON".to_owned()) } else { Ok(values) }
}

/// Compares an answer on a page with the real one.
///
/// # Errors
/// The first difference.
pub fn compare(shown: &str, real: &str) -> Result<(), String> {
    let (shown_values, real_values) = (parse(shown)?, parse(real).map_err(|why| format!("{why}: {real}"))?);
    same(&Value::Array(shown_values), &Value::Array(real_values), "answer")
        .map_err(|why| format!("{why}\nshown: {shown}\nreal: {real}"))
}

fn same(shown: &Value, real: &Value, at: &str) -> Result<(), String> {
    match (shown, real) {
        (Value::Object(shown), Value::Object(real)) => {
            let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            if names(shown).len() != names(real).len() || !shown.keys().all(|name| real.contains_key(name)) {
                return Err(format!("{at} is shown with {:?} and has {:?}", names(shown), names(real)));
            }
            shown.iter().try_for_each(|(name, value)| {
                let at = format!("{at}.{name}");
                if STABLE.contains(&name.as_str()) && !value.is_object() && !value.is_array() && *value != real[name] {
                    return Err(format!("{at} is shown as {value} and is {}", real[name]));
                }
                same(value, &real[name], &at)
            })
        }
        (Value::Array(shown), Value::Array(real)) => {
            if shown.len() != real.len() {
                return Err(format!("{at} is shown with {} entries and has {}", shown.len(), real.len()));
            }
            shown
                .iter()
                .zip(real)
                .enumerate()
                .try_for_each(|(index, (shown, real))| same(shown, real, &format!("{at}[{index}]")))
        }
        _ if kind(shown) == kind(real) => Ok(()),
        _ => Err(format!("{at} is shown as {shown} and is {real}")),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[test]
fn an_answer_with_another_key_type_count_or_stable_word_is_not_the_one_shown() {
    let shown = r#"{"response": [{"type": "a", "at": 1.5, "why": null}], "code": 200}"#;
    let real = |entry: &str| format!(r#"{{"response":[{entry}],"code":200}}"#);
    assert_eq!(compare(shown, &real(r#"{"why":null,"at":2,"type":"a"}"#)), Ok(()));
    for other in [
        r#"{"type":"b","at":1,"why":null}"#,
        r#"{"type":"a","at":"1","why":null}"#,
        r#"{"type":"a","at":1,"why":"x"}"#,
        r#"{"type":"a","at":1}"#,
        r#"{"type":"a","at":1,"why":null,"more":1}"#,
        r#"{"type":"a","at":1,"whys":null}"#,
        "",
        r#"{"type":"a","at":1,"why":null},{"type":"a","at":1,"why":null}"#,
    ] {
        assert!(compare(shown, &real(other)).is_err(), "{other}");
    }
    assert!(compare(shown, "").is_err() && compare("", shown).is_err());
}
