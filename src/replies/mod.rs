//! Words that agents send often, and what is done with them in the same step.
//!
//! Table: `replies`. Every member reads them; owners and admins keep them; agents say them.

pub mod model;
pub mod page;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
