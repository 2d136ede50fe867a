use serde::{Deserialize, Serialize};

use crate::{
    error::AppError,
    threads::model::line,
    types::{Colour, MemberId, MemberRole, PlaceId, ProjectRole, UserStatus},
};

/// Members on a page of their list.
pub const MEMBERS_PAGE: usize = 50;
const NAME_MAX: usize = 80;
const DESCRIPTION_MAX: usize = 2000;

/// One of the places that somebody can act in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub id: PlaceId,
    pub workspace: String,
    pub is: Belonging,
    pub personal: bool,
    /// An owner can still take it back.
    pub deleted: bool,
}

/// How somebody belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Belonging {
    Member(MemberRole),
    /// Of one project, by its name.
    Guest(String, ProjectRole),
}

/// A workspace as its members see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    pub name: String,
    pub description: String,
    /// Whose it is; may be empty.
    pub company: String,
    pub colour: Colour,
    pub personal: bool,
    /// What the caller is in it.
    pub role: MemberRole,
}

/// A line of the list of members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    pub id: MemberId,
    pub name: String,
    pub email: String,
    pub role: MemberRole,
    pub status: UserStatus,
    /// Seconds since they were last seen.
    pub seen: i64,
    /// It is the caller.
    pub me: bool,
}

/// A page of members, and where the next one begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberPage {
    /// How far the workspace's events had come; `None` for guests, who hear of none.
    pub pos: Option<i64>,
    pub rows: Vec<MemberRow>,
    pub next: Option<String>,
}

/// What a list of members is narrowed to and sorted by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub search: String,
    pub role: Option<MemberRole>,
    pub status: Option<UserStatus>,
    pub sort: Sort,
    pub after: Option<String>,
}

/// The orders that a list of members comes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    #[default]
    Name,
    /// Who came last stands first.
    Joined,
    /// Who was here last stands first.
    Seen,
}

impl Sort {
    pub const ALL: [Self; 3] = [Self::Name, Self::Joined, Self::Seen];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Joined => "joined",
            Self::Seen => "seen",
        }
    }
}

impl Wanted {
    /// Of what an address or a program asks for, by name. What is not understood is passed over.
    pub fn of(asked: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name| asked(name).unwrap_or_default();
        Self {
            search: text("q").trim().replace('\0', ""),
            role: MEMBER_ROLES.into_iter().find(|r| r.as_str() == text("role")),
            status: STATUSES.into_iter().find(|s| s.as_str() == text("status")),
            sort: Sort::ALL.into_iter().find(|s| s.as_str() == text("sort")).unwrap_or_default(),
            after: asked("after").filter(|after| !after.is_empty()),
        }
    }

    /// What asks for the same list, by name.
    pub fn fields(&self) -> [(&'static str, String); 4] {
        [
            ("q", self.search.clone()),
            ("role", self.role.map_or("", MemberRole::as_str).to_owned()),
            ("status", self.status.map_or("", UserStatus::as_str).to_owned()),
            ("sort", self.sort.as_str().to_owned()),
        ]
    }
}

pub const MEMBER_ROLES: [MemberRole; 3] = [MemberRole::Owner, MemberRole::Admin, MemberRole::ProjectCreator];
/// What a member can be: who is invited or waits has no row yet.
pub const STATUSES: [UserStatus; 4] =
    [UserStatus::Active, UserStatus::Inactive, UserStatus::Banned, UserStatus::Archived];

impl MemberRole {
    /// What it is called on screens.
    pub const fn called(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Admin => "Admin",
            Self::ProjectCreator => "Member",
        }
    }

    /// Whether it looks after the workspace: its name, its people, all of its projects.
    pub const fn manages(self) -> bool {
        matches!(self, Self::Owner | Self::Admin)
    }

    /// Whether somebody with this role may make a `was` into a `becomes`, or remove them (`None`). The database decides; this
    /// spares people buttons that would be refused.
    pub fn may(self, was: Self, becomes: Option<Self>) -> bool {
        let owners = was == Self::Owner || becomes == Some(Self::Owner);
        self.manages() && (self == Self::Owner || !owners)
    }
}

