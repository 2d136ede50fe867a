//! A workspace's desk: what it is called and says first, who answers there, and the web pages that show it.
//!
//! Tables: `desks`, `agents`, `widget_keys`. Every member reads who answers; owners and admins set all of it up. What is said and done
//! at the desk is the room `conversations`.

pub mod model;
pub mod page;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
