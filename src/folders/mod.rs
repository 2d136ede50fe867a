//! Folders that a person sorts their chats into, each with instructions of its own for whoever answers.
//!
//! Table: `folders`. Only the owner reads and writes them. A thread is in one folder or in none; deleting a folder leaves its
//! threads where they are.

pub mod model;
pub mod page;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
