use serde::{Deserialize, Serialize};

use super::zones;
use crate::{
    error::AppError,
    types::{LinkState, Purpose, SessionId, UserId, UserStatus},
};

/// The shortest password, in characters.
pub const PASSWORD_MIN: usize = 10;
/// The longest password, in bytes: hashing longer ones would be somebody else's way to keep us busy.
pub const PASSWORD_MAX: usize = 1024;

/// The signed-in person, as the screens show them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    /// Their address, or the number of somebody who came by telephone.
    pub email: String,
    /// What they want to be called; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl Me {
    /// Two letters that stand for the person until there is a photo.
    pub fn initials(&self) -> String {
        let name = if self.name.is_empty() { self.email.split('@').next().unwrap_or_default() } else { &self.name };
        let mut parts = name.split(['.', '_', '-', '+', ' ']).filter_map(|part| part.chars().next());
        match (parts.next(), parts.next()) {
            (Some(a), Some(b)) => [a, b].iter().flat_map(|c| c.to_uppercase()).collect(),
            _ => name.chars().take(2).flat_map(char::to_uppercase).collect(),
        }
    }
}

/// A token for a program, as OAuth calls its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub access_token: String,
    pub token_type: String,
    /// In seconds.
    pub expires_in: i64,
}

/// What this server offers for getting in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ways {
    /// It sends mail: links and new passwords.
    pub mail: bool,
    /// It sends text messages.
    pub phone: bool,
    /// What it sends lands in the developer's outbox, which whoever asks may read.
    pub outbox: bool,
}

/// A mail or a text message, before it has an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    pub subject: String,
    pub text: String,
}

/// An account as a super user finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    pub id: UserId,
    pub email: String,
    pub name: String,
    pub status: UserStatus,
    pub superuser: bool,
}

/// What an account can be.
pub const STATUSES: [UserStatus; 6] = [
    UserStatus::Invited,
    UserStatus::Waitlist,
    UserStatus::Active,
    UserStatus::Inactive,
    UserStatus::Banned,
    UserStatus::Archived,
];

/// One in the developer's outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    pub to: String,
    pub subject: String,
    pub text: String,
}

/// What a mailed link does, for the page that it opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkView {
    pub purpose: Purpose,
    pub state: LinkState,
    pub address: String,
    /// Using it is the first proof of the address: everything else that leads into the account ends.
    pub first: bool,
    /// Whether the reader may press its button, or has to be somebody else first.
    pub reader: Reader,
}

/// Who looks at a mailed link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reader {
    /// Somebody who may use it.
    Welcome,
    /// Nobody, though the link is for an account that is signed in.
    SignedOut,
    /// Signed in to an account that the link is not for.
    Other,
}

/// The caller's account as its pages show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub email: Option<String>,
    pub confirmed: bool,
    pub phone: Option<String>,
    pub name: String,
    pub language: String,
    pub time_zone: Option<String>,
    pub has_password: bool,
}

impl Account {
    /// What somebody types to say that they mean this account.
    pub fn typed_name(&self) -> &str {
        self.email.as_deref().or(self.phone.as_deref()).unwrap_or("erase")
    }
}

/// A session in the list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    pub id: SessionId,
    /// As the browser calls itself.
    pub device: String,
    pub ip: String,
    /// Seconds since it was last used.
    pub ago: i64,
    /// When that was, on the caller's own clock.
    pub at: String,
    /// The one that asks.
    pub here: bool,
}

/// The languages there are: what is stored, and their own names.
pub const LANGUAGES: [(&str, &str); 1] = [("en", "English")];
const NAME_MAX: usize = 80;

/// A profile as it was typed, made ready for storing. No time zone is no choice.
pub fn profile<'a>(name: &'a str, language: &str, zone: &'a str) -> Result<(&'a str, Option<&'a str>), AppError> {
    let name = name.trim();
    if name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(AppError::invalid("name", "Use at most 80 characters."));
    }
    if !LANGUAGES.iter().any(|(known, _)| *known == language) {
        return Err(AppError::invalid("language", "Choose a language of the list."));
    }
    if !zone.is_empty() && !zones::is_known(zone) {
        return Err(AppError::invalid("time_zone", "Choose a time zone of the list."));
    }
    Ok((name, (!zone.is_empty()).then_some(zone)))
}

/// A telephone number in E.164, the one spelling that is stored: a plus, the country, up to 15 digits.
pub fn phone(typed: &str) -> Result<String, AppError> {
    let bare: String = typed.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.' | '/' | '\u{a0}')).collect();
    let bare = bare.strip_prefix("00").map_or(bare.clone(), |rest| format!("+{rest}"));
    let digits = bare.strip_prefix('+').unwrap_or_default();
    if !(7..=15).contains(&digits.len()) || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AppError::invalid("number", "Write the number with its country in front: +49 30 1234567."));
    }
    Ok(bare)
}

