use serde::{Deserialize, Serialize};

use crate::{
    bot::model::Bot,
    error::AppError,
    threads::model::line,
    types::{KeyId, MemberId},
};

const NAME_MAX: usize = 80;

/// The desk itself, for whoever sets it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desk {
    pub name: String,
    pub welcome: String,
    pub agents: Vec<Colleague>,
    pub keys: Vec<WidgetKey>,
    /// The assistant that answers first.
    pub bot: Bot,
    /// Where this server is reached, for the line that goes into a web page.
    pub origin: String,
    /// Members who do not answer yet, by name: some of them.
    pub others: Vec<(MemberId, String)>,
}

/// A web page's way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WidgetKey {
    pub id: KeyId,
    pub key: String,
    pub name: String,
    pub origins: Vec<String>,
}

/// Somebody who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Colleague {
    pub member: MemberId,
    pub name: String,
    pub here: bool,
    pub has: i64,
    pub capacity: i32,
    pub me: bool,
}

/// A name of a desk, of a page, or of somebody who answers.
pub fn name(typed: &str) -> Result<String, AppError> {
    line("name", typed, NAME_MAX, "Write a name.", "A name has 80 characters at most.")
}

/// What a desk says first; may be empty.
pub fn welcome(typed: &str) -> Result<String, AppError> {
    if typed.trim().is_empty() {
        return Ok(String::new());
    }
    line("welcome", typed, 500, "", "That is longer than 500 characters.")
}

/// The addresses of pages that may show the widget, as a list that somebody typed: `https://www.example.org`.
pub fn origins(typed: &str) -> Result<Vec<String>, AppError> {
    let mut origins = Vec::new();
    for word in typed.split([',', ' ', '\n', '\r', '\t']).filter(|word| !word.is_empty()) {
        let origin = word.trim_end_matches('/').to_lowercase();
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")).unwrap_or_default();
        let plain = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.:[]".contains(c));
        if !plain || origin.len() > 200 {
            let why = "Write addresses like https://www.example.org, without a path, one below the other.";
            return Err(AppError::invalid("origins", why));
        }
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    if origins.len() > 20 {
        return Err(AppError::invalid("origins", "Name 20 addresses at most."));
    }
    Ok(origins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_addresses_without_a_path_and_none_of_a_policys_own_words() {
        let typed = "https://www.Example.org/ http://localhost:8080\nhttps://www.example.org";
        assert_eq!(origins(typed).unwrap(), ["https://www.example.org", "http://localhost:8080"]);
        assert_eq!(origins(" ").unwrap(), Vec::<String>::new());
        for wrong in [
            "www.example.org",
            "https://",
            "https://a.example/page",
            "https://a.example;script-src",
            "'self'",
            "https://*",
        ] {
            assert!(origins(wrong).is_err(), "{wrong}");
        }
    }
}
