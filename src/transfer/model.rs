use serde::{Deserialize, Serialize};

use crate::types::Role;

/// Bytes of the largest file that is imported.
pub const FILE_MAX: usize = 100 * 1024 * 1024;

/// What has become of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRow {
    pub name: String,
    /// `running`, `done`, `failed`, or `interrupted` when nothing has happened for a minute.
    pub status: String,
    /// What went wrong, or was left out.
    pub why: String,
    pub threads: i32,
    /// Conversations that were there already.
    pub known: i32,
    pub messages: i32,
    pub at: String,
}

/// A conversation of an export of ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Talk {
    pub id: String,
    pub title: String,
    /// Seconds since 1970.
    pub created_at: f64,
    pub active_at: f64,
    /// Parents before their children; all branches.
    pub messages: Vec<Said>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    pub id: String,
    pub parent: Option<String>,
    pub role: Role,
    pub text: String,
    pub at: f64,
    /// How an answer ended that is not whole: `stopped`, `failed` or `interrupted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Emptied by its owner; it keeps its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}
