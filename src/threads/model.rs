use serde::{Deserialize, Serialize};

use crate::{
    error::AppError,
    folders::model::FolderRow,
    live::model::LiveStart,
    types::{ClientId, FolderId, GenerationId, MessageId, Role, Shelf, Status, ThreadId},
};

/// Threads on a page of the list.
pub const LIST_PAGE: i64 = 50;
/// Messages on a page of a transcript.
pub const TRANSCRIPT_PAGE: i64 = 50;
/// Characters of the longest message.
pub const TEXT_MAX: usize = 32_000;
/// Bytes of the longest text that is kept of what nobody typed here: an answer, a message from elsewhere.
pub const KEPT_MAX: usize = 1_000_000;
/// Characters of the longest instructions.
pub const INSTRUCTIONS_MAX: usize = 8000;
/// Characters of the longest title.
pub const TITLE_MAX: usize = 200;

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ThreadRow {
    pub id: ThreadId,
    pub title: String,
    /// Its place in the list, newest first.
    pub at: Place,
    /// An answer is being written.
    pub answering: bool,
    pub pinned: bool,
    pub archived: bool,
    /// An answer has ended since somebody looked.
    pub unread: bool,
    pub folder: Option<FolderId>,
    /// Of a temporary chat: when it goes, in words.
    pub goes: Option<String>,
    /// The heading that it stands under: a day or a month of the reader's time zone.
    pub group: String,
}

impl ThreadRow {
    /// Its place on screen, the first one the greatest; in a list where pinned chats stand on top or in one where not.
    pub fn order(&self, pins: bool) -> (bool, Place) {
        (pins && self.pinned, self.at)
    }

    /// What it stands under.
    pub fn heading(&self, pins: bool) -> &str {
        if pins && self.pinned { "Pinned" } else { &self.group }
    }

    /// Whether a list of this kind has room for it; of the unread ones see the list.
    pub fn is_on(&self, shelf: Shelf, folder: Option<FolderId>) -> bool {
        self.archived == (shelf == Shelf::Archived) && folder.is_none_or(|folder| self.folder == Some(folder))
    }
}

/// A place in the list: the keyset, and the cursor of the next page. Microseconds since 1970, and the id for two threads
/// of one microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    pub micros: i64,
    pub id: ThreadId,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.micros, self.id)
    }
}

impl std::str::FromStr for Place {
    type Err = AppError;
    fn from_str(text: &str) -> Result<Self, AppError> {
        let wrong = || AppError::invalid("after", "This is no place in the list.");
        let (micros, id) = text.split_once('.').ok_or_else(wrong)?;
        // What a timestamp of the database can hold.
        let micros = micros.parse().ok().filter(|m| (0..=253_402_300_799_000_000).contains(m)).ok_or_else(wrong)?;
        Ok(Self { micros, id: id.parse().map_err(|_| wrong())? })
    }
}

/// A page of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadPage {
    pub rows: Vec<ThreadRow>,
    /// The cursor of the next page; `None` at the end.
    pub next: Option<String>,
    pub live: LiveStart,
    pub folders: Vec<FolderRow>,
    /// Deleted just now, with their titles: can still be taken back.
    pub deleted: Vec<(ThreadId, String)>,
}

/// A list as it is shown: HTML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub html: String,
    pub live: LiveStart,
}

/// What the page of an open thread shows of it beside its messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub id: ThreadId,
    pub title: String,
    /// An answer is being written.
    pub answering: bool,
    /// How full the model's memory is and what the thread has cost, in words; empty where nobody counts.
    pub used: String,
}

/// A chat that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub thread: ThreadId,
    /// The message with the words; `None` when they are in the title.
    pub message: Option<MessageId>,
    /// The title and the words around the hit, in parts; `true` marks what was looked for. Text, never HTML.
    pub title: Vec<(bool, String)>,
    pub snippet: Vec<(bool, String)>,
    pub archived: bool,
    /// The day of the hit, in words.
    pub day: String,
}

/// The longest thing that can be looked for, in characters.
pub const QUERY_MAX: usize = 200;
/// Chats that a search shows at first, and at most.
pub const FOUND_PAGE: i32 = 30;
pub const FOUND_MAX: i32 = 300;
/// How many chats can be pinned, or handled at once.
pub const MANY: usize = 200;

