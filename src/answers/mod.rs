//! Who writes the answers, and how an answer gets from them into the database piece by piece.
//!
//! Tables: `generations` (one an answer: running, or how it ended), `generation_chunks` (what has been written so far). The
//! writer enters as the user it writes for, for that reason alone; signing out leaves it running, closing the account does
//! not.

#[cfg(feature = "ssr")]
pub mod answerer;
#[cfg(feature = "ssr")]
mod begin;
#[cfg(feature = "ssr")]
pub mod embedded;
#[cfg(feature = "ssr")]
pub mod run;
#[cfg(feature = "ssr")]
pub mod sql;

#[cfg(feature = "ssr")]
pub use begin::{begin, go_on};
