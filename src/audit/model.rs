use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    conversations::model::PRIORITIES,
    targets::model::{DAYS, shown},
    types::{MemberRole, ProjectId, ProjectRole, UserStatus},
    workspaces::model::MEMBER_ROLES,
};

/// Events on a page.
pub const EVENTS_PAGE: usize = 50;

/// What can be in the trail: what it is called there, and on screens.
pub const NOUNS: [(&str, &str); 21] = [
    ("member", "Members"),
    ("invitation", "Invitations"),
    ("offer", "Projects in invitations"),
    ("project", "Projects"),
    ("person", "People of projects"),
    ("domain", "E-mail domains"),
    ("workspace", "Workspace"),
    ("desk", "Desk"),
    ("agent", "Agents"),
    ("widget", "Web pages of the desk"),
    ("article", "Help articles"),
    ("relay", "Programs of the desk"),
    ("webhook", "Addresses for answers"),
    ("reply", "Saved replies"),
    ("visitor", "Blocked customers"),
    ("customer", "Erased customers"),
    ("file", "Files of conversations"),
    ("security", "Denials"),
    ("session", "Sign-ins"),
    ("account", "Account"),
    ("password", "Password"),
];

/// An event as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub seq: i64,
    /// In the reader's time zone.
    pub time: String,
    pub kind: String,
    pub by: Actor,
    /// Whom it is about, where that is somebody else.
    pub person: Option<Who>,
    pub project: Option<(ProjectId, String)>,
    pub old: Map<String, Value>,
    pub new: Map<String, Value>,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    Person(Who),
    /// Whoever runs the server.
    Operator,
    /// The server by itself.
    Server,
    /// Somebody by a way around the server.
    Database,
    /// Somebody who is not in this workspace.
    Stranger,
}

/// Who somebody was at that time; empty when they have been erased since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    pub email: String,
    pub name: String,
    #[serde(default)]
    pub ip: String,
    #[serde(default)]
    pub user_agent: String,
}

/// A page of the trail, the newest first, and before which event the next one begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPage {
    pub events: Vec<Event>,
    pub next: Option<i64>,
}

/// What a trail is narrowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The address of whoever did it, or to whom it was done.
    #[serde(default)]
    pub person: String,
    /// One of [`NOUNS`], or empty.
    #[serde(default)]
    pub about: String,
    /// Days in the reader's time zone, `2026-01-31`; empty for no end.
    #[serde(default)]
    pub from: String,
    #[serde(default)]
    pub to: String,
    #[serde(default)]
    pub project: Option<ProjectId>,
    #[serde(default)]
    pub before: Option<i64>,
}

impl Wanted {
    /// Of what an address asks for, by name. What is not understood is passed over.
    pub fn of(asked: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name| asked(name).unwrap_or_default().trim().replace('\0', "");
        let about = text("about");
        Self {
            person: text("person").to_lowercase(),
            about: if NOUNS.iter().any(|(noun, _)| *noun == about) { about } else { String::new() },
            from: text("from"),
            to: text("to"),
            project: text("project").parse().ok(),
            before: text("before").parse().ok(),
        }
    }

    /// What asks for the same trail, by name.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("person", self.person.clone()),
            ("about", self.about.clone()),
            ("from", self.from.clone()),
            ("to", self.to.clone()),
        ];
        fields.extend(self.project.map(|project| ("project", project.to_string())));
        fields
    }
}

impl Who {
    pub fn called(&self) -> String {
        match (self.name.as_str(), self.email.as_str()) {
            ("", "") => "somebody who was erased".to_owned(),
            ("", email) => email.to_owned(),
            (name, _) => name.to_owned(),
        }
    }
}

impl Actor {
    pub fn called(&self) -> String {
        match self {
            Self::Person(who) => {
                let called = who.called();
                if who.email.is_empty() { called.replacen('s', "S", 1) } else { called }
            }
            Self::Operator => "Whoever runs this server".to_owned(),
            Self::Server => "The server".to_owned(),
            Self::Database => "Somebody in the database itself".to_owned(),
            Self::Stranger => "Somebody who is not in this workspace".to_owned(),
        }
    }
}

