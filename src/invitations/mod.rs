//! Invitations: how people come into a workspace, or into some of its projects as guests.
//!
//! Tables: `invitations`, `invitation_projects`. Owners and admins read and write them. An invitation is for one address; the token
//! in its link is stored as a hash, works once, for 7 days, and only for an account with that address.

pub mod model;
#[cfg(feature = "ssr")]
pub mod offer;
pub mod page;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
