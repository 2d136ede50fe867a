//! The one error on the wire. What a person reads is its `Display`; what a program reads is its JSON.

use leptos::server_fn::{codec::JsonEncoding, error::FromServerFnError, error::ServerFnErrorErr};
use serde::{Deserialize, Serialize};

/// Every failure a caller can see. The cause of an [`AppError::Internal`] is logged beside its id and never sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum AppError {
    /// `401`: no token, a bad one, or one whose session has ended. One body for all of these.
    #[error("You are signed out. Sign in to go on.")]
    Unauthenticated,
    /// `403`
    #[error("This is not allowed.")]
    Forbidden,
    /// `404`: no such thing, or one that the caller may not see. Nothing tells the two apart.
    #[error("There is nothing here, or it is not yours.")]
    NotFound,
    /// `400`: `field` is the form field's name, `why` a sentence for the person who filled it in.
    #[error("{why}")]
    Invalid { field: String, why: String },
    /// `409`: the state of things speaks against it; `what` is a sentence.
    #[error("{what}")]
    Conflict { what: String },
    /// `429`, with `Retry-After` in seconds.
    #[error("Too many tries. Try again in {retry_after} s.")]
    TooMany { retry_after: u64 },
    /// `429`, with `Retry-After`: the answers of a day have been asked for.
    #[error("Today's {answers} answers are used up. You can ask again in {}.", in_words(*retry_after))]
    UsedUp { answers: i32, retry_after: u64 },
    /// `413`
    #[error("That is too long to send.")]
    TooLarge,
    /// `503`: the database or the network is away; the same request may work in a moment.
    #[error("The server can't be reached right now. Try again in a moment.")]
    Unavailable,
    /// `500`: our fault; `id` finds the cause in the log.
    #[error("Something failed on our side. It is logged as {id}.")]
    Internal { id: String },
}

impl AppError {
    pub fn invalid(field: &str, why: &str) -> Self {
        Self::Invalid { field: field.into(), why: why.into() }
    }

    /// The same reason, at another field of the form.
    pub fn at(self, field: &str) -> Self {
        match self {
            Self::Invalid { why, .. } => Self::invalid(field, &why),
            other => other,
        }
    }

    /// The HTTP status that goes with it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid { .. } => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict { .. } => 409,
            Self::TooLarge => 413,
            Self::TooMany { .. } | Self::UsedUp { .. } => 429,
            Self::Internal { .. } => 500,
            Self::Unavailable => 503,
        }
    }

    /// Seconds until the same may work, where that is known.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooMany { retry_after } | Self::UsedUp { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}

/// A long wait, rounded up, as somebody would say it.
fn in_words(seconds: u64) -> String {
    let (n, unit) = match seconds.div_ceil(60) {
        minutes @ ..=90 => (minutes, "minute"),
        minutes => (minutes.div_ceil(60), "hour"),
    };
    format!("{n} {unit}{}", if n == 1 { "" } else { "s" })
}

impl FromServerFnError for AppError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(value: ServerFnErrorErr) -> Self {
        match value {
            ServerFnErrorErr::Args(_) | ServerFnErrorErr::MissingArg(_) => {
                Self::invalid("request", "A value is missing or has the wrong form.")
            }
            // In the browser: the request did not arrive, or something that is not us answered it.
            ServerFnErrorErr::Request(_) | ServerFnErrorErr::Deserialization(_) => Self::Unavailable,
            other => {
                tracing::error!(cause = %other, "server function");
                Self::Internal { id: "server-function".into() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_wait_is_said_in_hours() {
        for (seconds, words) in
            [(1, "1 minute"), (61, "2 minutes"), (5400, "90 minutes"), (5401, "2 hours"), (86_400, "24 hours")]
        {
            assert_eq!(in_words(seconds), words);
        }
    }
}