/// The digits of a code as it was typed.
pub fn code(typed: &str) -> Result<String, AppError> {
    let digits: String = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AppError::invalid("code", "The code has 6 digits."));
    }
    Ok(digits)
}

/// A browser by its own words: which, and on what. Only to be recognised by its owner, so a guess is enough.
pub fn device(agent: &str) -> String {
    let first =
        |known: &[(&str, &'static str)]| known.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    // Each pretends to be those below it.
    let browser = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("CrOS", "ChromeOS"),
        ("Mac OS X", "Mac"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) if agent.is_empty() => "Unknown device".to_owned(),
        (None, None) => agent.chars().take(40).collect(),
    }
}

/// How long ago, in the largest unit that fits.
pub fn ago(seconds: i64) -> String {
    let of = |n: i64, unit: &str| format!("{n} {unit}{} ago", if n == 1 { "" } else { "s" });
    match seconds {
        ..60 => "just now".to_owned(),
        60..3600 => of(seconds / 60, "minute"),
        3600..86_400 => of(seconds / 3600, "hour"),
        _ => of(seconds / 86_400, "day"),
    }
}

/// What was done, told on the page that one is sent to afterwards: `?done=`, from this list alone.
pub fn done(word: &str) -> Option<&'static str> {
    Some(match word {
        "profile" => "Your profile is saved.",
        "mailed" => "A mail is on its way. Open its link to go on.",
        "confirmed" => "Your address is confirmed.",
        "mine" => {
            "This account is yours alone now. Nobody had confirmed its address before, so its old password, all other \
             sessions and a linked telephone number are gone. Chats that you did not write are from whoever used it before."
        }
        "changed" => "Your address is changed.",
        "password" => "Your password is changed. You are signed out everywhere else.",
        "phone" => "Your telephone number is linked.",
        "no-phone" => "Your telephone number is removed.",
        "revoked" => "The session is ended.",
        "alone" => "All other sessions are ended.",
        "closed" => "Your account is closed. Whoever runs this server can open it again.",
        "erased" => "Your account is erased, with everything in it.",
        _ => return None,
    })
}

/// Whether a new password will do.
pub fn new_password(typed: &str) -> Result<(), AppError> {
    if typed.chars().count() < PASSWORD_MIN {
        return Err(AppError::invalid("password", "Use at least 10 characters."));
    }
    if typed.len() > PASSWORD_MAX {
        return Err(AppError::invalid("password", "This is longer than a password may be."));
    }
    Ok(())
}

/// Where to go after signing in: a path of ours, and nothing that a browser would take for another site.
pub fn next_page(wanted: Option<&str>) -> &str {
    match wanted {
        Some(path)
            if path.starts_with('/')
                && !path.starts_with("//")
                && !path.contains('\\')
                && path.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            path
        }
        _ => "/chat",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_of_a_number_is_stored() {
        for typed in ["+49 30 1234567", "0049 (30) 123-4567", " +49.30.1234567 "] {
            assert_eq!(phone(typed).unwrap(), "+49301234567", "{typed}");
        }
        for wrong in [
            "",
            "+",
            "030 1234567",
            "+0301234567",
            "+49",
            "+1234567890123456",
            "+49 30 12a4567",
            "+49301234567\0",
            "+٤٩٣٠١٢٣٤٥٦٧",
        ] {
            assert!(phone(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(code(" 012 345\n").unwrap(), "012345");
        assert!(code("12345").is_err() && code("1234567").is_err() && code("12345x").is_err());
    }

    #[test]
    fn a_device_is_called_by_what_it_is() {
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
        assert_eq!(device(chrome), "Chrome on Linux");
        assert_eq!(device(&format!("{chrome} Edg/156.0")), "Edge on Linux");
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 (KHTML, like Gecko) Version/18.0 Safari/604";
        assert_eq!(device(phone), "Safari on iPhone");
        assert_eq!((device(""), device("curl/8.0")), ("Unknown device".into(), "curl/8.0".into()));
        assert_eq!([5, 60, 7200, 200_000].map(ago), ["just now", "1 minute ago", "2 hours ago", "2 days ago"]);
    }

    #[test]
    fn nobody_is_sent_to_another_site_after_signing_in() {
        assert_eq!(next_page(Some("/chat/1")), "/chat/1");
        for elsewhere in
            ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb", "/\u{1}", "/a b", "", "chat"]
        {
            assert_eq!(next_page(Some(elsewhere)), "/chat", "{elsewhere:?}");
        }
        assert_eq!(next_page(None), "/chat");
    }

    #[test]
    fn short_and_endless_passwords_are_refused() {
        assert!(new_password("123456789").is_err());
        assert!(new_password("1234567890").is_ok());
        assert!(new_password(&"x".repeat(PASSWORD_MAX + 1)).is_err());
    }
}
