use serde::{Deserialize, Serialize};

use crate::{
    bot::model::Source,
    desks::model::Colleague,
    error::AppError,
    later::model::Later,
    replies::model::Reply,
    threads::model::line,
    types::{
        ClientId, ConversationId, ConversationRole, ConversationStatus, MemberId, MessageId, PlaceId, UserId, ViewId,
    },
};

/// Conversations on a page of the queue.
pub const QUEUE_PAGE: usize = 50;
/// Messages on a page of a conversation.
pub const MESSAGES_PAGE: i64 = 100;
/// A count goes no further: it is looked at, not added up.
pub const COUNT_MAX: i64 = 1000;

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
    /// Where a note names the caller that they have not read.
    #[serde(rename = "mentions")]
    Mentions,
    /// What the desk's targets want next.
    #[serde(rename = "due")]
    Due,
}

impl View {
    pub const ALL: [Self; 7] =
        [Self::Mine, Self::Waiting, Self::Due, Self::Open, Self::Snoozed, Self::Resolved, Self::Mentions];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mine => "mine",
            Self::Waiting => "waiting",
            Self::Open => "open",
            Self::Snoozed => "snoozed",
            Self::Resolved => "resolved",
            Self::Mentions => "mentions",
            Self::Due => "due",
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
            Self::Mentions => "Mentions",
            Self::Due => "Due",
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
            Self::Mentions => "No note that names you is unread.",
            Self::Due => "Nothing is due. Targets are set where the desk is set up.",
        }
    }

    /// The view of an address.
    pub fn of(named: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|view| Some(view.as_str()) == named).unwrap_or_default()
    }
}

/// What a list is narrowed to. Empty: not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Narrow {
    /// Words that were said, or that who asks and the subject have. What they find comes newest first, in any view.
    pub words: String,
    pub label: String,
    /// 0 to 3, as typed.
    pub priority: String,
    /// Who has it: their [`MemberId`], as typed.
    pub agent: String,
    /// `web` or `relay`.
    pub channel: String,
    /// Those who have waited for so many minutes, as typed.
    pub minutes: String,
}

impl Narrow {
    /// Without what no text in the database can have; the label as labels are kept.
    pub fn clean(self) -> Self {
        let clean = |text: String| text.replace('\0', "");
        Self {
            words: clean(self.words),
            label: clean(self.label).trim().to_lowercase(),
            priority: clean(self.priority),
            agent: clean(self.agent),
            channel: clean(self.channel),
            minutes: clean(self.minutes),
        }
    }

    /// Name and value, as they stand in an address; none of those that are empty.
    pub fn fields(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("words", &self.words),
            ("label", &self.label),
            ("priority", &self.priority),
            ("agent", &self.agent),
            ("channel", &self.channel),
            ("minutes", &self.minutes),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.as_str())).collect()
    }
}

/// The name of a priority, 0 to 3.
pub const PRIORITIES: [&str; 4] = ["Low", "Normal", "High", "Urgent"];

/// A line of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRow {
    pub id: ConversationId,
    /// What the customer is called; empty when they have not said.
    pub customer: String,
    /// What was said last, cut; or what was found, with its hits.
    pub said: Vec<(bool, String)>,
    pub status: ConversationStatus,
    pub priority: i16,
    /// Seconds since when the customer waits for an answer.
    pub waiting: Option<i64>,
    /// Who has it.
    pub agent: Option<String>,
    pub mine: bool,
    pub labels: Vec<String>,
    /// Whether something was said to or by the customer that the caller has not read.
    pub unread: bool,
    /// Seconds until what is due next; less than none: it is late.
    pub due: Option<i64>,
    /// The newest message that the customer can read.
    pub seq: i64,
}

/// How many there are; [`COUNT_MAX`] stands for that many or more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub mine: i64,
    pub waiting: i64,
    pub open: i64,
    pub snoozed: i64,
    pub mentions: i64,
    /// Those for which what was due is past.
    pub late: i64,
    /// Those of the caller's whose customers wait for an answer.
    pub owed: i64,
    /// Since when the newest waits, and the newest of the caller's own: in milliseconds since 1970, 0 for nobody.
    pub newest: (i64, i64),
}

