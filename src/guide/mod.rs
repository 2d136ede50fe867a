//! The guide: the product's help, shipped in the binary, read by people and by the embedded answerer.
//!
//! No tables. Anybody may read it.

#[cfg(feature = "ssr")]
pub mod library;
pub mod model;
pub mod page;
pub mod server_fns;
#[cfg(feature = "ssr")]
pub mod sheet;
