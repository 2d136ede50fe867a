//! Customers' conversations, as the staff has them: the desk with its queue, and who answers.
//!
//! Tables: `desks`, `agents`, `conversations`, `conversation_messages`. Every member of the workspace reads all of them, and a
//! member's role is in no policy of conversations. Agents, whom owners and admins name, take conversations and answer; one has a
//! conversation at a time, and what comes late or unseen is held, not sent. The customer's side is the room `widget`.

#[cfg(feature = "ssr")]
pub mod bulk;
pub mod escalate;
pub mod model;
pub mod page;
pub mod parts;
pub mod queue;
pub mod server_fns;
pub mod set_up;
#[cfg(feature = "ssr")]
pub mod sql;