/// A message as it stands in the transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageView {
    pub id: MessageId,
    /// `None`: it begins the thread.
    pub parent: Option<MessageId>,
    pub seq: i64,
    pub role: Role,
    /// What the sender's browser called it.
    pub client_id: Option<ClientId>,
    /// Emptied by its owner; it keeps its place.
    pub deleted: bool,
    /// Sanitised HTML; while the answer is being written, of the blocks that are complete.
    pub html: String,
    /// While the answer is being written: what comes after those blocks, as it was written.
    pub text: String,
    /// What can be done with it: forms, in HTML. Nothing while the answer is being written.
    pub actions: String,
    /// The number of the next piece.
    pub next_piece: i32,
    /// Of an answer.
    pub status: Option<Status>,
    /// Of an answer that failed: a sentence.
    pub why: String,
    /// Among the messages that stand in this place, itself included: which one it is, from 1, and of how many.
    pub place: i32,
    pub siblings: i32,
    pub previous: Option<MessageId>,
    pub next: Option<MessageId>,
    /// What its owner thinks of an answer.
    pub thumb: Option<bool>,
    /// For the server's half alone, which writes them into `actions`.
    #[serde(skip)]
    pub facts: Facts,
}

/// When a message was sent, in the reader's time zone, and what an answer cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub time: String,
    /// Empty: today.
    pub day: String,
    pub model: String,
    /// That the model was shown, and that it wrote.
    pub tokens: Option<(i32, i32)>,
}

/// A thread and the newest part of what was said in it, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    pub thread: Head,
    pub messages: Vec<MessageView>,
    /// Whether there is more above the first one.
    pub more: bool,
    /// Whether there is more below the last one, or there may be: a page of another branch, or from further up.
    pub older: bool,
    pub live: LiveStart,
    /// What can be done with the whole thread: forms, in HTML.
    pub menu: String,
}

/// How a thread is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Empty: the usual one.
    pub model: String,
    /// What there is to choose from, the usual one first.
    pub models: Vec<String>,
    pub instructions: String,
}

/// What became of a message that was sent; the same for every time it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    pub thread: ThreadId,
    pub message: MessageId,
    /// Where the answer appears.
    pub answer: MessageId,
    pub generation: Option<GenerationId>,
}

/// What an answerer is to keep in mind in a thread or a folder; nothing is fine.
pub fn instructions(typed: &str) -> Result<String, AppError> {
    let text = typed.replace("\r\n", "\n").trim().to_owned();
    if text.chars().count() > INSTRUCTIONS_MAX {
        return Err(AppError::invalid("instructions", "Instructions have 8,000 characters at most."));
    }
    if text.contains('\0') {
        return Err(AppError::invalid("instructions", "This contains a character that can't be stored (NUL)."));
    }
    Ok(text)
}

/// A model that was chosen among these; empty: none was.
pub fn known_model(models: &[String], chosen: Option<String>) -> Result<String, AppError> {
    let chosen = chosen.unwrap_or_default();
    if chosen.is_empty() || models.contains(&chosen) {
        return Ok(chosen);
    }
    Err(AppError::invalid("model", "There is no such model here."))
}

/// A text that can be stored, as it was typed; line ends in one form, since browsers send `\r\n` from a form.
pub fn message_text(typed: &str) -> Result<String, AppError> {
    let text = typed.replace("\r\n", "\n");
    if text.trim().is_empty() {
        return Err(AppError::invalid("text", "Write something first."));
    }
    if text.chars().count() > TEXT_MAX {
        return Err(AppError::invalid("text", "This is longer than 32,000 characters. Send it in parts."));
    }
    if text.contains('\0') {
        return Err(AppError::invalid("text", "This contains a character that can't be stored (NUL)."));
    }
    Ok(text)
}

/// Where the last block of code begins, ended or not; the text's length without one. Of a text that begins outside of code, and of
/// whose blocks none is rendered yet.
pub fn open_code(text: &str) -> usize {
    let (mut open, mut inside, mut at) = (text.len(), false, 0);
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
            inside = !inside;
            if inside {
                open = at;
            }
        }
        at += line.len();
    }
    open
}

