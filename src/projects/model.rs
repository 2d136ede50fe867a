use serde::{Deserialize, Serialize};

use crate::{
    error::AppError,
    threads::model::line,
    types::{MemberId, ProjectId, ProjectRole},
};

pub use crate::workspaces::model::description;

/// Projects on a page of their list.
pub const PROJECTS_PAGE: usize = 50;
/// People of a project who are shown.
pub const PEOPLE_MAX: i64 = 500;
const NAME_MAX: usize = 80;

pub const PROJECT_ROLES: [ProjectRole; 5] = [
    ProjectRole::Owner,
    ProjectRole::Manager,
    ProjectRole::Contributor,
    ProjectRole::Viewer,
    ProjectRole::CustomerSigner,
];

/// A line of the list of projects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectRow {
    pub id: ProjectId,
    pub name: String,
    pub archived: bool,
}

/// A page of projects, and where the next one begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectPage {
    pub rows: Vec<ProjectRow>,
    pub next: Option<String>,
}

/// A project on its own page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    pub id: ProjectId,
    pub name: String,
    pub description: String,
    pub archived: bool,
    /// Whether the caller looks after it.
    pub managed: bool,
    /// Whether they may make and unmake its owners.
    pub owned: bool,
}

/// Somebody in a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRow {
    pub id: MemberId,
    pub name: String,
    pub email: String,
    pub role: ProjectRole,
    pub me: bool,
}

impl ProjectRole {
    /// What it is called on screens.
    pub const fn called(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Manager => "Manager",
            Self::Contributor => "Contributor",
            Self::Viewer => "Viewer",
            Self::CustomerSigner => "Customer who signs",
        }
    }
}

/// A project's name that can be stored.
pub fn name(typed: &str) -> Result<String, AppError> {
    line("name", typed, NAME_MAX, "Write a name.", "A name has 80 characters at most.")
}
