//! Who somebody is: signing up, in and out, by a password, a mailed link or a code by telephone; their profile, their sessions,
//! leaving; and the theme they read in.
//!
//! Tables: `users`, `sessions` (own rows only), `credentials`, `refresh_tokens`, `rate_limits` (nobody's: definer functions
//! in a lane opened for signing in); `outgoing` (mail and text messages that wait), `mail_tokens`, `codes` (likewise nobody's).
//! Anybody may sign up and in; the rest is for the account's owner.

#[cfg(feature = "ssr")]
pub mod deliver;
#[cfg(feature = "ssr")]
pub mod letters;
pub mod model;
pub mod operations;
pub mod page;
pub mod server_fns;
pub mod settings;
#[cfg(feature = "ssr")]
pub mod sql;
pub mod zones;
