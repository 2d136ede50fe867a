use serde::{Deserialize, Serialize};

use crate::{error::AppError, threads::model::line, types::FolderId};

pub use crate::threads::model::instructions;

/// Folders that somebody can have: all of them stand in a menu.
pub const FOLDERS_MAX: i64 = 100;
const NAME_MAX: usize = 80;

/// A folder in a menu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderRow {
    pub id: FolderId,
    pub name: String,
}

/// A folder on its own page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    pub id: FolderId,
    pub name: String,
    pub instructions: String,
}

/// A name that can be stored.
pub fn name(typed: &str) -> Result<String, AppError> {
    line("name", typed, NAME_MAX, "Write a name.", "A name has 80 characters at most.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_folder_is_refused_with_a_reason() {
        assert_eq!(name("  Tax   2026 ").unwrap(), "Tax 2026");
        assert!(name(" ").is_err() && name("a\0b").is_err() && name(&"x".repeat(81)).is_err());
        assert_eq!(instructions(" a\r\nb ").unwrap(), "a\nb");
        assert!(instructions("").is_ok() && instructions("\0").is_err() && instructions(&"x".repeat(8001)).is_err());
    }
}