/// A text whose blocks are not complete yet, as near to what will come of it as plain text gets: no signs for headings,
/// quotations, weight and code, points before the items of a list, the cells of a table and the words of a link alone.
///
/// One pass over the characters: each kind of search in a text is a further half kilobyte in the browser.
pub fn bare(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    // At the start of a line, and in a row of a table.
    let (mut start, mut row) = (true, false);
    let mut bracket = None;
    while let Some(c) = chars.next() {
        let next = chars.clone().next();
        let spaced = next == Some(' ');
        match c {
            // Empty lines, and those around code, would push everything up and fall down again when the block is complete.
            '\n' if out.is_empty() || out.ends_with('\n') => {
                (start, row) = (true, false);
                continue;
            }
            '\n' => (start, row) = (true, false),
            '`' if start && next == Some('`') => {
                chars.find(|c| *c == '\n');
                continue;
            }
            '#' if start && (spaced || next == Some('#')) => {
                let signs = chars.clone().take_while(|c| *c == '#').count();
                if chars.clone().nth(signs) == Some(' ') {
                    chars.nth(signs);
                    continue;
                }
            }
            '>' if start && spaced => {
                chars.next();
                continue;
            }
            '-' | '*' if start && spaced => {
                out.push('•');
                start = false;
                continue;
            }
            '|' if start || row => {
                // The line below a table's head.
                let line = chars.clone().take_while(|c| *c != '\n');
                if start && line.clone().all(|c| matches!(c, '|' | '-' | ':' | ' ')) {
                    chars.nth(line.count());
                    continue;
                }
                if !start && next.is_some_and(|c| c != '\n') {
                    out.push('·');
                } else if spaced {
                    chars.next();
                }
                (start, row) = (false, true);
                continue;
            }
            '`' => continue,
            '*' | '~' if next == Some(c) => {
                chars.next();
                continue;
            }
            '[' => bracket = Some(out.len()),
            ']' => {
                if let (Some(at), Some('(')) = (bracket.take(), next) {
                    out.remove(at);
                    // An address that has no end yet is still being written.
                    chars.find(|c| *c == ')');
                    continue;
                }
            }
            _ => {}
        }
        start = c == '\n' || start && c == ' ';
        out.push(c);
    }
    out.truncate(out.trim_end().len());
    out
}

/// Where the complete blocks of an unfinished Markdown text end: after its last empty line that stands in no code block, or
/// after the end of one.
pub fn complete_blocks(text: &str) -> usize {
    let (mut end, mut at, mut in_code) = (0, 0, false);
    for line in text.split_inclusive('\n') {
        at += line.len();
        if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
            in_code = !in_code;
        }
        let ends = line.trim().is_empty() || line.starts_with("```") || line.starts_with("~~~");
        if !in_code && ends && line.ends_with('\n') {
            end = at;
        }
    }
    end
}

/// What tokens were used, in words: by the newest answer, by all, and how many the model can keep in mind.
pub fn used(newest: Option<i64>, all: i64, context: Option<i32>) -> String {
    let count = |n: i64| {
        let digits = n.to_string();
        let groups: Vec<&str> =
            digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
        groups.join(",")
    };
    if all == 0 {
        return String::new();
    }
    let full = match (newest, context.map(i64::from)) {
        (Some(newest), Some(of)) => {
            format!("Context {} of {} tokens ({} %) · ", count(newest), count(of), (newest * 100 + of / 2) / of)
        }
        (Some(newest), None) => format!("Context {} tokens · ", count(newest)),
        (None, _) => String::new(),
    };
    format!("{full}{} tokens used in this chat", count(all))
}

/// A title that somebody typed.
pub fn title(typed: &str) -> Result<String, AppError> {
    line("title", typed, TITLE_MAX, "Write a title.", "A title has 200 characters at most.")
}

