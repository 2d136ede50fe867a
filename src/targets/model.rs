use serde::{Deserialize, Serialize};

use crate::{accounts::zones, error::AppError};

/// The days of the week as they stand in [`Targets::hours`].
pub const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A day in minutes.
const DAY: i32 = 24 * 60;

/// By when customers of a desk are to be answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// Minutes of the hours in which a customer who waits is to be answered.
    pub reply: Option<i32>,
    /// Minutes of the hours in which a conversation is to be resolved.
    pub resolve: Option<i32>,
    pub zone: String,
    /// From and until, in minutes after midnight, Monday to Sunday; the same twice: closed. None at all: always open.
    pub hours: Vec<i32>,
    /// Seconds for which each answer can be undone.
    pub undo: i32,
    /// Whether those who wait are given to whoever is there.
    pub deals: bool,
}

/// How a desk does. Counts of 30 days where nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    pub waiting: i64,
    /// Seconds for which whoever has waited longest does.
    pub longest: Option<i64>,
    pub open: i64,
    /// Open ones for which what was due is past.
    pub late: i64,
    /// Median of the seconds until the first answer of a person.
    pub reply: Option<i64>,
    pub helped: i64,
    pub rated: i64,
    /// Days, the oldest first: what each is called, and how many were resolved in it.
    pub days: Vec<(String, i64)>,
}

/// A target in minutes as somebody typed it; empty for none.
pub fn minutes(field: &str, typed: &str, most: i32) -> Result<Option<i32>, AppError> {
    if typed.trim().is_empty() {
        return Ok(None);
    }
    match typed.trim().parse() {
        Ok(minutes) if (1..=most).contains(&minutes) => Ok(Some(minutes)),
        _ => Err(AppError::invalid(field, &format!("Write minutes, 1 to {most}, or nothing for no target."))),
    }
}

/// A name of a time zone.
pub fn zone(typed: &str) -> Result<String, AppError> {
    let zone = typed.trim();
    if zone == "UTC" || zones::is_known(zone) {
        Ok(zone.to_owned())
    } else {
        Err(AppError::invalid("zone", "Choose one of the list."))
    }
}

/// Hours as the fourteen fields of a form have them: `09:00`, or empty on a day that is closed.
pub fn hours(typed: &[String]) -> Result<Vec<i32>, AppError> {
    let wrong =
        || AppError::invalid("hours", "Write from and until of a day like 09:00 and 17:00, or leave both empty.");
    if typed.iter().all(|time| time.trim().is_empty()) {
        return Ok(Vec::new());
    }
    if typed.len() != 2 * DAYS.len() {
        return Err(wrong());
    }
    let mut hours = Vec::with_capacity(typed.len());
    for pair in typed.chunks(2) {
        let (from, until) = match (time(&pair[0]), time(&pair[1])) {
            (Some(None), Some(None)) => (0, 0),
            // Until midnight.
            (Some(Some(from)), Some(Some(0))) => (from, DAY),
            (Some(Some(from)), Some(Some(until))) if from < until => (from, until),
            _ => return Err(wrong()),
        };
        hours.extend([from, until]);
    }
    Ok(hours)
}

/// `None`: not a time. `Some(None)`: nothing was written.
fn time(typed: &str) -> Option<Option<i32>> {
    if typed.trim().is_empty() {
        return Some(None);
    }
    // A browser may send seconds as well.
    let mut parts = typed.trim().split(':').map(str::parse::<i32>);
    let (hour, minute) = (parts.next()?.ok()?, parts.next()?.ok()?);
    ((0..24).contains(&hour) && (0..60).contains(&minute)).then_some(Some(hour * 60 + minute))
}

/// A day's hours as a form shows them: from and until; empty when it is closed.
pub fn shown(hours: &[i32], day: usize) -> (String, String) {
    match (hours.get(2 * day), hours.get(2 * day + 1)) {
        (Some(from), Some(until)) if from < until => (clock(*from), clock(*until % DAY)),
        _ => (String::new(), String::new()),
    }
}

fn clock(minutes: i32) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// How long something is or was away, short: `40 s`, `12 min`, `3 h`, `2 d`.
pub fn span(seconds: i64) -> String {
    match seconds.abs() {
        s @ ..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..86_400 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn week(pair: [&str; 2]) -> Vec<String> {
        let mut typed = vec![String::new(); 14];
        typed[0] = pair[0].to_owned();
        typed[1] = pair[1].to_owned();
        typed
    }

    #[test]
    fn hours_are_pairs_of_times_or_nothing_and_come_back_as_they_were_typed() {
        assert_eq!(hours(&vec![String::new(); 14]).unwrap(), Vec::<i32>::new());
        let typed = hours(&week(["09:00", "17:30"])).unwrap();
        assert_eq!(typed[..4], [540, 1050, 0, 0]);
        assert_eq!(shown(&typed, 0), ("09:00".to_owned(), "17:30".to_owned()));
        assert_eq!(shown(&typed, 1), (String::new(), String::new()));
        let night = hours(&week(["20:00", "00:00"])).unwrap();
        assert_eq!(night[..2], [1200, 1440]);
        assert_eq!(shown(&night, 0), ("20:00".to_owned(), "00:00".to_owned()));
        for wrong in
            [["09:00", ""], ["", "17:00"], ["17:00", "09:00"], ["09:00", "09:00"], ["25:00", "26:00"], ["x", "y"]]
        {
            assert!(hours(&week(wrong)).is_err(), "{wrong:?}");
        }
        assert!(hours(&["09:00".to_owned(), "17:00".to_owned()]).is_err(), "a week has seven days");
    }

    #[test]
    fn targets_are_minutes_or_none() {
        assert_eq!(minutes("reply", " ", 60).unwrap(), None);
        assert_eq!(minutes("reply", "15", 60).unwrap(), Some(15));
        for wrong in ["0", "61", "-1", "soon"] {
            assert!(minutes("reply", wrong, 60).is_err(), "{wrong}");
        }
    }
}
