use serde::{Deserialize, Serialize};

use crate::types::ClientId;

/// How far ahead an answer may be written, in seconds: 90 days.
pub const LATEST: u32 = 90 * 24 * 3600;

/// What an answer can wait for, besides nothing: seconds, and how the composer calls it.
pub const WAITS: [(&str, &str); 5] = [
    ("3600", "in an hour"),
    ("14400", "in 4 hours"),
    ("86400", "in a day"),
    ("259200", "in 3 days"),
    ("604800", "in a week"),
];

/// An answer that has not left yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Later {
    pub id: ClientId,
    /// Who wrote it.
    pub author: String,
    pub mine: bool,
    pub text: String,
    /// When it leaves, as the reader's clock has it.
    pub at: String,
    /// Seconds until then.
    pub left: i64,
    /// Whether something has been said since it was written: it will not leave then.
    pub stale: bool,
}
