//! Customers who write by other ways than our own frame: a program of the workspace's posts what they say, and what is answered goes
//! out to an address of the workspace's.
//!
//! Tables: `relay_secrets` (what such a program shows), `webhooks` (where answers go), `deliveries` (what is to be sent). Owners and
//! admins read and manage them. A customer behind a relay is a visitor, and their messages run in a visitor's lane.

pub mod model;
pub mod page;
#[cfg(feature = "ssr")]
pub mod receive;
#[cfg(feature = "ssr")]
pub mod send;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
