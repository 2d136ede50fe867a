use serde::{Deserialize, Serialize};

use crate::error::AppError;

/// The shortest password, in characters.
pub const PASSWORD_MIN: usize = 10;
/// The longest password, in bytes: hashing longer ones would be somebody else's way to keep us busy.
pub const PASSWORD_MAX: usize = 1024;
const EMAIL_MAX: usize = 254;

/// The signed-in person, as the screens show them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    pub email: String,
}

impl Me {
    /// Two letters that stand for the person until there is a photo.
    pub fn initials(&self) -> String {
        let name = self.email.split('@').next().unwrap_or_default();
        let mut parts = name.split(['.', '_', '-', '+']).filter_map(|part| part.chars().next());
        match (parts.next(), parts.next()) {
            (Some(a), Some(b)) => [a, b].iter().flat_map(|c| c.to_uppercase()).collect(),
            _ => name.chars().take(2).flat_map(char::to_uppercase).collect(),
        }
    }
}

/// The address in the one spelling that is stored and compared: trimmed, lower case.
pub fn email(typed: &str) -> Result<String, AppError> {
    let email = typed.trim().to_lowercase();
    let wrong = || AppError::invalid("email", "This is no e-mail address.");
    let (name, domain) = email.split_once('@').ok_or_else(wrong)?;
    let clean = |part: &str| {
        !part.is_empty() && !part.contains('@') && !part.chars().any(|c| c.is_whitespace() || c.is_control())
    };
    let domain_ok =
        domain.contains('.') && !domain.starts_with('.') && !domain.ends_with('.') && !domain.contains("..");
    if !clean(name)
        || !clean(domain)
        || !domain_ok
        || email.len() > EMAIL_MAX
        || email.bytes().any(|b| b.is_ascii_uppercase())
    {
        return Err(wrong());
    }
    Ok(email)
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
    fn one_spelling_of_an_address_is_stored() {
        assert_eq!(email("  Ada@Example.ORG ").unwrap(), "ada@example.org");
        for wrong in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a b@example.org",
            "ada@example",
            "a@b@example.org",
            "a\0@example.org",
            "ada@.org",
        ] {
            assert!(email(wrong).is_err(), "{wrong:?}");
        }
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
