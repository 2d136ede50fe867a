//! By when customers are to be answered, in which hours, how that goes in figures, and all conversations as a file.
//!
//! Columns of `desks` (what owners and admins set) and of `conversations` (what is due next, which a trigger writes where it
//! changes). Every member reads the figures; owners and admins take the file.

#[cfg(feature = "ssr")]
pub mod export;
pub mod model;
pub mod page;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
