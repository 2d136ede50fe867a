//! The customer's side of a conversation: the bubble on a web page, and the page in its frame.
//!
//! Table: `visitors`. A visitor has no account: their page holds a token, which opens their one conversation and nothing else.
//! They read what customer, bot and agents said in it; notes, the queue and everybody else's are not theirs.

pub mod model;
pub mod page;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
#[cfg(feature = "ssr")]
pub mod stream;
