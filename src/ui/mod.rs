//! Widgets that know no noun of the product.

pub mod button;
pub mod form;
pub mod icon;
pub mod keys;
pub mod notice;
pub mod raw_text;
pub mod theme;
