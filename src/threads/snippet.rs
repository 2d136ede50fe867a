//! The part of a text that a search found, with its hits. Pure, and apart from the database, which would give HTML. It reads
//! words as `app.plain` does; where the two should differ, a hit is not marked, and no result is lost.

use unicode_normalization::UnicodeNormalization;

use super::{model::Found, sql};

/// Characters of a snippet, and of what stands before its first hit.
const LENGTH: usize = 180;
const BEFORE: usize = 40;
/// What is searched of a text, in characters.
const SEARCHED: usize = 200_000;

/// A part of a text; `true` for what was looked for.
pub type Part = (bool, String);

/// What the list shows of the hits.
pub fn found(hits: Vec<sql::Hit>, query: &str) -> Vec<Found> {
    let terms = terms(query);
    hits.into_iter()
        .map(|hit| Found {
            thread: hit.thread,
            message: hit.message,
            title: marked(&hit.title, &terms),
            snippet: snippet(&hit.text, &terms),
            archived: hit.archived,
            day: hit.day,
        })
        .collect()
}

/// One thing to look for: words in this order, the last one as far as it was typed.
#[derive(Debug, PartialEq, Eq)]
pub struct Term {
    words: Vec<String>,
    typing: bool,
}

/// What somebody typed, as the database reads it.
pub fn terms(query: &str) -> Vec<Term> {
    let mut terms = Vec::new();
    let mut last_open = false;
    for (i, piece) in query.split('"').enumerate() {
        let quoted = i % 2 == 1;
        let parts: Vec<&str> = if quoted { vec![piece] } else { piece.split_whitespace().collect() };
        for part in parts {
            let words: Vec<String> = tokens(part).into_iter().map(|t| t.word).collect();
            if !words.is_empty() {
                terms.push(Term { words, typing: false });
                last_open = !quoted;
            }
        }
    }
    if let Some(last) = terms.last_mut() {
        last.typing = last_open && !query.ends_with(char::is_whitespace);
    }
    terms
}

/// The whole of a short text, with its hits.
pub fn marked(text: &str, terms: &[Term]) -> Vec<Part> {
    cut(text, &hits(text, terms), 0, text.len())
}

/// The part of a text in which most of what was looked for stands together.
pub fn snippet(text: &str, terms: &[Term]) -> Vec<Part> {
    let hits = hits(text, terms);
    let forth = |from: usize, n: usize| text[from..].char_indices().nth(n).map_or(text.len(), |(i, _)| from + i);
    let best = hits.iter().max_by_key(|hit| {
        let end = forth(hit.start, LENGTH - BEFORE);
        let mut here: Vec<usize> =
            hits.iter().filter(|h| h.start >= hit.start && h.end <= end).map(|h| h.term).collect();
        here.sort_unstable();
        here.dedup();
        (here.len(), std::cmp::Reverse(hit.start))
    });
    let first = best.map_or(0, |hit| hit.start);
    let back = text[..first].char_indices().rev().nth(BEFORE - 1).map_or(0, |(i, _)| i);
    // From the beginning of a word to the end of one, where there is one near.
    let start = if back == 0 {
        0
    } else {
        text[back..first].find(char::is_whitespace).map_or(back, |i| back + i + 1).min(first)
    };
    let start = (start..=first).find(|i| text.is_char_boundary(*i)).unwrap_or(first);
    let far = forth(start, LENGTH);
    let end = if far == text.len() {
        far
    } else {
        let hit_end = best.map_or(start, |hit| hit.end.min(far));
        text[hit_end..far].rfind(char::is_whitespace).map_or(far, |i| hit_end + i)
    };
    let mut parts = cut(text, &hits, start, end);
    if start > 0 {
        parts.insert(0, (false, "… ".to_owned()));
    }
    if end < text.trim_end().len() {
        parts.push((false, " …".to_owned()));
    }
    parts
}

struct Hit {
    start: usize,
    end: usize,
    term: usize,
}

struct Token {
    start: usize,
    end: usize,
    word: String,
}

