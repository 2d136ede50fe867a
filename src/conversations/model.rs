use serde::{Deserialize, Serialize};

use crate::{
    error::AppError,
    threads::model::line,
    types::{ConversationId, ConversationRole, ConversationStatus, KeyId, MemberId, MessageId},
};

/// Conversations on a page of the queue.
pub const QUEUE_PAGE: usize = 50;
/// Messages on a page of a conversation.
pub const MESSAGES_PAGE: i64 = 100;
/// A count goes no further: it is looked at, not added up.
pub const COUNT_MAX: i64 = 1000;
const NAME_MAX: usize = 80;

/// Which conversations a list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum View {
    /// The caller's own.
    #[serde(rename = "mine")]
    Mine,
    #[default]
    #[serde(rename = "waiting")]
    Waiting,
    /// Everything that is neither put off nor resolved.
    #[serde(rename = "open")]
    Open,
    #[serde(rename = "snoozed")]
    Snoozed,
    #[serde(rename = "resolved")]
    Resolved,
}

impl View {
    pub const ALL: [Self; 5] = [Self::Mine, Self::Waiting, Self::Open, Self::Snoozed, Self::Resolved];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mine => "mine",
            Self::Waiting => "waiting",
            Self::Open => "open",
            Self::Snoozed => "snoozed",
            Self::Resolved => "resolved",
        }
    }

    /// What it is called on screens.
    pub const fn called(self) -> &'static str {
        match self {
            Self::Mine => "Mine",
            Self::Waiting => "Waiting",
            Self::Open => "All open",
            Self::Snoozed => "Put off",
            Self::Resolved => "Resolved",
        }
    }

    /// What stands in place of an empty list.
    pub const fn empty(self) -> &'static str {
        match self {
            Self::Mine => "You have no conversation. Take one of those that wait.",
            Self::Waiting => "Nobody waits.",
            Self::Open => "Nothing is open.",
            Self::Snoozed => "Nothing is put off.",
            Self::Resolved => "Nothing has been resolved yet.",
        }
    }

    /// The view of an address.
    pub fn of(named: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|view| Some(view.as_str()) == named).unwrap_or_default()
    }
}

/// A line of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRow {
    pub id: ConversationId,
    /// What the customer is called; empty when they have not said.
    pub customer: String,
    /// What was said last, cut.
    pub said: String,
    pub status: ConversationStatus,
    pub priority: i16,
    /// Seconds since when the customer waits for an answer.
    pub waiting: Option<i64>,
    /// Who has it.
    pub agent: Option<String>,
    pub mine: bool,
}

/// How many there are; [`COUNT_MAX`] stands for that many or more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub mine: i64,
    pub waiting: i64,
    pub open: i64,
    pub snoozed: i64,
}

impl Counts {
    pub const fn of(self, view: View) -> Option<i64> {
        match view {
            View::Mine => Some(self.mine),
            View::Waiting => Some(self.waiting),
            View::Open => Some(self.open),
            View::Snoozed => Some(self.snoozed),
            View::Resolved => None,
        }
    }
}

/// A page of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    pub rows: Vec<QueueRow>,
    pub counts: Counts,
    pub next: Option<String>,
    /// Whether the workspace has a desk.
    pub open: bool,
    /// Whether the caller answers here.
    pub agent: bool,
    /// Where the desk's events went on from when this was read.
    pub pos: i64,
}

/// A conversation, as the staff reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    pub id: ConversationId,
    pub customer: String,
    pub email: String,
    pub status: ConversationStatus,
    /// Who has it.
    pub agent: Option<String>,
    pub mine: bool,
    pub blocked: bool,
    pub messages: Vec<Said>,
    /// Where the page before begins, if there is one.
    pub earlier: Option<i64>,
    /// The newest message that this page shows.
    pub seen: i64,
    /// Who else could have it, by name.
    pub colleagues: Vec<Colleague>,
}

/// Something that was said, or done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub id: MessageId,
    /// Its place among everything that the staff reads; 0 for customers, who are told of no gaps.
    pub seq: i64,
    pub role: ConversationRole,
    /// Who said it; empty for the customer.
    pub author: String,
    pub text: String,
    /// As the reader's clock has it.
    pub at: String,
    pub mine: bool,
}

