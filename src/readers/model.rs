use serde::{Deserialize, Serialize};

use crate::{
    error::AppError,
    types::{MemberRole, ProjectRole, Subject, UserStatus},
};

/// Places of people that are asked for at once: each is a lane of its own.
pub const LOOKS: usize = 50;

/// A page of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadersPage {
    /// What it is called.
    pub name: String,
    /// Those of this page who can see it, and those who would have a reason to.
    pub readers: Vec<Reader>,
    /// How many people all pages are about, of those whom the reader may know; on the first page.
    pub people: Option<i64>,
    /// Whether these are all.
    pub all: bool,
    pub next: Option<String>,
}

/// Somebody who can see it, or should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    pub name: String,
    pub email: String,
    pub me: bool,
    /// What the policies said.
    pub sees: bool,
    /// Sentences; none for whoever should not see it.
    pub why: Vec<String>,
}

/// What is known of somebody in one place: their memberships, since when (a day, in words), and their account's status.
#[derive(Clone, Debug)]
pub struct Standing {
    pub me: bool,
    pub status: UserStatus,
    pub role: Option<(MemberRole, String)>,
    pub in_project: Option<(ProjectRole, String)>,
}

/// Why somebody would see a subject. It decides nothing: it is held against what the policies say.
pub fn why(subject: Subject, standing: &Standing) -> Vec<String> {
    let Standing { me, status, role, in_project } = standing;
    let mut why = Vec::new();
    if subject == Subject::Thread {
        why.extend(me.then(|| "It is your chat.".to_owned()));
    } else {
        let of_workspace = role.as_ref().filter(|(role, _)| role.manages());
        why.extend(of_workspace.map(|(role, since)| format!("{} of the workspace since {since}.", role.called())));
        let of_project = in_project.as_ref().filter(|(role, _)| {
            subject == Subject::Project || matches!(role, ProjectRole::Owner | ProjectRole::Manager)
        });
        why.extend(of_project.map(|(role, since)| format!("{} of the project since {since}.", role.called())));
    }
    if !why.is_empty() && *status != UserStatus::Active {
        why.push(format!("The account: {}.", status.called().to_lowercase()));
    }
    why
}

/// The id of a subject as the database takes it. What is none is nobody's.
pub fn id(subject: Subject, typed: &str) -> Result<String, AppError> {
    match subject {
        Subject::Thread | Subject::Project => typed.parse::<uuid::Uuid>().map(|id| id.to_string()).ok(),
        Subject::Event => typed.parse::<i64>().map(|seq| seq.to_string()).ok(),
    }
    .ok_or(AppError::NotFound)
}
