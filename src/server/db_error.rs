//! What a database error becomes. No text of the database reaches a caller.

use crate::error::AppError;

/// SQLSTATEs that our own functions raise.
const SIGNED_OUT: &str = "P0401";
const NOT_THEIRS: &str = "P0403";
const NO_SUCH: &str = "P0404";
const ID_REUSED: &str = "P0409";
const QUESTION_GONE: &str = "P0411";
const BUSY: &str = "P0423";
const LAST_OWNER: &str = "P0430";
const FOR_OWNERS: &str = "P0431";
const TOO_MANY_WORKSPACES: &str = "P0432";
const PERSONAL: &str = "P0433";
const SHARED_DOMAIN: &str = "P0434";
const TOO_MANY_DOMAINS: &str = "P0435";
const NO_AGENT: &str = "P0441";
const FULL: &str = "P0442";
const NOT_THERE: &str = "P0443";
const NOT_FOR_BOT: &str = "P0444";
const NO_CUSTOMER: &str = "P0445";

impl From<sqlx::Error> for AppError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => return Self::NotFound,
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => {
                tracing::warn!(%error, "database away");
                return Self::Unavailable;
            }
            sqlx::Error::Database(db) => match db.code().as_deref() {
                Some(SIGNED_OUT) => return Self::Unauthenticated,
                Some(NO_SUCH) => return Self::NotFound,
                Some(ID_REUSED) => {
                    return Self::Conflict {
                        what: "This was sent before with another text. Send it as a new message.".into(),
                    };
                }
                Some(QUESTION_GONE) => {
                    return Self::Conflict {
                        what: "The question was deleted, so nothing can answer it again. Ask it anew.".into(),
                    };
                }
                Some(BUSY) => {
                    return Self::Conflict { what: "An answer is still being written. Wait for it or stop it.".into() };
                }
                Some(LAST_OWNER) => {
                    return Self::Conflict {
                        what: "A workspace always has an owner. Make somebody else an owner of it first.".into(),
                    };
                }
                Some(FOR_OWNERS | NOT_THEIRS) => return Self::Forbidden,
                Some(NO_AGENT) => {
                    return Self::Conflict {
                        what:
                            "Only agents of this desk take and answer conversations. Its owners and admins name them."
                                .into(),
                    };
                }
                Some(NOT_THERE) => {
                    return Self::Conflict {
                        what: "They are not at the desk now, and it would come straight back.".into(),
                    };
                }
                Some(NO_CUSTOMER) => {
                    return Self::Conflict {
                        what: "This is a colleague's question. There is no customer to block.".into(),
                    };
                }
                Some(NOT_FOR_BOT) => {
                    return Self::Conflict {
                        what: "The assistant is off, or has handed this conversation over twice: people answer it."
                            .into(),
                    };
                }
                Some(FULL) => {
                    return Self::Conflict { what: "That is as many conversations as one agent has at once.".into() };
                }
                Some(TOO_MANY_WORKSPACES) => {
                    return Self::Conflict { what: "You own 50 workspaces, which is all there can be.".into() };
                }
                Some(PERSONAL) => {
                    return Self::Conflict {
                        what: "That is for a workspace that people share, and this one is personal. Make one to share first.".into(),
                    };
                }
                Some(SHARED_DOMAIN) => {
                    return Self::invalid(
                        "domain",
                        "Anybody can get an address there, so it can't be the domain of a workspace.",
                    );
                }
                Some(TOO_MANY_DOMAINS) => {
                    return Self::Conflict { what: "A workspace has 20 domains at most.".into() };
                }
                // Under that id there is something that whoever sends may not see.
                Some("23505")
                    if matches!(
                        db.constraint(),
                        Some(
                            "messages_client_id_thread_id_user_id_key"
                                | "conversation_messages_client_id_conversation_id_workspace_i_key"
                        )
                    ) =>
                {
                    return Self::Conflict { what: "This was sent before as something else. Send it anew.".into() };
                }
                // What it belongs to has gone meanwhile.
                Some("23503") => return Self::NotFound,
                // Two at once: the other one was first.
                Some("23505") if db.constraint() == Some("generations_one_running") => {
                    return Self::Conflict { what: "An answer is still being written. Wait for it or stop it.".into() };
                }
                // Cancelled by the statement's or the lock's time-out or to end a deadlock, or the server is going down or
                // coming up.
                Some("57014" | "55P03" | "40P01" | "57P01" | "57P02" | "57P03") => {
                    tracing::warn!(%error, "database away");
                    return Self::Unavailable;
                }
                _ => {}
            },
            _ => {}
        }
        internal(error)
    }
}

/// Logs the cause beside a fresh id and gives the caller the id.
pub fn internal(cause: impl std::fmt::Display) -> AppError {
    let id = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    tracing::error!(%cause, id, "internal error");
    AppError::Internal { id }
}
