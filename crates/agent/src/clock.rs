//! The time of day, for the one message that carries it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in UTC, as `report_state` says it: `2026-11-21T06:51:27.090023`.
pub(crate) fn utc_now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format_utc(since.as_secs(), since.subsec_micros())
}

fn format_utc(seconds: u64, micros: u32) -> String {
    let (days, in_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (in_day / 3600, in_day / 60 % 60, in_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}")
}

/// Days since 1970-01-01 to a date of the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years that begin in March put the leap day last; 719 468 days lie between 0000-03-01 and
    // the epoch, and 146 097 in 400 years.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(format_utc(0, 0), "1970-01-01T00:00:00.000000");
        assert_eq!(format_utc(951_782_399, 7), "2000-02-28T23:59:59.000007");
        assert_eq!(format_utc(951_782_400, 0), "2000-02-29T00:00:00.000000");
        assert_eq!(format_utc(1_795_243_887, 90_023), "2026-11-21T06:51:27.090023");
    }
}
