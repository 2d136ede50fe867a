//! Private chats: a person, their threads, the messages in them.
//!
//! Tables: `threads`, `messages` (a tree under a virtual root), `branches` (where each was left), `thumbs`. Only the owner reads and writes them; nobody shares, nobody looks over a shoulder. The
//! assistant's messages are filled by the writer of the answer (see `answers`), in the owner's name.

#[cfg(feature = "ssr")]
mod actions;
#[cfg(feature = "ssr")]
pub mod days;
#[cfg(feature = "ssr")]
pub mod list;
pub mod listed;
#[cfg(feature = "ssr")]
pub mod markdown;
pub mod model;
pub mod page;
pub mod parts;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod snippet;
#[cfg(feature = "ssr")]
pub mod sql;
pub mod stay;
#[cfg(feature = "ssr")]
pub mod title;
pub mod transcript;
pub mod unsent;
