//! Integers in JSON: a number without a fractional part is an integer in any notation (JSON Schema 2020-12, Core
//! 4.2.3).

use super::Cursor;

/// A JSON number as `digits` × 10^`scale`, without zeros at the end of the digits.
struct Decimal<'a> {
    negative: bool,
    /// The digits before and after the decimal point.
    whole: &'a str,
    fraction: &'a str,
    scale: i64,
}

/// The value of an integer of 0 or more that fits: `455`, `455.0`, `4.55e2` and `-0.0` are integers, `1.5` and strings
/// are not.
pub fn unsigned(json: &str) -> Option<u64> {
    let number = Decimal::parse(json)?;
    if number.is_zero() {
        return Some(0);
    }
    if number.negative || number.scale < 0 {
        return None;
    }
    let digits = number.whole.bytes().chain(number.fraction.bytes());
    let value = digits
        .map(|digit| u64::from(digit - b'0'))
        .try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(digit))?;
    value.checked_mul(10_u64.checked_pow(u32::try_from(number.scale).ok()?)?)
}

/// Returns `true` for an integer of any size and sign.
pub fn is_integer(json: &str) -> bool {
    Decimal::parse(json).is_some_and(|number| number.is_zero() || number.scale >= 0)
}

impl<'a> Decimal<'a> {
    /// `None` if the text is not a JSON number.
    fn parse(json: &'a str) -> Option<Self> {
        let mut cursor = Cursor::over(json);
        cursor.number()?;
        if !cursor.is_at_end() {
            return None;
        }
        let (mantissa, exponent) = json.trim_ascii_end().split_once(['e', 'E']).unwrap_or((json.trim_ascii_end(), "0"));
        // Saturates: no body has enough digits to compensate for such an exponent.
        let farthest = if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
        let exponent = exponent.parse().unwrap_or(farthest);
        let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let fraction = fraction.trim_end_matches('0');
        let scale = exponent.saturating_sub_unsigned(fraction.len() as u64);
        let short = if fraction.is_empty() { whole.trim_end_matches('0') } else { whole };
        let scale = scale.saturating_add_unsigned((whole.len() - short.len()) as u64);
        Some(Self { negative, whole: short, fraction, scale })
    }

    fn is_zero(&self) -> bool {
        self.whole.bytes().chain(self.fraction.bytes()).all(|digit| digit == b'0')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_without_a_fractional_part_is_an_integer_in_any_notation() {
        for (json, value) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("0e999999999999999999999", 0),
            ("0.000e-7", 0),
            ("455", 455),
            ("455.0", 455),
            ("1e3", 1000),
            ("1E+3", 1000),
            ("4.55e2", 455),
            ("45500e-2", 455),
            ("0.00001e5", 1),
            ("1900000000.000000000000000000000000000", 1_900_000_000),
            ("100000000000000000000000000e-26", 1),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!((unsigned(json), is_integer(json)), (Some(value), true), "{json}");
        }
    }

    #[test]
    fn an_integer_that_does_not_fit_is_still_one_and_a_fraction_never_is() {
        for json in ["-1", "-1.0", "18446744073709551616", "1e20", "1e99999999999999999999", "-7e300"] {
            assert_eq!((unsigned(json), is_integer(json)), (None, true), "{json}");
        }
        for json in [
            "1.5",
            "-0.1",
            "1e-1",
            "455.01",
            "15e-1",
            "1e-99999999999999999999",
            "",
            "01",
            "1.",
            ".5",
            "+1",
            "0x1",
            "1_000",
            "\"1\"",
            "true",
            "null",
            "{}",
            "[]",
            "NaN",
            "1 2",
        ] {
            assert_eq!((unsigned(json), is_integer(json)), (None, false), "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_integer_is_read_back_from_each_of_its_forms(value: u64, zeros in 0_usize..30) {
            let text = value.to_string();
            let noughts = "0".repeat(zeros);
            prop_assert_eq!(unsigned(&text), Some(value));
            prop_assert_eq!(unsigned(&format!("{text}.{noughts}0")), Some(value));
            prop_assert_eq!(unsigned(&format!("{text}{noughts}e-{zeros}")), Some(value));
            let (first, rest) = text.split_at(1);
            prop_assert_eq!(unsigned(&format!("{first}.{rest}0e{}", rest.len())), Some(value));
        }
    }
}
