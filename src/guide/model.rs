use serde::{Deserialize, Serialize};

/// A page in the list of pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRow {
    /// The last part of its address.
    pub name: String,
    pub title: String,
    /// Its first line.
    pub lead: String,
}

/// A page to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuidePage {
    pub title: String,
    /// Sanitised HTML.
    pub html: String,
}