impl Counts {
    pub const fn of(self, view: View) -> Option<i64> {
        match view {
            View::Mine => Some(self.mine),
            View::Waiting => Some(self.waiting),
            View::Open => Some(self.open),
            View::Snoozed => Some(self.snoozed),
            View::Mentions => Some(self.mentions),
            View::Due => Some(self.late),
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
    /// Whether they take no new conversations.
    pub away: bool,
    /// Lists that somebody keeps, by name: the part of an address behind the question mark.
    pub saved: Vec<(ViewId, String, String)>,
    /// What can be narrowed to: everybody who answers, by name, and the labels that are in use.
    pub agents: Vec<(MemberId, String)>,
    pub labels: Vec<String>,
    /// Where the desk's events went on from when this was read.
    pub pos: i64,
}

/// A conversation, as the staff reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    pub id: ConversationId,
    pub customer: String,
    /// The customer's name alone; may be empty.
    pub known: String,
    pub email: String,
    pub status: ConversationStatus,
    /// Who has it.
    pub agent: Option<String>,
    pub mine: bool,
    pub blocked: bool,
    /// Whether whoever asks is a customer, and not a colleague out of a chat of theirs.
    pub visitor: bool,
    /// Whether it can be given to the assistant.
    pub bot: bool,
    pub messages: Vec<Said>,
    /// Where the page before begins, if there is one.
    pub earlier: Option<i64>,
    /// The newest message that this page shows.
    pub seen: i64,
    /// Who else could have it, by name.
    pub colleagues: Vec<Colleague>,
    pub subject: String,
    /// Whether the caller is who asked, out of a chat of theirs.
    pub asked: bool,
    pub priority: i16,
    pub labels: Vec<String>,
    /// What the customer thought of it: whether they were helped, and their words.
    pub rating: Option<(bool, String)>,
    /// Who of the others looks at it at this moment, and whether they are typing.
    pub looking: Vec<(String, bool)>,
    /// Words that can be sent, with what stands for the customer, the agent and the desk filled in.
    pub replies: Vec<Reply>,
    /// The same customer's other conversations, by their address, and whether each was joined to this one.
    pub others: Vec<(QueueRow, bool)>,
    /// Seconds until what is due next; less than none: it is late.
    pub due: Option<i64>,
    /// Until when it is put off, as the reader's clock has it; empty where it is not, or until the customer writes.
    pub until: String,
    /// Who has it again when it comes back, if they are there; while it is put off.
    pub keeper: Option<String>,
    /// Answers that have not left yet.
    pub later: Vec<Later>,
    /// Seconds for which an answer waits when nothing else is chosen.
    pub undo: i32,
    /// Where the staff goes on with this customer, if this one was joined to another.
    pub merged: Option<ConversationId>,
    /// Whether the caller looks after the workspace.
    pub manages: bool,
}

/// What can be done with conversations of a list, one or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Resolve,
    /// Until the customer writes.
    PutOff,
    /// To the queue, or open again.
    GiveBack,
    Label,
    Urgent,
    Normal,
    Block,
}

impl Change {
    pub const ALL: [(&str, &str); 7] = [
        ("resolve", "Resolve"),
        ("put_off", "Put off until they write"),
        ("give_back", "Back to the queue"),
        ("label", "Add the label"),
        ("urgent", "Make urgent"),
        ("normal", "Make normal"),
        ("block", "Block as spam"),
    ];
}

/// What came of a change for one conversation: who it is, and why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    pub id: ConversationId,
    pub customer: String,
    pub problem: Option<String>,
}

/// A conversation as a list names it for a change: its id, and the newest message that was shown of it.
pub fn ticked(typed: &str) -> Result<(ConversationId, i64), AppError> {
    let parts = typed.split_once('.').and_then(|(id, seq)| Some((id.parse().ok()?, seq.parse().ok()?)));
    parts.ok_or_else(|| AppError::invalid("conversations", "Tick conversations of the list."))
}

