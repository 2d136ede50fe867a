//! Under which heading of the list a day stands.

use time::Date;

/// The heading of a day, seen from today; both in the reader's time zone.
pub fn group(day: Date, today: Date) -> String {
    match (today - day).whole_days() {
        // A clock that runs ahead, or an import from the future.
        ..=0 => "Today".to_owned(),
        1 => "Yesterday".to_owned(),
        2..=7 => "Previous 7 days".to_owned(),
        8..=30 => "Previous 30 days".to_owned(),
        _ => format!("{} {}", day.month(), day.year()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_stand_under_their_heading() {
        let day = |ordinal| Date::from_ordinal_date(2026, ordinal).unwrap();
        let today = day(200);
        for (days, heading) in [
            (-1, "Today"),
            (0, "Today"),
            (1, "Yesterday"),
            (2, "Previous 7 days"),
            (7, "Previous 7 days"),
            (8, "Previous 30 days"),
            (30, "Previous 30 days"),
            (31, "June 2026"),
            (199, "January 2026"),
        ] {
            assert_eq!(group(day((200 - days) as u16), today), heading, "{days}");
        }
        assert_eq!(group(Date::from_ordinal_date(2024, 60).unwrap(), today), "February 2024");
    }
}
