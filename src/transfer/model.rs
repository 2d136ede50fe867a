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
    /// Conversations that are new, and the messages in them.
    pub threads: i32,
    pub messages: i32,
    /// Conversations that were there already and were brought up to date, and the messages that they got.
    pub grown: i32,
    pub appended: i32,
    /// Conversations that were there already, with all that the file has of them.
    pub known: i32,
    pub at: String,
}

impl ImportRow {
    /// What came of it, in words.
    pub fn sum(&self) -> String {
        let counted = |n: i32, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        let messages = |n: i32| counted(n, "message", "messages");
        let threads = counted(self.threads, "new chat", "new chats");
        let grown = if self.grown == 0 { String::new() } else { format!(" with {}", messages(self.appended)) };
        let new = if self.threads == 0 { String::new() } else { format!(" with {}", messages(self.messages)) };
        format!("{threads}{new}, {} brought up to date{grown}, {} already here.", self.grown, self.known)
    }
}

// The format of our own JSON exports, version 1:
// `{"format": "moat", "version": 1, "folders": [a `Kept`, …], "threads": [a `Talk`, …]}`, in this order.
//
// What was added since its first form may be missing, and whoever does not know it reads the rest as before; that is why the
// version has stayed. The next one is for a file that would be misread.
//
// Left out on purpose: marks that are about a moment (unread, deleted and not yet swept), drafts, which the server does not
// have, whether a title was written or made, why an answer failed and what it cost, which are this server's own affairs, and
// temporary chats. One of those that is exported by itself comes back as a chat that stays.

/// A folder of an export of ours. Empty ones are in the file as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instructions: String,
}

/// A conversation of an export of ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Talk {
    pub id: String,
    pub title: String,
    /// Seconds since 1970.
    pub created_at: f64,
    pub active_at: f64,
    /// The name of one of the file's folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
    /// The model that was chosen for it; empty: the usual one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instructions: String,
    /// The last message of the branch that is shown; the newest one when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// Parents before their children; all branches. The last field: an export writes the others first, and these as it reads
    /// them.
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
    /// Which model wrote an answer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// What its owner thinks of an answer; true: good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumb: Option<bool>,
    /// The end of the branch through this message, where its reader left it for another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}
