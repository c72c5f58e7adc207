//! Recognises an `expiry` that is not in UNIX seconds.

/// The first `expiry` that counts as a smaller unit than seconds: a date after September 2001 in milliseconds, or the
/// year 33,658 in seconds. The last second of Python, .NET and SQL, which means "never" in their programs, is below it.
const MILLISECONDS_FROM: u64 = 1_000_000_000_000;

/// The unit in which `expiry` is a plausible date, if it is smaller than seconds.
pub fn smaller_unit(expiry: u64) -> Option<&'static str> {
    match expiry / MILLISECONDS_FROM {
        0 => None,
        1..1_000 => Some("milliseconds"),
        1_000..1_000_000 => Some("microseconds"),
        _ => Some("nanoseconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_in_a_smaller_unit_is_recognised_by_its_size() {
        for seconds in [1_000_000_000, 1_895_934_818, 4_102_444_800] {
            assert_eq!(smaller_unit(seconds), None);
            assert_eq!(smaller_unit(seconds * 1_000), Some("milliseconds"));
            assert_eq!(smaller_unit(seconds * 1_000_000 + 7), Some("microseconds"));
            assert_eq!(smaller_unit(seconds * 1_000_000_000), Some("nanoseconds"));
        }
        let end_of_9999 = 253_402_300_799;
        for seconds in [0, 30, u64::from(u32::MAX), end_of_9999] {
            assert_eq!(smaller_unit(seconds), None, "{seconds}");
        }
    }
}
