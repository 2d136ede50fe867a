use serde::{Deserialize, Serialize};

use crate::types::DomainId;

/// A domain in the list of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainRow {
    pub id: DomainId,
    pub domain: String,
    /// What the record has to say.
    pub value: String,
    pub proven: bool,
    /// Seconds since DNS answered last.
    pub checked: Option<i64>,
    /// Days until the proof ends, if the record stays away.
    pub days: Option<i32>,
}

/// A workspace that the caller's address lets them into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainOffer {
    pub id: DomainId,
    pub workspace: String,
    pub domain: String,
}

/// The name of the record that proves a domain.
pub fn record(domain: &str) -> String {
    format!("_moat.{domain}")
}

/// What it has to say.
pub fn value(token: &str) -> String {
    format!("moat-verify={token}")
}