/// What somebody can take along from a chat of theirs to the people of a desk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    pub title: String,
    /// The newest messages of the chat, oldest first: whether they are one's own, and the words.
    pub turns: Vec<(MessageId, bool, String)>,
    /// Desks that can be asked: the place, the workspace and the desk by name.
    pub desks: Vec<(PlaceId, String, String)>,
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
    /// The same as HTML, where it is more than its letters: of the assistant, who writes Markdown, and where there are links in it.
    pub html: String,
    /// As the reader's clock has it.
    pub at: String,
    pub mine: bool,
    /// Under which id its writer sent it; for them alone.
    pub client: Option<ClientId>,
    /// What the assistant took it from.
    pub sources: Vec<Source>,
    /// What the assistant would have said, for whoever answers now; or what an agent would have said later.
    pub draft: bool,
    /// An answer that was to leave later, and did not: something else had been said by then.
    pub late: bool,
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
    /// Its customer is shut out and would not read it.
    #[serde(rename = "blocked")]
    Blocked,
}

impl Held {
    /// As the database says it.
    pub fn of(word: &str) -> Self {
        match word {
            "taken" => Self::Taken,
            "blocked" => Self::Blocked,
            _ => Self::News,
        }
    }

    /// For whoever wrote it.
    pub fn told(self) -> AppError {
        let what = match self {
            Self::Taken => "Somebody else has this conversation now.",
            Self::News => "Something was said that you had not seen, so nothing was done. Read it, then go on.",
            Self::Blocked => "This customer is blocked. Let them write again before you answer.",
        };
        AppError::Conflict { what: what.into() }
    }
}

/// What a list or words that are sent often are called.
pub fn short_name(typed: &str) -> Result<String, AppError> {
    line("name", typed, 40, "Write a name.", "A name has 40 characters at most.")
}

/// The part of an address behind the question mark that leads to a list.
pub fn address(view: View, narrow: &Narrow) -> String {
    let fields = [("view", view.as_str())].into_iter().chain(narrow.fields());
    fields.map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
}

/// A value as it stands in an address. All but letters, figures and some signs is written in figures.
fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    value.bytes().map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// What a conversation is about; may be empty.
pub fn subject(typed: &str) -> Result<String, AppError> {
    if typed.trim().is_empty() {
        return Ok(String::new());
    }
    line("subject", typed, 200, "", "A subject has 200 characters at most.")
}

/// Labels, as a list that somebody typed.
pub fn labels(typed: &str) -> Result<Vec<String>, AppError> {
    let mut labels: Vec<String> = Vec::new();
    for word in typed.split([',', '\n', '\r']) {
        let word = word.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        if word.chars().count() > 30 || word.chars().any(char::is_control) {
            return Err(AppError::invalid("labels", "A label has 30 characters at most."));
        }
        if !word.is_empty() && !labels.contains(&word) {
            labels.push(word);
        }
    }
    if labels.len() > 20 {
        return Err(AppError::invalid("labels", "A conversation has 20 labels at most."));
    }
    Ok(labels)
}

/// Under which id words are stored that come with something else, of which `with` is the id: the same for whoever does the same twice to
/// what was seen, until they have taken something back.
pub fn client_of(conversation: ConversationId, with: uuid::Uuid, (by, seen, turn): (UserId, i64, i64)) -> ClientId {
    let mixed = conversation.0.as_u128() ^ with.as_u128().rotate_left(64) ^ by.0.as_u128().rotate_left(37);
    ClientId(uuid::Uuid::from_u128(mixed ^ (seen as u128).rotate_left(32) ^ (turn as u128).rotate_left(96)))
}

/// What the fields of a form were when it was shown, as one hidden field of it carries that.
pub fn was<T: Serialize>(fields: &T) -> String {
    serde_json::to_string(fields).unwrap_or_default()
}

/// The same read again; `None` where a form says nothing of it.
pub fn was_of<T: serde::de::DeserializeOwned>(carried: &str) -> Option<T> {
    serde_json::from_str(carried).ok()
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
    fn labels_are_a_list_without_repetition_in_small_letters() {
        assert_eq!(labels(" Billing, bug\nbilling ,, big  order").unwrap(), ["billing", "bug", "big order"]);
        assert!(labels(&"x".repeat(31)).is_err());
        assert!(labels(&(0..21).map(|n| format!("{n},")).collect::<String>()).is_err());
    }

    #[test]
    fn waiting_is_told_in_the_largest_unit_that_fits() {
        assert_eq!([59, 60, 3599, 3600, 90_000].map(waited), ["now", "1 min", "59 min", "1 h", "1 d"]);
    }
}
