use serde::{Deserialize, Serialize};

use crate::types::{MessageId, ThreadId};

/// Where a page's own picture of things ends: the stream goes on from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveStart {
    /// A place in the feed. Everything up to here is in the page already.
    pub pos: i64,
    /// Names the channel that this browser's tabs share; says nothing about the user.
    pub channel: String,
}

/// What a stream tells.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Flat")]
pub enum Event {
    /// New, renamed, or written in. With `message`: that one was emptied, or what its owner thinks of it has changed.
    ThreadChanged {
        thread: ThreadId,
        message: Option<MessageId>,
    },
    ThreadGone {
        thread: ThreadId,
    },
    MessagePosted {
        thread: ThreadId,
    },
    /// The next piece of an answer; `n` counts from 0 without gaps.
    AnswerChunk {
        thread: ThreadId,
        message: MessageId,
        n: i32,
        text: String,
    },
    AnswerEnded {
        thread: ThreadId,
    },
    /// The listener missed something that can't be told again: read the page's data anew.
    Resync,
    /// Of a kind that this page does not know.
    Other,
}

/// An event's JSON: `kind` and its fields are what the triggers of the migrations write. A plain struct for the reason that
/// an error's is one.
#[derive(Deserialize)]
struct Flat {
    kind: String,
    thread: Option<ThreadId>,
    message: Option<MessageId>,
    n: Option<i32>,
    text: Option<String>,
}

impl From<Flat> for Event {
    fn from(flat: Flat) -> Self {
        let Flat { kind, thread, message, n, text } = flat;
        match (kind.as_str(), thread) {
            ("resync", _) => Self::Resync,
            ("thread.changed", Some(thread)) => Self::ThreadChanged { thread, message },
            ("thread.gone", Some(thread)) => Self::ThreadGone { thread },
            ("message.posted", Some(thread)) => Self::MessagePosted { thread },
            ("answer.ended", Some(thread)) => Self::AnswerEnded { thread },
            ("answer.chunk", Some(thread)) => match (message, n, text) {
                (Some(message), Some(n), Some(text)) => Self::AnswerChunk { thread, message, n, text },
                _ => Self::Resync,
            },
            _ => Self::Other,
        }
    }
}

/// An event and its place, as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Told {
    pub pos: i64,
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_triggers_write_is_understood_and_what_is_new_is_passed_over() {
        let id = "00000000-0000-4000-8000-000000000001";
        let chunk = format!(
            r#"{{"pos":7,"event":{{"kind":"answer.chunk","thread":"{id}","message":"{id}","n":0,"text":"a\nb"}}}}"#
        );
        let told: Told = serde_json::from_str(&chunk).unwrap();
        assert!(matches!(told.event, Event::AnswerChunk { n: 0, ref text, .. } if text == "a\nb"));
        let ended = format!(
            r#"{{"pos":8,"event":{{"kind":"answer.ended","thread":"{id}","message":"{id}","generation":"{id}","status":"done"}}}}"#
        );
        assert!(serde_json::from_str::<Told>(&ended).is_ok());
        let new = r#"{"pos":9,"event":{"kind":"something.new","x":1}}"#;
        assert_eq!(serde_json::from_str::<Told>(new).unwrap().event, Event::Other);
    }
}
