//! Who somebody is: signing up, in and out, and the theme they read in.
//!
//! Tables: `users`, `sessions` (own rows only), `credentials`, `refresh_tokens`, `rate_limits` (nobody's: definer functions
//! in a lane opened for signing in). Anybody may sign up and in; the rest is for the account's owner.

pub mod model;
pub mod page;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
