//! Help articles: what a workspace has written down for its customers, which the assistant answers from and everybody with one of
//! its web pages can read once it is published.
//!
//! Table: `articles`. Members read all of them, owners and admins write. Whoever has the key of a web page reads the published
//! ones, through `gate.read_help`.

pub mod model;
pub mod page;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