impl Event {
    /// What happened, in words that go on after the name of whoever did it.
    pub fn said(&self) -> String {
        let whom = self.person.as_ref().map(Who::called);
        let (own, whom) = (whom.is_none(), whom.unwrap_or_default());
        let project =
            self.project.as_ref().map(|(_, name)| name.as_str()).filter(|name| !name.is_empty()).unwrap_or("a project");
        let has = |field: &str| self.old.contains_key(field) || self.new.contains_key(field);
        let role = || self.field("role").2;
        match (self.kind.as_str(), own) {
            ("workspace.added", _) => "made this workspace".to_owned(),
            ("workspace.changed", _) if self.new.contains_key("deleted_at") => "deleted this workspace".to_owned(),
            ("workspace.changed", _) if has("deleted_at") => "took this workspace back".to_owned(),
            ("workspace.changed", _) => "changed the workspace".to_owned(),
            ("member.added", true) => "joined".to_owned(),
            ("member.added", false) => format!("added {whom}"),
            ("member.removed", true) => "left".to_owned(),
            ("member.removed", false) => format!("removed {whom}"),
            ("member.changed", own) => {
                let whom = if own { "themselves".to_owned() } else { whom };
                match (has("role"), has("status")) {
                    (true, _) => format!("made {whom} {}", article(&role())),
                    (_, true) => format!("changed the account of {whom}: {}", self.field("status").2.to_lowercase()),
                    _ => format!("changed {whom}"),
                }
            }
            ("invitation.added", _) => format!("invited {whom}"),
            ("invitation.changed", true) if has("accepted_at") => "accepted an invitation".to_owned(),
            ("invitation.changed", _) if has("role") => format!("changed the invitation of {whom}"),
            ("invitation.changed", _) => format!("renewed the invitation of {whom}"),
            ("invitation.removed", _) => format!("took back the invitation of {whom}"),
            ("offer.added", _) => format!("invited {whom} to {project}"),
            ("project.added", _) => format!("made the project {project}"),
            ("project.changed", _) if self.new.contains_key("archived_at") => format!("archived {project}"),
            ("project.changed", _) if has("archived_at") => format!("took {project} out of the archive"),
            ("project.changed", _) => format!("changed the project {project}"),
            ("project.removed", _) => format!("deleted the project {project}"),
            ("person.added", true) => format!("came into {project}"),
            ("person.added", false) => format!("added {whom} to {project}"),
            ("person.removed", true) => format!("left {project}"),
            ("person.removed", false) => format!("removed {whom} from {project}"),
            ("person.changed", own) if has("role") => {
                let whom = if own { "themselves".to_owned() } else { whom };
                format!("made {whom} {} of {project}", article(&role()))
            }
            ("person.changed", _) => {
                format!("changed the account of {whom}: {}", self.field("status").2.to_lowercase())
            }
            ("domain.added", _) => format!("added the domain {}", self.field("domain").2),
            ("domain.changed", _) if self.new.contains_key("proven") => {
                format!("found the domain {} proven", self.field("proven").2)
            }
            ("domain.changed", _) => format!("ended the proof of the domain {}", self.field("proven").1),
            ("domain.removed", _) => format!("removed the domain {}", self.field("domain").1),
            ("desk.added", _) => "opened the desk".to_owned(),
            ("desk.changed", _) => {
                let any =
                    |fields: &[&str]| fields.iter().any(|f| self.new.contains_key(*f) || self.old.contains_key(*f));
                if any(&["reply_minutes", "resolve_minutes", "zone", "hours", "undo_seconds", "deals"]) {
                    "changed the desk's targets and hours".to_owned()
                } else if any(&["bot", "bot_name", "bot_words"]) {
                    "changed the desk's assistant".to_owned()
                } else {
                    "changed what customers read at the desk".to_owned()
                }
            }
            ("reply.added", _) => format!("kept the saved reply {}", self.field("name").2),
            ("reply.changed", _) => "changed a saved reply".to_owned(),
            ("reply.removed", _) => format!("removed the saved reply {}", self.field("name").1),
            ("agent.added", true) => "became an agent of the desk".to_owned(),
            ("agent.added", false) => format!("made {whom} an agent of the desk"),
            ("agent.changed", true) => "changed how they answer at the desk".to_owned(),
            ("agent.changed", false) => format!("changed how {whom} answers at the desk"),
            ("agent.removed", true) => "is no agent of the desk any more".to_owned(),
            ("agent.removed", false) => format!("took {whom} off the desk"),
            ("relay.added", _) => format!("made a secret for the program {}", self.field("name").2),
            ("relay.removed", _) => format!("removed the secret of the program {}", self.field("name").1),
            ("webhook.added", _) => format!("had answers sent to {}", self.field("url").2),
            ("webhook.removed", _) => format!("has answers sent to {} no more", self.field("url").1),
            ("article.added", _) => format!("began the help article {}", self.field("title").2),
            ("article.changed", _) if self.new.get("published") == Some(&Value::Bool(true)) => {
                "published a help article".to_owned()
            }
            ("article.changed", _) if self.new.contains_key("published") => {
                "took a help article back from customers".to_owned()
            }
            ("article.changed", _) => "gave a help article another title".to_owned(),
            ("article.removed", _) => format!("removed the help article {}", self.field("title").1),
            ("widget.added", _) => format!("added the web page {} to the desk", self.field("name").2),
            ("widget.changed", _) => "changed a web page of the desk".to_owned(),
            ("widget.removed", _) => format!("removed the web page {} from the desk", self.field("name").1),
            ("visitor.changed", _) if self.new.contains_key("blocked_at") => "blocked a customer".to_owned(),
            ("file.added", _) => "took all conversations along as a file".to_owned(),
            ("customer.removed", _) => "erased a customer".to_owned(),
            ("visitor.changed", _) => "let a customer write again".to_owned(),
            ("session.added", _) => "signed in".to_owned(),
            ("session.changed", _) => "ended a session".to_owned(),
            ("account.changed", _) => "changed the account".to_owned(),
            ("password.added" | "password.changed", _) => "set a password".to_owned(),
            ("password.removed", _) => "removed the password".to_owned(),
            ("security.denied", _) => {
                let times = self.new.get("times").and_then(Value::as_i64).unwrap_or(1);
                let what = match self.new.get("what").and_then(Value::as_str) {
                    Some("message") => "a message",
                    Some("folder") => "a folder",
                    Some("project") => "a project",
                    Some("member") => "a membership",
                    Some("person") => "a place in a project",
                    Some("invitation") => "an invitation",
                    Some("conversation") => "a conversation",
                    _ => "a chat",
                };
                let times = if times > 1 { format!(" {times} times") } else { String::new() };
                format!("asked{times} for {what} that is not theirs to see, and was told that there is none")
            }
            (kind, _) => kind.to_owned(),
        }
    }

