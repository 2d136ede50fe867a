use serde::{Deserialize, Serialize};

use crate::{error::AppError, types::FolderId};

/// Folders that somebody can have: all of them stand in a menu.
pub const FOLDERS_MAX: i64 = 100;
const NAME_MAX: usize = 80;
const INSTRUCTIONS_MAX: usize = 8000;

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
    let name = typed.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() {
        return Err(AppError::invalid("name", "Write a name."));
    }
    if name.chars().count() > NAME_MAX {
        return Err(AppError::invalid("name", "A name has 80 characters at most."));
    }
    if name.chars().any(char::is_control) {
        return Err(AppError::invalid("name", "This contains a character that can't be stored."));
    }
    Ok(name)
}

/// Instructions as they were typed; none are fine.
pub fn instructions(typed: &str) -> Result<String, AppError> {
    let text = typed.replace("\r\n", "\n").trim().to_owned();
    if text.chars().count() > INSTRUCTIONS_MAX {
        return Err(AppError::invalid("instructions", "Instructions have 8,000 characters at most."));
    }
    if text.contains('\0') {
        return Err(AppError::invalid("instructions", "This contains a character that can't be stored (NUL)."));
    }
    Ok(text)
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