/// Somebody who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Colleague {
    pub member: MemberId,
    pub name: String,
    pub here: bool,
    pub has: i64,
    pub capacity: i32,
    pub me: bool,
}

/// Why an answer was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Held {
    /// Somebody else has the conversation.
    #[serde(rename = "taken")]
    Taken,
    /// Something was said that its writer had not seen.
    #[serde(rename = "news")]
    News,
}

impl Held {
    /// As the database says it.
    pub fn of(word: &str) -> Self {
        if word == "taken" { Self::Taken } else { Self::News }
    }

    /// For whoever wrote it.
    pub fn told(self) -> AppError {
        let what = match self {
            Self::Taken => "Somebody else has this conversation now.",
            Self::News => "Something was said that you had not seen, so nothing was sent. Read it, then go on.",
        };
        AppError::Conflict { what: what.into() }
    }
}

/// The desk itself, for whoever sets it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desk {
    pub name: String,
    pub welcome: String,
    pub agents: Vec<Colleague>,
    pub keys: Vec<WidgetKey>,
    /// Where this server is reached, for the line that goes into a web page.
    pub origin: String,
    /// Members who do not answer yet, by name: some of them.
    pub others: Vec<(MemberId, String)>,
}

/// A web page's way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WidgetKey {
    pub id: KeyId,
    pub key: String,
    pub name: String,
    pub origins: Vec<String>,
}

/// A name of a desk, of a page, or of somebody who answers.
pub fn name(typed: &str) -> Result<String, AppError> {
    line("name", typed, NAME_MAX, "Write a name.", "A name has 80 characters at most.")
}

/// What a desk says first; may be empty.
pub fn welcome(typed: &str) -> Result<String, AppError> {
    if typed.trim().is_empty() {
        return Ok(String::new());
    }
    line("welcome", typed, 500, "", "That is longer than 500 characters.")
}

/// The addresses of pages that may show the widget, as a list that somebody typed: `https://www.example.org`.
pub fn origins(typed: &str) -> Result<Vec<String>, AppError> {
    let mut origins = Vec::new();
    for word in typed.split([',', ' ', '\n', '\r', '\t']).filter(|word| !word.is_empty()) {
        let origin = word.trim_end_matches('/').to_lowercase();
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")).unwrap_or_default();
        let plain = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.:[]".contains(c));
        if !plain || origin.len() > 200 {
            let why = "Write addresses like https://www.example.org, without a path, one below the other.";
            return Err(AppError::invalid("origins", why));
        }
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    if origins.len() > 20 {
        return Err(AppError::invalid("origins", "Name 20 addresses at most."));
    }
    Ok(origins)
}

/// How long somebody has waited, short.
pub fn waited(seconds: i64) -> String {
    match seconds {
        ..60 => "now".to_owned(),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// What stands for a customer who has not said who they are.
pub fn customer(name: &str, email: &str) -> String {
    match (name, email) {
        ("", "") => "Visitor".to_owned(),
        ("", email) => email.to_owned(),
        (name, _) => name.to_owned(),
    }
}

impl ConversationStatus {
    /// What it is called on screens.
    pub const fn called(self) -> &'static str {
        match self {
            Self::Bot => "The bot answers",
            Self::Waiting => "Waiting",
            Self::Claimed => "Being answered",
            Self::Snoozed => "Put off",
            Self::Resolved => "Resolved",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_addresses_without_a_path_and_none_of_a_policys_own_words() {
        let typed = "https://www.Example.org/ http://localhost:8080\nhttps://www.example.org";
        assert_eq!(origins(typed).unwrap(), ["https://www.example.org", "http://localhost:8080"]);
        assert_eq!(origins(" ").unwrap(), Vec::<String>::new());
        for wrong in [
            "www.example.org",
            "https://",
            "https://a.example/page",
            "https://a.example;script-src",
            "'self'",
            "https://*",
        ] {
            assert!(origins(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn waiting_is_told_in_the_largest_unit_that_fits() {
        assert_eq!([59, 60, 3599, 3600, 90_000].map(waited), ["now", "1 min", "59 min", "1 h", "1 d"]);
    }
}
