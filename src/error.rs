//! The one error on the wire. What a person reads is its `Display`; what a program reads is its JSON.

use leptos::server_fn::{codec::JsonEncoding, error::FromServerFnError, error::ServerFnErrorErr};
use serde::{Deserialize, Serialize};

/// Every failure a caller can see. The cause of an [`AppError::Internal`] is logged beside its id and never sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(from = "Flat", into = "Flat")]
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

/// An error's JSON: `error` says which, beside it stand what belongs to that one. A plain struct, since reading a tagged enum
/// takes a second reader for everything that might come before the tag, which the browser would have to load.
#[derive(Serialize, Deserialize)]
struct Flat {
    error: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answers: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Unauthenticated,
    Forbidden,
    NotFound,
    Invalid,
    Conflict,
    TooMany,
    UsedUp,
    TooLarge,
    Unavailable,
    Internal,
}

impl From<Flat> for AppError {
    fn from(flat: Flat) -> Self {
        let Flat { error, field, why, what, answers, retry_after, id } = flat;
        let retry_after = retry_after.unwrap_or_default();
        match error {
            Kind::Unauthenticated => Self::Unauthenticated,
            Kind::Forbidden => Self::Forbidden,
            Kind::NotFound => Self::NotFound,
            Kind::Invalid => Self::Invalid { field: field.unwrap_or_default(), why: why.unwrap_or_default() },
            Kind::Conflict => Self::Conflict { what: what.unwrap_or_default() },
            Kind::TooMany => Self::TooMany { retry_after },
            Kind::UsedUp => Self::UsedUp { answers: answers.unwrap_or_default(), retry_after },
            Kind::TooLarge => Self::TooLarge,
            Kind::Unavailable => Self::Unavailable,
            Kind::Internal => Self::Internal { id: id.unwrap_or_default() },
        }
    }
}

impl From<AppError> for Flat {
    fn from(error: AppError) -> Self {
        let bare =
            |error| Self { error, field: None, why: None, what: None, answers: None, retry_after: None, id: None };
        match error {
            AppError::Unauthenticated => bare(Kind::Unauthenticated),
            AppError::Forbidden => bare(Kind::Forbidden),
            AppError::NotFound => bare(Kind::NotFound),
            AppError::Invalid { field, why } => Self { field: Some(field), why: Some(why), ..bare(Kind::Invalid) },
            AppError::Conflict { what } => Self { what: Some(what), ..bare(Kind::Conflict) },
            AppError::TooMany { retry_after } => Self { retry_after: Some(retry_after), ..bare(Kind::TooMany) },
            AppError::UsedUp { answers, retry_after } => {
                Self { answers: Some(answers), retry_after: Some(retry_after), ..bare(Kind::UsedUp) }
            }
            AppError::TooLarge => bare(Kind::TooLarge),
            AppError::Unavailable => bare(Kind::Unavailable),
            AppError::Internal { id } => Self { id: Some(id), ..bare(Kind::Internal) },
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
    fn an_error_is_the_same_after_it_has_travelled() {
        let all = [
            (AppError::Unauthenticated, r#"{"error":"unauthenticated"}"#),
            (AppError::Forbidden, r#"{"error":"forbidden"}"#),
            (AppError::NotFound, r#"{"error":"not_found"}"#),
            (AppError::invalid("a", "b"), r#"{"error":"invalid","field":"a","why":"b"}"#),
            (AppError::Conflict { what: "c".into() }, r#"{"error":"conflict","what":"c"}"#),
            (AppError::TooMany { retry_after: 3 }, r#"{"error":"too_many","retry_after":3}"#),
            (AppError::UsedUp { answers: 5, retry_after: 3 }, r#"{"error":"used_up","answers":5,"retry_after":3}"#),
            (AppError::TooLarge, r#"{"error":"too_large"}"#),
            (AppError::Unavailable, r#"{"error":"unavailable"}"#),
            (AppError::Internal { id: "x".into() }, r#"{"error":"internal","id":"x"}"#),
        ];
        for (error, json) in all {
            assert_eq!(serde_json::to_string(&error).unwrap(), json);
            assert_eq!(serde_json::from_str::<AppError>(json).unwrap(), error);
        }
    }

    #[test]
    fn a_long_wait_is_said_in_hours() {
        for (seconds, words) in
            [(1, "1 minute"), (61, "2 minutes"), (5400, "90 minutes"), (5401, "2 hours"), (86_400, "24 hours")]
        {
            assert_eq!(in_words(seconds), words);
        }
    }
}
