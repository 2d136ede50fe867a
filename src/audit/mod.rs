//! The audit trail: what happened in a workspace, and what was asked for in vain.
//!
//! Tables: `audit_events`, `audit_people`, `audit_heads`, `audit_pending`. Triggers of the tables that are in the trail write it;
//! nothing here does. Owners and admins read all of a workspace's, managers of a project that project's.

pub mod model;
pub mod page;
pub mod server_fns;

#[cfg(feature = "ssr")]
pub mod chain;
#[cfg(feature = "ssr")]
pub mod export;
#[cfg(feature = "ssr")]
pub mod sql;
#[cfg(feature = "ssr")]
pub mod verify;
