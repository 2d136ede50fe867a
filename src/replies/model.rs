use serde::{Deserialize, Serialize};

use crate::{
    conversations::model::{PRIORITIES, labels, short_name},
    error::AppError,
    threads::model::message_text,
    types::{ClientId, ConversationStatus, ReplyId},
};

/// Words that are written once and sent often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub id: ReplyId,
    pub name: String,
    /// May be empty where something else is done.
    pub text: String,
    /// What is done besides, in the same step: labels that are added, how urgent it becomes, and where it goes.
    pub labels: Vec<String>,
    pub priority: Option<i16>,
    pub next: Option<ConversationStatus>,
    /// Another one once any of it is changed.
    pub mark: String,
    /// Under which id it is said next, by whoever reads; in a conversation alone.
    pub client: Option<ClientId>,
}

impl Reply {
    /// Whether it does more than say something.
    pub fn acts(&self) -> bool {
        !self.labels.is_empty() || self.priority.is_some() || self.next.is_some()
    }

    /// What it does besides, in words.
    pub fn deeds(&self) -> String {
        let urgency = self.priority.and_then(|n| PRIORITIES.get(usize::try_from(n).ok()?));
        let next = match self.next {
            Some(ConversationStatus::Resolved) => Some("resolve".to_owned()),
            Some(ConversationStatus::Snoozed) => Some("put off until they write".to_owned()),
            Some(ConversationStatus::Waiting) => Some("give back".to_owned()),
            _ => None,
        };
        let labels = (!self.labels.is_empty()).then(|| format!("label {}", self.labels.join(", ")));
        let urgency = urgency.map(|name| format!("make {}", name.to_lowercase()));
        labels.into_iter().chain(urgency).chain(next).collect::<Vec<_>>().join(", ")
    }
}

/// Words that are sent often, and what is done with them, as a form has them. It has no id yet.
pub fn reply(name: &str, text: &str, typed: &str, priority: &str, next: &str) -> Result<Reply, AppError> {
    let text = if text.trim().is_empty() { String::new() } else { message_text(text)? };
    if text.chars().count() > 8000 {
        return Err(AppError::invalid("text", "This is longer than 8,000 characters."));
    }
    let next = match next {
        "" => None,
        "resolved" => Some(ConversationStatus::Resolved),
        "snoozed" => Some(ConversationStatus::Snoozed),
        "waiting" => Some(ConversationStatus::Waiting),
        _ => return Err(AppError::invalid("next", "Choose one of the list.")),
    };
    let priority = match priority {
        "" => None,
        typed => match typed.parse() {
            Ok(n @ 0..=3) => Some(n),
            _ => return Err(AppError::invalid("priority", "There are four: low, normal, high, urgent.")),
        },
    };
    let reply = Reply {
        id: ReplyId(uuid::Uuid::nil()),
        name: short_name(name)?,
        text,
        labels: labels(typed)?,
        priority,
        next,
        mark: String::new(),
        client: None,
    };
    if reply.text.is_empty() && !reply.acts() {
        return Err(AppError::invalid("text", "Write words, or choose what is done."));
    }
    Ok(reply)
}

/// What stands for somebody in words that are sent often. A customer without a name is left out, with what leads to
/// the name: “Hello {{customer}},” is “Hello,”.
pub fn filled_in(text: &str, customer: &str, agent: &str, desk: &str) -> String {
    let text = if customer.is_empty() {
        // What begins with the name begins with what comes after it.
        let (begins, rest) = match text.strip_prefix("{{customer}}") {
            Some(rest) => (true, rest.trim_start_matches([',', ':', ' '])),
            None => (false, text),
        };
        let mut letters = rest.chars();
        let rest = match letters.next().filter(|_| begins) {
            Some(first) => first.to_uppercase().chain(letters).collect(),
            None => rest.to_owned(),
        };
        [", {{customer}}", " {{customer}}"].iter().fold(rest, |text, name| text.replace(name, ""))
    } else {
        text.to_owned()
    };
    text.replace("{{customer}}", customer).replace("{{agent}}", agent).replace("{{desk}}", desk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_sent_often_name_whoever_they_are_for() {
        assert_eq!(
            filled_in("Hello {{customer}}, {{agent}} of {{desk}}. {{other}}", "Vi", "Ada", "Acme"),
            "Hello Vi, Ada of Acme. {{other}}"
        );
        for (text, said) in [
            ("Hello {{customer}},", "Hello,"),
            ("Sorry, {{customer}}. Wait.", "Sorry. Wait."),
            ("{{customer}}: hello", "Hello"),
            ("{{customer}}, we have refunded you.", "We have refunded you."),
            ("{{customer}}", ""),
        ] {
            assert_eq!(filled_in(text, "", "Ada", "Acme"), said);
        }
    }
}
