use futures::stream::BoxStream;

use crate::types::{ConversationId, Role, ThreadId, UserId};

/// All that an answerer knows. It keeps nothing: the history was read from Postgres in the caller's lane, just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Oldest first; the last one is the message to answer.
    pub history: Vec<Said>,
    pub metadata: Metadata,
    /// One of [`Answerer::models`].
    pub model: String,
    /// What to keep in mind: of the thread's folder, then of the thread itself; may be empty.
    pub instructions: String,
    /// The answer's beginning, which is there already: what comes goes on from its last letter.
    pub begun: String,
    /// All that may be answered from, where that is limited, best first; the instructions quote it as well.
    pub material: Option<Vec<Passage>>,
}

/// A section of what somebody has written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// The text's title and the section's.
    pub title: String,
    pub text: String,
    /// Those of its sentences that answer the question, word for word.
    pub told: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub role: Role,
    pub text: String,
}

/// Whom the answer is for. No answerer of today sends it on: it must not leave the process but hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub user_id: UserId,
    pub talk: Talk,
}

/// Where an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    Thread(ThreadId),
    Conversation(ConversationId),
}

/// Why an answer ended before its end, in words for the person who waits for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error("The model server can't be reached.")]
    Unreachable,
    #[error("The model server did not go on for a minute.")]
    Stalled,
    #[error("The connection to the model server broke off in the middle of the answer.")]
    Cut,
    #[error("The model server is busy. Try again in {0} s.")]
    Busy(u64),
    #[error("The model server refused the request (status {0}).")]
    Refused(u16),
    #[error("The model server does not take this server's key (status {0}). Whoever runs moat has to look after it.")]
    Locked(u16),
    #[error(
        "The model server does not know this model or address (status 404). Choose another model, or tell whoever runs moat."
    )]
    NoModel,
    #[error("The model server failed (status {0}). Try again.")]
    Broken(u16),
    #[error("The model gave no answer. Try again, or say it differently.")]
    Empty,
    #[error("The model server sent something that is no answer.")]
    Malformed,
    #[error("The answer grew longer than 1 MB and was cut there.")]
    TooLong,
    #[error("The model stopped at the longest answer that it gives. \"Go on\" lets it continue.")]
    Limit,
    #[error("The model server withheld the rest of this answer. Say it differently, or ask another model.")]
    Withheld,
    #[error("This chat has become longer than the model can read. Begin a new one, or shorten your message.")]
    Full,
}

/// What comes of an answerer, a piece at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Usage(Usage),
}

/// What an answer cost, as the model server counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens that the model was shown: instructions, history, question.
    pub read: i32,
    /// Tokens of the answer.
    pub written: i32,
}

/// Writes answers, a piece at a time.
pub trait Answerer: Send + Sync {
    /// The name that is stored beside the answer.
    fn model(&self) -> &str;

    /// What can be chosen from, the usual one first.
    fn models(&self) -> Vec<String> {
        vec![self.model().to_owned()]
    }

    /// How many tokens a model can keep in mind, where somebody has said so.
    fn context(&self) -> Option<i32> {
        None
    }

    /// The pieces in order; after an error nothing more comes.
    fn answer(&self, turn: Turn) -> BoxStream<'static, Result<Piece, AnswerError>>;
}