    /// What it changed: each field with what it was and what it is.
    pub fn fields(&self) -> Vec<(String, String, String)> {
        let mut names: Vec<&String> = self.old.keys().chain(self.new.keys()).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| self.field(name)).collect()
    }

    fn field(&self, name: &str) -> (String, String, String) {
        let shown = |map: &Map<String, Value>| map.get(name).map(|value| word(name, value)).unwrap_or_default();
        let called = match name {
            "password_phc" => "password".to_owned(),
            "token_hash" => "link".to_owned(),
            "superuser" => "super user".to_owned(),
            "id" => "its id".to_owned(),
            _ => name.strip_suffix("_at").unwrap_or(name).replace('_', " "),
        };
        (called, shown(&self.old), shown(&self.new))
    }
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['A', 'E', 'I', 'O', 'U']);
    format!("{} {}", if vowel { "an" } else { "a" }, noun.to_lowercase())
}

/// A value as a person reads it.
fn word(field: &str, value: &Value) -> String {
    let text = match value {
        Value::String(text) => text,
        Value::Bool(yes) => return if *yes { "yes" } else { "no" }.to_owned(),
        Value::Null => return String::new(),
        Value::Number(number) => return counted(field, number.as_i64()).unwrap_or_else(|| number.to_string()),
        Value::Array(all) if field == "hours" => return week(all),
        Value::Array(all) if all.is_empty() && field == "origins" => return "any page".to_owned(),
        Value::Array(all) if all.is_empty() => return "none".to_owned(),
        Value::Array(all) => return all.iter().map(|one| word(field, one)).collect::<Vec<_>>().join(", "),
        Value::Object(_) => return value.to_string(),
    };
    let known = match field {
        "role" => MEMBER_ROLES.into_iter().find(|r| r.as_str() == text).map(MemberRole::called).or_else(|| {
            crate::projects::model::PROJECT_ROLES.into_iter().find(|r| r.as_str() == text).map(ProjectRole::called)
        }),
        "status" => crate::accounts::model::STATUSES.into_iter().find(|s| s.as_str() == text).map(UserStatus::called),
        _ => None,
    };
    let time = || text.split_once('T').filter(|_| field.ends_with("_at"));
    match (known, time()) {
        (Some(known), _) => known.to_owned(),
        (None, Some((day, time))) => format!("{day} {} UTC", time.get(..5).unwrap_or(time)),
        (None, None) => text.clone(),
    }
}