fn hits(text: &str, terms: &[Term]) -> Vec<Hit> {
    let tokens = tokens(text);
    let mut hits = Vec::new();
    for (term, wanted) in terms.iter().enumerate() {
        for run in tokens.windows(wanted.words.len()) {
            let all = run.iter().zip(&wanted.words).enumerate().all(|(i, (token, word))| {
                let open = wanted.typing && i + 1 == wanted.words.len();
                if open { token.word.starts_with(word.as_str()) } else { token.word == *word }
            });
            if let (true, Some(first), Some(last)) = (all, run.first(), run.last()) {
                hits.push(Hit { start: first.start, end: last.end, term });
            }
        }
    }
    hits.sort_by_key(|hit| (hit.start, hit.end));
    hits
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut open = false;
    for (start, letter) in text.char_indices().take(SEARCHED) {
        let end = start + letter.len_utf8();
        let plain: String = letter
            .nfkd()
            .filter(|c| !('\u{300}'..='\u{36f}').contains(c))
            .nfkc()
            .flat_map(char::to_lowercase)
            .collect();
        if plain.is_empty() {
            // An accent on its own belongs to the letter before.
            if let (true, Some(token)) = (open, tokens.last_mut()) {
                token.end = end;
            }
        } else if !plain.chars().all(char::is_alphanumeric) {
            open = false;
        } else if is_word_by_itself(letter) {
            tokens.push(Token { start, end, word: plain });
            open = false;
        } else if let (true, Some(token)) = (open, tokens.last_mut()) {
            token.word.push_str(&plain);
            token.end = end;
        } else {
            tokens.push(Token { start, end, word: plain });
            open = true;
        }
    }
    tokens
}

/// A character of a script that writes no spaces.
fn is_word_by_itself(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

fn cut(text: &str, hits: &[Hit], start: usize, end: usize) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut at = start;
    for hit in hits.iter().filter(|hit| hit.start >= start && hit.end <= end) {
        if hit.start > at {
            parts.push((false, one_line(&text[at..hit.start])));
        }
        if hit.end > at {
            parts.push((true, one_line(&text[hit.start.max(at)..hit.end])));
            at = hit.end;
        }
    }
    if at < end {
        parts.push((false, one_line(&text[at..end])));
    }
    parts
}

/// White space of any kind and length is one space.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        if !letter.is_whitespace() {
            line.push(letter);
        } else if !line.ends_with(' ') {
            line.push(' ');
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(parts: &[Part]) -> String {
        parts.iter().map(|(hit, text)| if *hit { format!("[{text}]") } else { text.clone() }).collect()
    }

    #[test]
    fn hits_are_marked_as_the_database_finds_them() {
        for (query, text, marked_text) in [
            ("cafe", "In the Café", "In the [Café]"),
            ("CAF", "cafés and cafe", "[cafés] and [cafe]"),
            ("caf ", "cafés and caf", "cafés and [caf]"),
            ("\"two words\" x", "words two, two words; x", "words two, [two words]; [x]"),
            ("user_id", "the user_id, user id and user", "the [user_id], [user id] and user"),
            ("\"caf\"", "cafés", "cafés"),
            ("図書", "国立図書館", "国立[図書]館"),
            ("é", "e\u{301}t", "[e\u{301}t]"),
            ("script", "<script>alert(1)</script>", "<[script]>alert(1)</[script]>"),
            ("", "nothing", "nothing"),
            ("\"", "nothing", "nothing"),
        ] {
            assert_eq!(show(&marked(text, &terms(query))), marked_text, "{query}");
        }
    }

    #[test]
    fn a_snippet_is_where_most_of_the_words_stand_together() {
        let text =
            format!("{} alpha {} alpha\nand  beta {}", "far ".repeat(100), "away ".repeat(100), "on ".repeat(100));
        let shown = show(&snippet(&text, &terms("alpha beta")));
        assert!(
            shown.starts_with("… away") && shown.contains("[alpha] and [beta] on") && shown.ends_with("on …"),
            "{shown}"
        );
        assert!(shown.chars().count() < LENGTH + 20);
        assert_eq!(show(&snippet("short", &terms("absent"))), "short");
    }

    #[test]
    fn no_text_is_cut_inside_a_letter() {
        let text = "漢字🦀é ".repeat(300);
        for query in ["漢", "字", "🦀", "e", "x", "漢字"] {
            for skip in 0..20 {
                let from = text.char_indices().nth(skip).unwrap().0;
                assert!(!snippet(&text[from..], &terms(query)).is_empty());
            }
        }
    }
}
