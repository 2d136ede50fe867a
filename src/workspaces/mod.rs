//! Workspaces, which people share: who belongs, as what, and what one is called.
//!
//! Tables: `workspaces`, `workspace_members`. Members read both. Owners and admins rename the workspace, change roles and remove
//! people; only owners make and unmake owners, and there is always one. Everybody has a personal workspace that nobody else can
//! be in. A workspace's id never leaves the server: a request names its caller's own membership, and the database takes the
//! workspace from that row.

pub mod model;
pub mod page;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
