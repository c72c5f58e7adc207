//! Reads settings one by one from variables, file and defaults, and collects all faults.

use super::fault::{Fault, Faults, but_got};
use super::nearest::nearest;
use super::{DEFAULTS, File, Settings, expand, legacy_v05};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use toml::{Table, Value};

pub(super) struct Reader<'a> {
    file_name: &'a str,
    /// The file is from pyapns 0.5.
    is_v05: bool,
    /// The settings are those of a list's entry, which variables do not override.
    is_entry: bool,
    /// The part of the file that no setting has used yet.
    file: Table,
    defaults: Table,
    variable: &'a dyn Fn(&str) -> Option<String>,
    known: Vec<&'static str>,
    /// The effective values of the settings read so far.
    effective: Settings,
    notices: Vec<String>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub fn new(file: Option<File<'a>>, variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let mut reader = Self::with_table(file.map_or("configuration", |file| file.name), Table::new(), variable);
        reader.defaults = DEFAULTS.parse().expect("a test reads the compiled-in defaults");
        let text = file.map_or("", |file| file.text);
        reader.is_v05 = legacy_v05::is_v05(text);
        let read = if reader.is_v05 {
            legacy_v05::translate(text).map(|legacy| {
                reader.notices = legacy.notices;
                reader.faults =
                    legacy.faults.into_iter().map(|(key, what)| Fault { place: reader.place(key), what }).collect();
                legacy.settings
            })
        } else {
            text.parse().map_err(|error| syntax_fault(&error, text))
        };
        match read {
            Ok(table) => reader.file = table,
            Err(what) => reader.faults.push(Fault { place: reader.file_name.to_owned(), what }),
        }
        reader
    }

    fn with_table(file_name: &'a str, file: Table, variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            file_name,
            is_v05: false,
            is_entry: false,
            file,
            defaults: Table::new(),
            variable,
            known: Vec::new(),
            effective: Settings::default(),
            notices: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// The name of the file, or of the entry in it.
    pub fn file_name(&self) -> &str {
        self.file_name
    }

    pub fn is_v05(&self) -> bool {
        self.is_v05
    }

    /// A setting that has a default.
    pub fn setting<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> T {
        self.optional(key).unwrap_or_else(|| self.default(key))
    }

    /// A whole number that has a default.
    pub fn number<T: FromStr + PartialOrd + Display>(&mut self, key: &'static str, range: RangeInclusive<T>) -> T {
        self.optional_number(key, range).unwrap_or_else(|| self.default(key))
    }

    /// A boolean that has a default.
    pub fn flag(&mut self, key: &'static str) -> bool {
        let Some((place, given)) = self.lookup(key) else { return self.default(key) };
        let flag = match &given {
            Value::Boolean(truth) => Some(*truth),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        flag.unwrap_or_else(|| {
            self.faults.push(Fault { place, what: format!("must be true or false{}", but_got(&given)) });
            self.default(key)
        })
    }

    fn default<T: FromStr>(&self, key: &str) -> T {
        let default = remove(&mut self.defaults.clone(), key).and_then(to_text);
        default.and_then(|text| text.parse().ok()).expect("a test reads every default")
    }

    /// A setting that may be absent.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        let (place, given) = self.lookup(key)?;
        self.parse(&place, given)
    }

    /// A path that has a default.
    pub fn path(&mut self, key: &'static str) -> PathBuf {
        self.optional_path(key).unwrap_or_else(|| self.default(key))
    }

    /// A path that may be absent. Variables in it, `${NAME}`, are expanded.
    pub fn optional_path(&mut self, key: &'static str) -> Option<PathBuf> {
        let (place, given) = self.lookup(key)?;
        let text: String = self.parse(&place, given)?;
        self.expand(&place, &text)
    }

    /// Like [`Reader::list`], for paths, as in [`Reader::optional_path`].
    pub fn paths(&mut self, key: &'static str) -> Option<Vec<PathBuf>> {
        let (place, given) = self.lookup(key)?;
        let texts: Vec<String> = self.parse_list(&place, given)?;
        texts.iter().map(|text| self.expand(&place, text)).collect()
    }

    /// A file of pyapns 0.5 has its paths as they are.
    fn expand(&mut self, place: &str, text: &str) -> Option<PathBuf> {
        if self.is_v05 {
            return Some(text.into());
        }
        let unset = match expand::path(text, self.variable) {
            Ok(path) => return Some(path),
            Err(unset) => unset.to_string(),
        };
        self.faults.push(Fault { place: place.to_owned(), what: unset });
        None
    }

    /// A whole number that may be absent.
    pub fn optional_number<T: FromStr + PartialOrd + Display>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let (place, given) = self.lookup(key)?;
        let number = match &given {
            Value::Integer(number) => number.to_string().parse().ok(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            let what = format!("must be a whole number from {least} to {most}{}", but_got(&given));
            self.faults.push(Fault { place, what });
        }
        number
    }

    /// A date that may be absent; TOML has its own type for it.
    pub fn optional_date<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        let (place, given) = self.lookup(key)?;
        self.parse(&place, to_text(given.clone()).map_or(given, Value::String))
    }

    /// A setting that may be absent or have several values: a list in the file, separated by commas in a variable.
    pub fn list<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<Vec<T>> {
        let (place, given) = self.lookup(key)?;
        self.parse_list(&place, given)
    }

    /// Like [`Reader::list`] for a list that may be empty: `[]`.
    pub fn list_or_none<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<Vec<T>> {
        let (place, given) = self.lookup(key)?;
        let is_empty = match &given {
            Value::Array(values) => values.is_empty(),
            Value::String(text) => matches!(text.trim(), "" | "[]"),
            _ => false,
        };
        if is_empty { None } else { self.parse_list(&place, given) }
    }

    fn parse_list<T: FromStr<Err: Display>>(&mut self, place: &str, given: Value) -> Option<Vec<T>> {
        let values = match given {
            Value::Array(values) if !values.is_empty() => values,
            Value::String(text) => text.split(',').map(|part| Value::from(part.trim())).collect(),
            other => vec![other],
        };
        values.into_iter().map(|value| self.parse(place, value)).collect()
    }

    /// Returns true if the entry has the setting, valid or not. Call it before the setting is read.
    pub fn is_given(&self, key: &str) -> bool {
        self.file.contains_key(key)
    }

    /// A required setting of an entry.
    pub fn required<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        if !self.is_given(key) {
            self.fault(key, "is missing");
        }
        self.optional(key)
    }

    /// The tables of a list: `[[key]]` in the file; in its variable the same list on one line, `[{ name = "…" }, …]`.
    /// `read` reads the settings of an entry. A setting of the entry that it does not read is a fault.
    pub fn tables<T>(&mut self, key: &'static str, mut read: impl FnMut(&mut Reader<'_>) -> Option<T>) -> Vec<T> {
        let Some((place, given)) = self.lookup(key) else { return Vec::new() };
        let (origin, given) = match given {
            Value::String(text) if place == variable_name(key) => (place.clone(), parse_inline(&text)),
            other => (self.file_name.to_owned(), Some(other)),
        };
        let Some(Value::Array(entries)) = given else {
            let what = format!("must be a list of tables, [[{key}]] in the file, [{{ … }}, {{ … }}] on one line");
            self.faults.push(Fault { place, what });
            return Vec::new();
        };
        let mut values = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            let place = format!("[[{key}]] {} of {origin}", index + 1);
            match entry {
                Value::Table(entry) => {
                    let mut entry = Reader::with_table(&place, entry, self.variable);
                    (entry.is_entry, entry.is_v05) = (true, self.is_v05);
                    values.extend(read(&mut entry));
                    entry.reject_unknown();
                    self.faults.append(&mut entry.faults);
                }
                _ => self.faults.push(Fault { place, what: "must be a table".to_owned() }),
            }
        }
        values
    }

    /// The value given for a setting, and its place. A variable overrides the file.
    fn lookup(&mut self, key: &'static str) -> Option<(String, Value)> {
        self.known.push(key);
        let from_file = remove(&mut self.file, key);
        let name = variable_name(key);
        let given = match self.overriding(&name) {
            Some(text) => Some((name, Value::from(text))),
            None => from_file.map(|value| (self.place(key), value)),
        };
        let effective =
            given.as_ref().map(|(_, value)| value.clone()).or_else(|| remove(&mut self.defaults.clone(), key));
        self.effective
            .0
            .extend(effective.map(|value| (key, to_text(value.clone()).unwrap_or_else(|| value.to_string()))));
        given
    }

    /// The variable that overrides a setting.
    fn overriding(&self, name: &str) -> Option<String> {
        if self.is_entry { None } else { (self.variable)(name) }
    }

    fn parse<T: FromStr<Err: Display>>(&mut self, place: &str, given: Value) -> Option<T> {
        let what = match given.as_str().map(str::parse) {
            Some(Ok(value)) => return Some(value),
            Some(Err(error)) => error.to_string(),
            None => "must be a string, in quotes".to_owned(),
        };
        self.faults.push(Fault { place: place.to_owned(), what });
        None
    }

    /// Adds a fault at a setting, in the file or the variable that gives it.
    pub fn fault(&mut self, key: &str, what: &str) {
        let name = variable_name(key);
        let place = if self.overriding(&name).is_some() { name } else { self.place(key) };
        self.faults.push(Fault { place, what: what.to_owned() });
    }

    /// Adds a fault of something that a setting names, such as a file.
    pub fn fault_at(&mut self, place: String, what: String) {
        self.faults.push(Fault { place, what });
    }

    /// Returns true if there are faults. Call it after the last setting is read.
    pub fn has_faults(&mut self) -> bool {
        self.reject_unknown();
        !self.faults.is_empty()
    }

    /// Warnings for the operator.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// The effective value of every setting. Call it after the last setting is read.
    pub fn take_effective(&mut self) -> Settings {
        std::mem::take(&mut self.effective)
    }

    /// Returns the value, or the faults. A key that no setting used is a fault.
    pub fn finish<T>(mut self, value: T) -> Result<T, Faults> {
        self.reject_unknown();
        if self.faults.is_empty() { Ok(value) } else { Err(Faults(self.faults)) }
    }

    fn reject_unknown(&mut self) {
        for (key, value) in std::mem::take(&mut self.file) {
            match value {
                Value::Table(section) if self.sections().any(|known| known == key) => {
                    for inner in section.keys() {
                        self.report_unknown(&format!("{key}.{inner}"));
                    }
                }
                _ => self.report_unknown(&key),
            }
        }
    }

    fn report_unknown(&mut self, key: &str) {
        let place = self.place(key);
        let what = match nearest(key, self.known.iter().copied().chain(self.sections())) {
            Some(near) if self.known.contains(&near) => format!("is not a setting; did you mean {near}?"),
            Some(section) => format!("is not a setting; did you mean the section [{section}]?"),
            None => "is not a setting".to_owned(),
        };
        self.faults.push(Fault { place, what });
    }

    fn sections(&self) -> impl Iterator<Item = &str> {
        self.known.iter().filter_map(|key| key.split_once('.')).map(|(section, _)| section)
    }

    fn place(&self, key: &str) -> String {
        format!("{key} in {}", self.file_name)
    }
}

/// The library's error without the line that it quotes, which may have a password in it.
fn syntax_fault(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {}: {}", before.matches('\n').count() + 1, error.message())
}

fn remove(table: &mut Table, key: &str) -> Option<Value> {
    match key.split_once('.') {
        None => table.remove(key),
        Some((section, key)) => table.get_mut(section)?.as_table_mut()?.remove(key),
    }
}

/// Parses a value in the file's syntax, on one line.
fn parse_inline(text: &str) -> Option<Value> {
    let mut table: Table = format!("value = {text}").parse().ok()?;
    table.remove("value").filter(|_| table.is_empty())
}

fn to_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Datetime(moment) => Some(moment.to_string()),
        _ => None,
    }
}

fn variable_name(key: &str) -> String {
    format!("PYAPNS_{}", key.replace('.', "_").to_ascii_uppercase())
}
