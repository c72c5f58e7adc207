//! Compares a node's answers with `src/api/openapi.json`, stricter than a client may: an answer has no field and no value
//! that the file does not list.

use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// A larger answer has nothing that a smaller one does not have, and takes long to compare.
const BYTES_MAX: usize = 64 << 10;

static FILE: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../src/api/openapi.json")).expect("JSON"));

/// The description.
pub fn file() -> &'static Value {
    &FILE
}

/// The contents of an answer.
#[derive(Debug, Default)]
pub struct Comparison {
    pub faults: Vec<String>,
    /// The fields, as `Schema.field`.
    pub fields: BTreeSet<String>,
}

/// Fails if an answer of a node is not as described.
///
/// # Panics
/// With every fault.
pub fn hold(method: &str, path: &str, status: u16, content_type: &[u8], body: &[u8]) {
    let compared = compare(method, path, status, content_type, body);
    let answer = String::from_utf8_lossy(body);
    assert!(
        compared.faults.is_empty(),
        "{method} {path} {status} is not as src/api/openapi.json says:\n{}\n{answer}",
        compared.faults.join("\n")
    );
}

/// Compares an answer with the description.
pub fn compare(method: &str, path: &str, status: u16, content_type: &[u8], body: &[u8]) -> Comparison {
    let mut compared = Comparison::default();
    if method == "HEAD" || body.len() > BYTES_MAX {
        return compared;
    }
    let content_type = String::from_utf8_lossy(content_type);
    let kind = content_type.split(';').next().unwrap_or_default();
    let Some(schema) = schema(method, path, status, kind) else {
        compared.faults.push(format!("no answer of the kind `{kind}` is described"));
        return compared;
    };
    match kind {
        "application/json" => match serde_json::from_slice::<Value>(body) {
            Ok(answer) => {
                compared.value("", schema, &answer);
                if answer.get("openapi").is_none() && answer["code"] != status {
                    compared.faults.push("`code` is not the status".to_owned());
                }
            }
            Err(error) => compared.faults.push(error.to_string()),
        },
        "application/x-ndjson" => {
            // The last line may be cut off.
            let lines = body.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
            for line in lines {
                match serde_json::from_slice(line) {
                    Ok(line) => compared.value("", schema, &line),
                    Err(error) => compared.faults.push(error.to_string()),
                }
            }
        }
        _ => {}
    }
    compared
}

/// The schema of an answer. What is not described is answered with an error.
fn schema(method: &str, path: &str, status: u16, kind: &str) -> Option<&'static Value> {
    let operation = item(path).and_then(|item| item.get(method.to_lowercase()));
    let response = match operation {
        Some(operation) => operation["responses"].get(status.to_string()).or(operation["responses"].get("default"))?,
        None if status >= 400 => &FILE["components"]["responses"]["Error"],
        None => return None,
    };
    resolve(response)["content"].get(kind)?.get("schema")
}

/// The item of a path.
fn item(path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
    let fits = |pattern: &str| {
        let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
        pattern.len() == path.len()
            && pattern.iter().zip(path).all(|(one, other)| one.starts_with('{') || *one == other)
    };
    FILE["paths"].as_object()?.iter().find(|(pattern, _)| fits(pattern)).map(|(_, item)| item)
}

/// The value itself, or the one that its `$ref` names.
pub fn resolve(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(to) => FILE.pointer(to.trim_start_matches('#')).unwrap_or_else(|| panic!("{to} is not in the file")),
        None => value,
    }
}

/// The fields of a schema and of all that it refers to, as `Schema.field`.
pub fn fields(schema: &'static Value) -> BTreeSet<String> {
    let (mut fields, mut seen, mut rest) = (BTreeSet::new(), BTreeSet::new(), vec![("", schema)]);
    while let Some((name, schema)) = rest.pop() {
        if let Some(to) = schema["$ref"].as_str() {
            if seen.insert(to) {
                rest.push((name_of(to), resolve(schema)));
            }
            continue;
        }
        for (field, of_field) in schema["properties"].as_object().into_iter().flatten() {
            fields.insert(format!("{name}.{field}"));
            rest.push((name, of_field));
        }
        let parts = choices(schema).into_iter().flatten().chain(schema.get("items"));
        rest.extend(parts.map(|part| (name, part)));
    }
    fields
}

fn choices(schema: &'static Value) -> Option<&'static Vec<Value>> {
    schema["oneOf"].as_array()
}

fn name_of(to: &str) -> &str {
    to.rsplit('/').next().unwrap_or_default()
}

impl Comparison {
    /// Compares a value with a schema, which is a part of the schema `name`.
    fn value(&mut self, name: &str, schema: &'static Value, value: &Value) {
        if let Some(to) = schema["$ref"].as_str() {
            return self.value(name_of(to), resolve(schema), value);
        }
        if let Some(choices) = choices(schema) {
            return self.one_of(name, choices, value);
        }
        let types = schema.get("type").map(|types| types.as_array().map_or(std::slice::from_ref(types), Vec::as_slice));
        if types.is_some_and(|types| !types.iter().any(|one| is_of(one, value))) {
            self.faults.push(format!("{name}: {value} is not of the type {}", schema["type"]));
        }
        for list in ["enum", "x-extensible-enum"] {
            if schema[list].as_array().is_some_and(|list| !list.contains(value)) {
                self.faults.push(format!("{name}: {value} is not in the list"));
            }
        }
        match value {
            Value::Array(entries) => {
                let Some(items) = schema.get("items") else { return };
                entries.iter().for_each(|entry| self.value(name, items, entry));
            }
            Value::Object(entries) if schema["properties"].is_object() => {
                for (field, of_field) in entries {
                    self.fields.insert(format!("{name}.{field}"));
                    match schema["properties"].get(field) {
                        Some(schema) => self.value(name, schema, of_field),
                        None => self.faults.push(format!("{name}: the field `{field}` is not described")),
                    }
                }
                let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                for field in required.filter(|field| !entries.contains_key(*field)) {
                    self.faults.push(format!("{name}: the field `{field}` is missing"));
                }
            }
            _ => {}
        }
    }

    /// Compares a value with the choice that fits it best.
    fn one_of(&mut self, name: &str, choices: &'static [Value], value: &Value) {
        let compared = choices.iter().map(|choice| {
            let mut compared = Self::default();
            compared.value(name, choice, value);
            compared
        });
        if let Some(best) = compared.min_by_key(|compared| compared.faults.len()) {
            self.faults.extend(best.faults);
            self.fields.extend(best.fields);
        }
    }
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap_or_default() {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type of JSON"),
    }
}
