use serde::{Deserialize, Serialize};

use crate::{error::AppError, threads::model::line, types::ArticleId};

/// Articles of a workspace; the assistant looks through as many.
pub const ARTICLES_MAX: i64 = 500;
const BODY_MAX: usize = 50_000;

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArticleRow {
    pub id: ArticleId,
    pub title: String,
    pub published: bool,
}

/// An article, as whoever writes it has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Article {
    pub id: ArticleId,
    pub title: String,
    /// Markdown.
    pub body: String,
    /// The same as it is read.
    pub html: String,
    pub published: bool,
}

/// The published articles of a desk, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Help {
    pub desk: String,
    pub articles: Vec<ArticleRow>,
}

/// A published article, as customers read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelpArticle {
    pub title: String,
    pub html: String,
}

pub fn title(typed: &str) -> Result<String, AppError> {
    line("title", typed, 120, "Write a title.", "A title has 120 characters at most.")
}

pub fn body(typed: &str) -> Result<String, AppError> {
    let body = typed.replace("\r\n", "\n").replace('\0', "");
    if body.chars().count() > BODY_MAX {
        return Err(AppError::invalid("body", "An article has 50,000 characters at most. Make two of it."));
    }
    Ok(body)
}