impl UserStatus {
    pub const fn called(self) -> &'static str {
        match self {
            Self::Invited => "Invited",
            Self::Waitlist => "On the waiting list",
            Self::Active => "Active",
            Self::Inactive => "Inactive",
            Self::Banned => "Banned",
            Self::Archived => "Closed",
        }
    }
}

/// The colours of workspaces, as they are called.
pub const COLOURS: [(Colour, &str); 7] = [
    (Colour::Usual, "Blue"),
    (Colour::Teal, "Teal"),
    (Colour::Green, "Green"),
    (Colour::Orange, "Orange"),
    (Colour::Red, "Red"),
    (Colour::Pink, "Pink"),
    (Colour::Violet, "Violet"),
];

impl Belonging {
    pub fn called(&self) -> String {
        match self {
            Self::Member(role) => role.called().to_owned(),
            Self::Guest(project, role) => format!("{} of {project}", role.called()),
        }
    }
}

impl Place {
    /// Where its pages begin.
    pub fn href(&self) -> String {
        match self.is {
            Belonging::Member(_) => format!("/w/{}", self.id),
            Belonging::Guest(..) => format!("/p/{}", self.id),
        }
    }
}

/// Where the next page of a list begins: what its last line is sorted by, and its id.
pub fn cursor(key: &str, id: impl std::fmt::Display) -> String {
    format!("{key}~{id}")
}

/// The two parts of a cursor.
pub fn place_of<Id: std::str::FromStr>(after: Option<&str>) -> Result<(Option<String>, Option<Id>), AppError> {
    let Some(after) = after else { return Ok((None, None)) };
    if after.contains('\0') {
        return Err(bad_cursor());
    }
    match after.rsplit_once('~').map(|(key, id)| (key.to_owned(), id.parse())) {
        Some((key, Ok(id))) => Ok((Some(key), Some(id))),
        _ => Err(bad_cursor()),
    }
}

pub fn bad_cursor() -> AppError {
    AppError::invalid("after", "This page is not known. Begin at the first one.")
}

/// A workspace's name that can be stored.
pub fn name(typed: &str) -> Result<String, AppError> {
    line("name", typed, NAME_MAX, "Write a name.", "A name has 80 characters at most.")
}

/// The name of the company that a workspace is of; may be empty.
pub fn company(typed: &str) -> Result<String, AppError> {
    let why = "A company's name has 80 characters at most.";
    if typed.trim().is_empty() { Ok(String::new()) } else { line("company", typed, NAME_MAX, why, why) }
}

/// What a workspace or a project is for, in some sentences.
pub fn description(typed: &str) -> Result<String, AppError> {
    let text = typed.trim().replace("\r\n", "\n");
    if text.contains('\0') || text.chars().count() > DESCRIPTION_MAX {
        return Err(AppError::invalid("description", "A description has 2,000 characters at most."));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_made_and_unmade_by_owners_alone() {
        use MemberRole::{Admin, Owner, ProjectCreator as Member};
        assert!(Owner.may(Owner, Some(Admin)) && Owner.may(Member, Some(Owner)) && Owner.may(Owner, None));
        assert!(Admin.may(Member, Some(Admin)) && Admin.may(Admin, None) && Admin.may(Member, None));
        assert!(!Admin.may(Owner, Some(Member)) && !Admin.may(Member, Some(Owner)) && !Admin.may(Owner, None));
        assert!(!Member.may(Member, Some(Admin)) && !Member.may(Member, None));
    }

    #[test]
    fn an_address_says_what_list_is_wanted_and_the_next_page_says_the_same() {
        let of = |fields: &[(&str, &str)]| {
            Wanted::of(|name| fields.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        let wanted =
            of(&[("q", " ada & co"), ("role", "admin"), ("status", "banned"), ("sort", "seen"), ("what", "ever")]);
        assert_eq!((wanted.search.as_str(), wanted.role), ("ada & co", Some(MemberRole::Admin)));
        assert_eq!((wanted.status, wanted.sort), (Some(UserStatus::Banned), Sort::Seen));
        let fields = wanted.fields();
        assert_eq!(Wanted::of(|name| fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone())), wanted);
        assert_eq!(of(&[("role", "king"), ("sort", "height"), ("status", "")]), Wanted::default());
    }
}
