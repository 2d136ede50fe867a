//! E-mail domains: how people come into a workspace by the address that they have.
//!
//! Table: `workspace_domains`. Owners name a domain and prove by a DNS record that it is theirs; managers read the list. Whoever has
//! a confirmed address at a proven domain may join as a plain member. Free-mail domains are nobody's own and never in it.

#[cfg(feature = "ssr")]
pub mod check;
pub mod model;
#[cfg(feature = "ssr")]
pub mod named;
pub mod page;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sql;
