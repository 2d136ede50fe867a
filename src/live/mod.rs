//! The live feed: what changed, told to every window of whoever may hear it, in order and without gaps.
//!
//! Tables: `outbox` (a change writes here, in its own transaction), `feed` (numbered by the sequencer after the commit),
//! `feed_head`. No request role reads them; a user hears their own events through `app.my_feed` and the stream.

pub mod browser;
#[cfg(feature = "ssr")]
pub mod hub;
pub mod model;
#[cfg(feature = "ssr")]
pub mod sql;
#[cfg(feature = "ssr")]
mod start;
#[cfg(feature = "ssr")]
pub mod stream;

#[cfg(feature = "ssr")]
pub use start::start;
