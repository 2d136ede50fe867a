use serde::{Deserialize, Serialize};

use crate::types::{InvitationId, MemberRole, PlaceId};

/// Addresses in one list.
pub const LIST_MAX: usize = 100;
/// Invitations that are shown.
pub const OPEN_MAX: i64 = 500;

/// An invitation that nobody has accepted yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationRow {
    pub id: InvitationId,
    pub email: String,
    /// `None`: a guest, of projects alone.
    pub role: Option<MemberRole>,
    pub projects: Vec<String>,
    /// Days that its link still works; `None`: it has run out.
    pub days: Option<i32>,
}

/// What came of inviting one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    pub email: String,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A mail is on its way.
    Mailed,
    /// This server sends no mail: the link, which is shown this once.
    Link(String),
    /// They are in already.
    Member,
    /// They are invited already.
    Open,
    /// It was invited too often of late.
    Later,
    /// It is no address.
    Wrong,
}

impl Outcome {
    pub fn called(&self) -> &'static str {
        match self {
            Self::Mailed => "A mail is on its way.",
            Self::Link(_) => "This server sends no mail. Give them this link; it is shown this once:",
            Self::Member => "Is in this workspace already.",
            Self::Open => "Is invited already. Below you can send the invitation again.",
            Self::Later => "Was invited too often of late. Try again in some minutes.",
            Self::Wrong => "This is no e-mail address.",
        }
    }
}

/// An invitation as the page of its link shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub workspace: String,
    pub projects: Vec<String>,
    pub role: Option<MemberRole>,
    /// `None`: whoever invited has left.
    pub inviter: Option<String>,
    pub email: String,
    pub state: OfferState,
    pub reader: Reader,
    /// Where the reader is already.
    pub place: Option<PlaceId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfferState {
    Good,
    Used,
    Expired,
}

/// Who looks at the page of an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reader {
    /// Signed in with the invited address.
    Invited,
    /// Signed in with another one.
    Other(String),
    /// Signed out, while the address has an account.
    HasAccount,
    /// Signed out, and nobody has that address.
    New,
}

/// The addresses of a list that was typed or pasted: each once, in its order.
pub fn addresses(typed: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for word in typed.split(|c: char| c.is_whitespace() || [',', ';'].contains(&c)) {
        // As mail programs copy them: Ada <ada@example.org>
        let word = word.trim_matches(['<', '>', '"']).to_lowercase();
        if (word.contains('@') || !typed.contains('<')) && !word.is_empty() && !all.contains(&word) {
            all.push(word);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_list_is_read_as_mail_programs_write_it() {
        let list = "Ada Lovelace <ada@example.org>, bob@example.org;\nCY@example.org bob@example.org";
        assert_eq!(addresses(list), ["ada@example.org", "bob@example.org", "cy@example.org"]);
        assert_eq!(addresses(" ada  no-address "), ["ada", "no-address"]);
        assert!(addresses(" ,;\n").is_empty());
    }
}
