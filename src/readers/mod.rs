//! "Who can see this?", asked about a chat, a project or an event of the audit trail.
//!
//! No tables. Each person around it is asked for by the live policies, in a lane as that person that can only say yes or no
//! (`server/lanes.rs`, `look`): there is no second set of rules here that could be right where the first is wrong. Why somebody can
//! see it is told from the rows of their memberships, and whoever can without any such row stands at the top.

pub mod model;
pub mod page;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
