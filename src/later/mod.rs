//! Answers that leave later: in some seconds, so that they can be undone, or tomorrow.
//!
//! Table: `later_answers`. Everybody at the desk sees what is about to be said; whoever wrote it takes it back. When its time comes
//! and something else has been said, or somebody else has the conversation, it is a draft for its writer and no answer.

pub mod model;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
