//! Customers' conversations, as the staff has them: the desk with its queue, and who answers.
//!
//! Tables: `conversations`, `conversation_messages`, `readings`, `saved_views`. Every member of the workspace reads all conversations, and
//! a member's role is in no policy of theirs. Agents, whom the room `desks` names, take conversations and answer; one has a
//! conversation at a time, and what comes late or unseen is held, not sent. The customer's side is the room `widget`.

#[cfg(feature = "ssr")]
pub mod bulk;
pub mod escalate;
pub mod model;
pub mod page;
pub mod parts;
pub mod queue;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
