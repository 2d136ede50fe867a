//! Projects of a workspace, and who is in them.
//!
//! Tables: `projects`, `project_members`. Whoever is in a project reads it, and the workspace's owners and admins read all of
//! them. Any member of the workspace makes one and owns it; its owners and managers look after it, and a viewer writes nothing.
//! A guest is in a project without being in its workspace, and sees that project alone.

pub mod model;
pub mod page;
pub mod parts;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