/// A line that somebody typed, with single spaces; `none` and `long` say what is wrong with it.
pub fn line(field: &str, typed: &str, max: usize, none: &str, long: &str) -> Result<String, AppError> {
    let line = typed.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return Err(AppError::invalid(field, none));
    }
    if line.chars().count() > max {
        return Err(AppError::invalid(field, long));
    }
    if line.chars().any(char::is_control) {
        return Err(AppError::invalid(field, "This contains a character that can't be stored."));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_that_was_tampered_with_is_refused() {
        let place =
            Place { micros: 1_700_000_000_000_000, id: "00000000-0000-4000-8000-000000000001".parse().unwrap() };
        assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        for wrong in [
            "",
            ".",
            "1",
            "x.00000000-0000-4000-8000-000000000001",
            "1.2",
            "-5.00000000-0000-4000-8000-000000000001",
            "99999999999999999999.00000000-0000-4000-8000-000000000001",
            "9223372036854775807.00000000-0000-4000-8000-000000000001",
            "1.00000000-0000-4000-8000-000000000001'; drop",
        ] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_cannot_be_stored_is_refused_with_a_reason() {
        assert_eq!(message_text("a\r\nb").unwrap(), "a\nb");
        assert!(message_text(" \n\t").is_err());
        assert!(message_text("a\0b").is_err());
        assert!(message_text(&"é".repeat(TEXT_MAX)).is_ok());
        assert!(message_text(&"é".repeat(TEXT_MAX + 1)).is_err());
    }

    #[test]
    fn an_unfinished_answer_is_cut_after_its_last_complete_block() {
        for (text, end) in [
            ("", 0),
            ("one line", 0),
            ("one\n\n", 5),
            ("one\n\ntwo", 5),
            ("one\n\ntwo\n\n", 10),
            ("a\n\n```\nb\n\nc", 3),
            ("a\n\n```\nb\n\nc\n```\n\n", 17),
            ("é\n \nü", 5),
            ("a\n\n```\nb\n```\nc", 13),
            ("- a\n  ```\n  b\n  ```\n", 0),
        ] {
            assert_eq!(complete_blocks(text), end, "{text:?}");
        }
    }

    #[test]
    fn what_is_read_along_has_no_signs_of_bold_quotes_and_headings() {
        assert_eq!(bare("> **All** of *it*\n> 2 > 1"), "All of *it*\n2 > 1");
        assert_eq!(bare("## Two\n#hash\n# "), "Two\n#hash");
    }

    #[test]
    fn what_is_still_being_written_reads_as_plain_text() {
        for (text, plain) in [
            ("## A **heading**", "A heading"),
            ("#hashtag and # alone", "#hashtag and # alone"),
            ("##nothing", "##nothing"),
            ("> quoted\n> twice", "quoted\ntwice"),
            ("- one\n  * two\n-3", "• one\n  • two\n-3"),
            ("**bold** - 2 * 3", "bold - 2 * 3"),
            ("| a | b |\n|---|:-:|\n| 1 | 2", "a · b \n1 · 2"),
            ("1 | 2", "1 | 2"),
            ("see [the guide](/guide/chats), or [this](https://exam", "see the guide, or this"),
            ("[not a link] and a](b", "[not a link] and a](b"),
            ("call `it`", "call it"),
            ("one\n\n\ntwo\n\n", "one\ntwo"),
            ("~~old~~ code:\n```js\nlet a;\n```\n\nmore", "old code:\nlet a;\nmore"),
        ] {
            assert_eq!(bare(text), plain, "{text:?}");
        }
    }

    #[test]
    fn code_that_is_still_being_written_is_known_by_its_fence() {
        for (text, at) in
            [("", 0), ("one", 3), ("a\n```rust\nb\n", 2), ("```\nb\n```\n", 0), ("```\na\n```\n~~~\nb", 10)]
        {
            assert_eq!(open_code(text), at, "{text:?}");
        }
    }

    #[test]
    fn tokens_are_counted_in_words_and_only_where_somebody_counted() {
        assert_eq!(used(None, 0, Some(8000)), "");
        assert_eq!(used(Some(1204), 1_000_204, None), "Context 1,204 tokens · 1,000,204 tokens used in this chat");
        assert_eq!(
            used(Some(7999), 8000, Some(8000)),
            "Context 7,999 of 8,000 tokens (100 %) · 8,000 tokens used in this chat"
        );
        assert_eq!(used(None, 12, Some(8000)), "12 tokens used in this chat");
    }

    #[test]
    fn a_typed_title_is_one_line() {
        assert!(title("  a   b ").unwrap() == "a b" && title(" ").is_err() && title(&"x".repeat(201)).is_err());
    }
}
