//! Chats that leave and chats that come: exports as Markdown and JSON, imports of ChatGPT's and of our own.
//!
//! Table: `imports`, a row for each file with what has become of it. Only the owner reads it. Both ways run in the owner's own
//! lane, a few conversations at a time, so that neither holds a transaction for as long as a download takes.
//!
//! What comes again is what it was: a conversation and each message have ids that follow from those in the file. What is not
//! there yet is added, and what is there is left as it is, be it changed or deleted here since. A definer function writes
//! what was said, which nobody may write in the assistant's name; all else about a chat is set in its owner's own rights.

#[cfg(feature = "ssr")]
pub mod export;
#[cfg(feature = "ssr")]
pub mod import;
pub mod model;
pub mod page;
#[cfg(feature = "ssr")]
pub mod parse;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
