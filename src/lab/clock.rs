//! The time of day as people here read it.

use time::OffsetDateTime;

/// Local time, such as `2025-10-01 14:30:25`; UTC on a machine that does not say where it is.
pub(super) fn local_time() -> String {
    written(OffsetDateTime::now_local().unwrap_or_else(|_| OffsetDateTime::now_utc()))
}

fn written(t: OffsetDateTime) -> String {
    let (year, month, day) = t.to_calendar_date();
    let (hour, minute, second) = t.to_hms();
    format!("{year:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}", u8::from(month))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_written_with_leading_zeros() {
        assert_eq!(written(OffsetDateTime::UNIX_EPOCH), "1970-01-01 00:00:00");
        let t = OffsetDateTime::from_unix_timestamp(1_759_329_025).unwrap();
        assert_eq!(written(t), "2025-10-01 14:30:25");
    }
}
