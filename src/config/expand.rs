//! `${NAME}` in the settings that are paths, such as `${CREDENTIALS_DIRECTORY}/credentials.key`.

use std::path::PathBuf;

/// A path that names a variable without a value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the variable {name} is not set, or is empty{}: set it, or write the path without ${{{name}}}", origin(name))]
pub struct Unset {
    name: String,
}

/// The origin of a variable that systemd sets.
fn origin(name: &str) -> &'static str {
    match name {
        "CREDENTIALS_DIRECTORY" => " (systemd sets it for a service whose unit has LoadCredential=)",
        "STATE_DIRECTORY" => " (systemd sets it for a service whose unit has StateDirectory=)",
        "RUNTIME_DIRECTORY" => " (systemd sets it for a service whose unit has RuntimeDirectory=)",
        "CONFIGURATION_DIRECTORY" => " (systemd sets it for a service whose unit has ConfigurationDirectory=)",
        _ => "",
    }
}

/// Replaces each `${NAME}` by the variable's value. A name is letters, digits and `_`; any other `$` stays. A value is
/// not expanded again.
pub fn path(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, Unset> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        rest = match after.split_once('}') {
            Some((name, after)) if is_name(name) => {
                let value = variable(name).filter(|value| !value.is_empty());
                expanded.push_str(&value.ok_or_else(|| Unset { name: name.to_owned() })?);
                after
            }
            _ => {
                expanded.push_str("${");
                after
            }
        };
    }
    expanded.push_str(rest);
    Ok(expanded.into())
}

fn is_name(name: &str) -> bool {
    let is_in_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_in_name) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let variable = |name: &str| match name {
            "CREDENTIALS_DIRECTORY" => Some("/run/credentials/pyapns.service".to_owned()),
            "_a1" => Some("${CREDENTIALS_DIRECTORY}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        path(text, &variable).map(|path| path.display().to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_variable_in_a_path_is_replaced_by_its_value_once() {
        for (text, meant) in [
            ("${CREDENTIALS_DIRECTORY}/credentials.key", "/run/credentials/pyapns.service/credentials.key"),
            ("/a/${_a1}/b", "/a/${CREDENTIALS_DIRECTORY}/b"),
            ("${_a1}${_a1}", "${CREDENTIALS_DIRECTORY}${CREDENTIALS_DIRECTORY}"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(meant));
        }
    }

    #[test]
    fn any_other_dollar_is_part_of_the_path() {
        for text in ["", "$HOME/a", "a$", "${", "${}", "${a", "${1}", "${a b}", "${a-b}/${", "$${}", "ä${ä}"] {
            assert_eq!(expanded(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_variable_without_a_value_is_refused_with_the_remedy() {
        assert_eq!(
            expanded("${EMPTY}/etc").unwrap_err(),
            "the variable EMPTY is not set, or is empty: set it, or write the path without ${EMPTY}"
        );
        let told = expanded("${STATE_DIRECTORY}/a").unwrap_err();
        assert!(told.contains("(systemd sets it for a service whose unit has StateDirectory=)"), "{told}");
    }
}
