//! The answerer that needs no network: it looks the question up in the guide, quotes what it finds and links it, and says
//! so when it finds nothing.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::BoxStream};

use super::answerer::{AnswerError, Answerer, Passage, Piece, Turn};
use crate::guide::library::Library;

/// A pace that the eye can follow.
const PACE: Duration = Duration::from_millis(18);

pub struct Embedded {
    guide: Arc<Library>,
    pace: Duration,
}

impl Embedded {
    pub fn new(guide: Arc<Library>) -> Self {
        Self { guide, pace: PACE }
    }

    /// Without the pace, for `moat seed`.
    pub fn at_once(guide: Arc<Library>) -> Self {
        Self { guide, pace: Duration::ZERO }
    }
}

impl Answerer for Embedded {
    fn model(&self) -> &str {
        "embedded"
    }

    fn answer(&self, turn: Turn) -> BoxStream<'static, Result<Piece, AnswerError>> {
        let question = turn.history.last().map(|said| said.text.clone()).unwrap_or_default();
        let text = match &turn.material {
            Some(passages) => quote(passages),
            None => write(&self.guide, &question),
        };
        // The guide says the same every time: what was cut off is the rest of it.
        let text = text.strip_prefix(&turn.begun).unwrap_or(&text);
        let words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
        let pace = self.pace;
        futures::stream::iter(words)
            .then(move |word| async move {
                if !pace.is_zero() {
                    tokio::time::sleep(pace).await;
                }
                Ok(Piece::Text(word))
            })
            .boxed()
    }
}

/// The whole answer from what it is limited to, as plain text. Where it is from stands beside it.
fn quote(passages: &[Passage]) -> String {
    if passages.is_empty() {
        return "I don't know.".to_owned();
    }
    passages.iter().map(|passage| passage.told.as_str()).collect::<Vec<_>>().join("\n\n")
}

/// The whole answer, as Markdown.
fn write(guide: &Library, question: &str) -> String {
    let found = guide.search(question, 2);
    if found.is_empty() {
        return "I don't know. I answer from moat's own guide and found nothing about that there. \
                You can read it yourself: [the guide](/guide). Whoever runs this server can connect a model that knows more."
            .to_owned();
    }
    let mut text = String::from("The guide says:\n");
    for section in found {
        text.push_str(&format!("\n**[{}: {}]({})**\n\n", section.page_title, section.title, section.link()));
        for line in section.quote(question, 3) {
            text.push_str(&format!("> {line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_quotes_the_guide_word_for_word_and_links_the_section() {
        let guide = Library::shipped();
        let answer = write(&guide, "How do I rename a chat?");
        assert!(answer.contains("](/guide/chats#"), "{answer}");
        let pages = guide.pages();
        let quoted: Vec<&str> = answer.lines().filter_map(|l| l.strip_prefix("> ")).collect();
        assert!(!quoted.is_empty());
        for line in quoted {
            assert!(pages.iter().any(|p| p.markdown.replace('\n', " ").contains(line)), "not in the guide: {line}");
        }
    }

    #[test]
    fn what_the_guide_does_not_know_is_not_made_up() {
        let guide = Library::shipped();
        for question in ["What is the capital of Mongolia?", "xyzzy", "", "!!!"] {
            assert!(write(&guide, question).starts_with("I don't know."), "{question}");
        }
    }
}
