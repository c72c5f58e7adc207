//! What old clients expect and others should not have to live with, each a setting that is off by default.

use crate::model::Batch;

/// UNIX seconds before which no `expiry` is meant as a date: March 1973.
const DATES_FROM: u64 = 100_000_000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compat {
    /// `GET …/feedback` and `GET …/disconnections` clear what they return, as those of v0.5 did.
    pub clear_on_read: bool,
    /// An `expiry` that is no date of today's counts as 0, try once: the help of v0.5 had `"expiry": 30` in it, and Apple took
    /// it so.
    pub early_expiry_is_zero: bool,
}

impl Compat {
    /// Makes of a request's notifications what its caller meant.
    pub fn read_as_meant(self, batch: &mut Batch) {
        if self.early_expiry_is_zero {
            batch.try_once_where_expiry_is_before(DATES_FROM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Draft;

    #[test]
    fn an_expiry_that_is_no_date_means_try_once_only_where_old_clients_are_served() {
        let expiries = [None, Some(0), Some(30), Some(DATES_FROM - 1), Some(DATES_FROM), Some(1_800_000_000)];
        let read = |compat: Compat| {
            let mut batch = Batch::default();
            for expiry in expiries {
                batch.push(Draft { token: "00fc", payload: "{}", expiry, ..Draft::default() }).expect("a notification");
            }
            compat.read_as_meant(&mut batch);
            batch.items().iter().map(|item| item.expiry).collect::<Vec<_>>()
        };
        assert_eq!(read(Compat::default()), expiries);
        let meant = [None, Some(0), Some(0), Some(0), Some(DATES_FROM), Some(1_800_000_000)];
        assert_eq!(read(Compat { early_expiry_is_zero: true, ..Compat::default() }), meant);
    }
}
