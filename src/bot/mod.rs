//! The assistant that answers customers first, from what the workspace has written down for them, and hands over to people.
//!
//! Table: `bot_turns` (what it owes: one answer a conversation). A process takes a turn for as long as a lease and gives back what
//! there is to say; the database decides who reads that. While it is the assistant's turn, the customer does; once somebody has the
//! conversation, it is a draft for them; and what was said meanwhile is answered first.

pub mod model;
#[cfg(feature = "ssr")]
pub mod run;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
