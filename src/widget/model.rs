use serde::{Deserialize, Serialize};

use crate::{
    conversations::model::Said,
    error::AppError,
    threads::model::line,
    types::{ConversationStatus, MessageId},
};

/// Messages that a customer's page shows: their newest.
pub const LINES_MAX: i64 = 200;
/// Longer than anybody types into a bubble.
const TEXT_MAX: usize = 8000;

/// What a desk says of itself to whoever opens the bubble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub name: String,
    pub welcome: String,
    /// Whether somebody is there to answer.
    pub open: bool,
    /// What the assistant is called that answers first, if there is one.
    pub bot: Option<String>,
    /// When somebody is there again, in words, if the desk has hours and they are over.
    pub opens: Option<String>,
}

/// A conversation as its customer reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnConversation {
    /// `None` before the first word.
    pub status: Option<ConversationStatus>,
    pub lines: Vec<Said>,
    /// What the customer has said of themselves.
    pub name: String,
    pub email: String,
    /// Who answers them.
    pub agent: Option<String>,
    /// What the assistant is called.
    pub bot: String,
    /// Whether it is writing at this moment.
    pub writing: bool,
    /// Whether whoever answers is typing.
    pub typing: bool,
    /// The newest of their words that somebody of the staff has read.
    pub read: Option<MessageId>,
    /// Whether the customer has said that they were helped.
    pub rating: Option<bool>,
    /// Whether the staff goes on in another conversation of theirs.
    pub elsewhere: bool,
}

/// What a customer says.
pub fn words(typed: &str) -> Result<String, AppError> {
    let text = crate::threads::model::message_text(typed)?;
    if text.chars().count() > TEXT_MAX {
        return Err(AppError::invalid("text", "This is longer than 8,000 characters. Send it in parts."));
    }
    Ok(text)
}

/// What a customer is called; may be empty.
pub fn name(typed: &str) -> Result<String, AppError> {
    // What turns the letters around it, or is none, is no part of a name: the staff would read another one.
    let turns = |c: &char| matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let typed: String = typed.chars().filter(|c| !turns(c)).collect();
    if typed.trim().is_empty() {
        return Ok(String::new());
    }
    line("name", &typed, 80, "", "A name has 80 characters at most.")
}