/// A number that stands for something else.
fn counted(field: &str, number: Option<i64>) -> Option<String> {
    let number = number?;
    match field {
        "priority" => PRIORITIES.get(usize::try_from(number).ok()?).map(|name| (*name).to_owned()),
        "undo_seconds" if number == 0 => Some("none".to_owned()),
        "undo_seconds" => Some(format!("{number} s")),
        _ if field.ends_with("_minutes") && number % 60 == 0 => Some(format!("{} h", number / 60)),
        _ if field.ends_with("_minutes") => Some(format!("{number} min")),
        _ => None,
    }
}

/// A desk's hours: the days on which it is open, and from when to when.
fn week(minutes: &[Value]) -> String {
    let minutes: Vec<i32> = minutes.iter().filter_map(|n| i32::try_from(n.as_i64()?).ok()).collect();
    if minutes.is_empty() {
        return "always".to_owned();
    }
    let days = DAYS.iter().enumerate().map(|(n, day)| (day, shown(&minutes, n)));
    let open = days.filter(|(_, (from, _))| !from.is_empty());
    open.map(|(day, (from, until))| format!("{day} {from} to {until}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::word;

    #[test]
    fn what_stands_for_something_else_is_read_as_what_it_stands_for() {
        let mut hours = vec![0; 14];
        hours[0..4].copy_from_slice(&[540, 1020, 600, 1440]);
        for (field, value, read) in [
            ("priority", json!(3), "Urgent"),
            ("priority", json!(9), "9"),
            ("reply_minutes", json!(240), "4 h"),
            ("reply_minutes", json!(90), "90 min"),
            ("origins", json!([]), "any page"),
            ("undo_seconds", json!(0), "none"),
            ("undo_seconds", json!(10), "10 s"),
            ("deals", json!(true), "yes"),
            ("capacity", json!(5), "5"),
            ("hours", json!([]), "always"),
            ("hours", json!(hours), "Monday 09:00 to 17:00, Tuesday 10:00 to 00:00"),
            ("labels", json!(["late", "parcel"]), "late, parcel"),
            ("labels", json!([]), "none"),
            ("name", json!("Vi"), "Vi"),
        ] {
            assert_eq!(word(field, &value), read, "{field}");
        }
    }
}
