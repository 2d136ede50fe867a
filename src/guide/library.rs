//! The pages of `public/guide`, split into sections, and a search over them (BM25 with the titles counted more).

use std::collections::{HashMap, HashSet};

use include_dir::{Dir, include_dir};

use super::model::{GuidePage, PageRow};
use crate::threads::markdown;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/public/guide");
/// Pages that come first, in this order; the rest follows by name.
const ORDER: [&str; 9] = [
    "getting-started",
    "chats",
    "keys",
    "answers",
    "accounts",
    "privacy",
    "running-moat",
    "configuration",
    "troubleshooting",
];
/// Of the guide, which is large: a word that it does not have tells much.
const ENOUGH: f64 = 0.5;
/// Of a few articles, in which most words of a question do not stand.
const ENOUGH_OF_FEW: f64 = 0.35;

/// Words of a question that are looked up.
const ASKED_MAX: usize = 100;
/// Stands before a line of a list and a new paragraph.
const ITEM: char = '\r';

pub struct Library {
    pages: Vec<Page>,
    sections: Vec<Section>,
    /// In how many sections a word stands.
    frequency: HashMap<String, usize>,
    average_length: f64,
    /// The share of a question's weight that a section needs, or the answer is "I don't know".
    enough: f64,
}

pub struct Page {
    pub name: String,
    pub title: String,
    pub lead: String,
    pub markdown: String,
}

pub struct Section {
    pub page: String,
    pub page_title: String,
    pub title: String,
    /// Where it begins on its page.
    pub anchor: String,
    pub text: String,
    words: HashMap<String, f64>,
    length: f64,
}

impl Section {
    /// Where it can be read.
    pub fn link(&self) -> String {
        format!("/guide/{}#{}", self.page, self.anchor)
    }

    /// Its first sentence and those that share most with the question, in their own order, word for word.
    pub fn quote(&self, question: &str, most: usize) -> Vec<&str> {
        let asked: HashSet<String> = words(question).collect();
        let sentences = sentences(&self.text);
        let mut ranked: Vec<(usize, usize)> = sentences
            .iter()
            .enumerate()
            .map(|(i, s)| (i, words(s).filter(|w| asked.contains(w)).count() + usize::from(i == 0)))
            .collect();
        ranked.retain(|(_, score)| *score > 0);
        ranked.sort_by_key(|(i, score)| (std::cmp::Reverse(*score), *i));
        let mut chosen: Vec<usize> = ranked.into_iter().take(most).map(|(i, _)| i).collect();
        chosen.sort_unstable();
        chosen.into_iter().map(|i| sentences[i]).collect()
    }
}

impl Library {
    /// The guide as it was when this binary was built.
    pub fn shipped() -> Self {
        let files = FILES.files().filter_map(|f| {
            let name = f.path().file_name()?.to_str()?.strip_suffix(".md")?;
            Some((name, f.contents_utf8()?))
        });
        Self::new(files)
    }

    /// Help articles: id, title and Markdown. A heading of any level begins a section; what stands before the first is one as well.
    pub fn of_articles(articles: &[(uuid::Uuid, String, String)]) -> Self {
        let pages = articles
            .iter()
            .map(|(id, title, body)| Page {
                name: id.to_string(),
                title: title.clone(),
                lead: String::new(),
                markdown: body.clone(),
            })
            .collect();
        Self::indexed(pages, sections_of_article, ENOUGH_OF_FEW)
    }

    fn new<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut pages: Vec<Page> = files
            .map(|(name, markdown)| {
                let mut lines = markdown.lines().filter(|l| !l.trim().is_empty());
                let title = lines.next().unwrap_or_default().trim_start_matches('#').trim().to_owned();
                Page {
                    name: name.into(),
                    title,
                    lead: lines.next().unwrap_or_default().to_owned(),
                    markdown: markdown.into(),
                }
            })
            .collect();
        pages.sort_by_key(|p| (ORDER.iter().position(|name| *name == p.name).unwrap_or(ORDER.len()), p.name.clone()));
        Self::indexed(pages, sections_of, ENOUGH)
    }

    fn indexed(pages: Vec<Page>, split: fn(&Page) -> Vec<Section>, enough: f64) -> Self {
        let sections: Vec<Section> = pages.iter().flat_map(split).collect();
        let mut frequency = HashMap::new();
        for section in &sections {
            for word in section.words.keys() {
                *frequency.entry(word.clone()).or_insert(0) += 1;
            }
        }
        let average_length = sections.iter().map(|s| s.length).sum::<f64>() / sections.len().max(1) as f64;
        Self { pages, sections, frequency, average_length, enough }
    }

    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    pub fn rows(&self) -> Vec<PageRow> {
        self.pages
            .iter()
            .map(|p| PageRow { name: p.name.clone(), title: p.title.clone(), lead: p.lead.clone() })
            .collect()
    }

    pub fn page(&self, name: &str) -> Option<GuidePage> {
        let page = self.pages.iter().find(|p| p.name == name)?;
        Some(GuidePage { title: page.title.clone(), html: markdown::to_guide_html(&page.markdown) })
    }

    /// The best sections for a question, best first; none when the guide does not know.
    pub fn search(&self, question: &str, most: usize) -> Vec<&Section> {
        let asked: HashSet<String> = words(question).take(ASKED_MAX).map(|word| self.known(word)).collect();
        let total: f64 = asked.iter().map(|word| self.weight(word)).sum();
        let mut found: Vec<(f64, &Section)> = self
            .sections
            .iter()
            .filter_map(|section| {
                let shared: f64 = asked.iter().filter(|w| section.words.contains_key(*w)).map(|w| self.weight(w)).sum();
                if total == 0.0 || shared / total < self.enough {
                    return None;
                }
                let score = asked
                    .iter()
                    .filter_map(|word| {
                        let count = section.words.get(word)?;
                        Some(
                            self.weight(word) * count * 2.2
                                / (count + 1.2 * (0.25 + 0.75 * section.length / self.average_length)),
                        )
                    })
                    .sum();
                Some((score, section))
            })
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        let best = found.first().map_or(0.0, |(score, _)| *score);
        found.into_iter().filter(|(score, _)| *score >= best * 0.7).take(most).map(|(_, section)| section).collect()
    }

    /// A word as the guide has it: "forgot" where the guide says "forgotten".
    fn known(&self, word: String) -> String {
        if word.len() < 5 || self.frequency.contains_key(&word) {
            return word;
        }
        let kin = |other: &&String| other.len() >= 5 && (other.starts_with(&word) || word.starts_with(other.as_str()));
        self.frequency.keys().filter(kin).min().cloned().unwrap_or(word)
    }

    /// How much a word tells: a word that the guide does not have tells most, so that it weighs against an answer.
    fn weight(&self, word: &str) -> f64 {
        // In a few sections, every word that stands there is common.
        let n = (self.sections.len() as f64).max(50.0);
        let df = self.frequency.get(word).copied().unwrap_or(0) as f64;
        ((n - df + 0.5) / (df + 0.5) + 1.0).ln()
    }
}

/// What a section is called, where it begins, and what it says.
type Heading = (String, String, String);

/// A section that begins. A second one of the same name begins at an anchor with a number, as the Markdown renderer has it.
fn heading(title: &str, taken: &mut HashSet<String>) -> Heading {
    let title = title.trim();
    let first = slug(title);
    let numbered = (1..).map(|n| format!("{first}-{n}"));
    let free = std::iter::once(first.clone()).chain(numbered).find(|anchor| !taken.contains(anchor));
    let anchor = free.unwrap_or(first);
    taken.insert(anchor.clone());
    (title.to_owned(), anchor, String::new())
}

fn sections_of(page: &Page) -> Vec<Section> {
    let mut sections: Vec<Heading> = Vec::new();
    let mut taken = HashSet::new();
    for line in page.markdown.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            sections.push(heading(title, &mut taken));
        } else if let Some((_, _, text)) = sections.last_mut().filter(|_| !line.starts_with('|')) {
            // A table has no sentences.
            text.push_str(line);
            text.push('\n');
        }
    }
    indexed(page, sections, |_| 2.0)
}

fn sections_of_article(page: &Page) -> Vec<Section> {
    let mut sections: Vec<Heading> = vec![Default::default()];
    let mut taken = HashSet::new();
    let mut code = false;
    for line in page.markdown.lines() {
        code ^= ["```", "~~~"].iter().any(|fence| line.trim_start().starts_with(fence));
        let heading = line.trim_start_matches('#');
        if !code && heading.len() < line.len() && heading.starts_with(' ') {
            sections.push(self::heading(heading, &mut taken));
        } else if let Some((_, _, text)) = sections.last_mut().filter(|_| !line.starts_with('|')) {
            // What is said aloud, without the signs of a list, each line of which is a sentence.
            let line = line.trim_start();
            let item = ["- ", "* ", "+ ", "> "].iter().find_map(|sign| line.strip_prefix(sign));
            if item.is_some() || line.is_empty() {
                text.push(ITEM);
            }
            text.push_str(item.unwrap_or(line));
            text.push('\n');
        }
    }
    sections.retain(|(_, _, text)| !text.trim().is_empty());
    // What an article is called is answered at its beginning; the rest goes further into it.
    indexed(page, sections, |n| if n == 0 { 8.0 } else { 1.0 })
}

/// Each with how often a word stands in it; those of its own title count twice, those of the page's as `page_counts` says.
fn indexed(page: &Page, sections: Vec<Heading>, page_counts: fn(usize) -> f64) -> Vec<Section> {
    sections
        .into_iter()
        .enumerate()
        .map(|(n, (title, anchor, text))| {
            let text = text.trim().replace("\n\n", "\n").replace('\n', " ");
            let mut counts = HashMap::new();
            for word in words(&text) {
                *counts.entry(word).or_insert(0.0) += 1.0;
            }
            let titles =
                words(&title).map(|word| (word, 2.0)).chain(words(&page.title).map(|word| (word, page_counts(n))));
            for (word, times) in titles {
                *counts.entry(word).or_insert(0.0) += times;
            }
            let length = counts.values().sum();
            let (page, page_title) = (page.name.clone(), page.title.clone());
            Section { page, page_title, title, anchor, text, words: counts, length }
        })
        .collect()
}

fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let bytes = text.as_bytes();
    // What a screen says may have several sentences: they stay together.
    let mut quoted = false;
    for (i, c) in text.char_indices() {
        quoted ^= c == '"';
        if c == ITEM {
            quoted = false;
            found.push(text[start..i].trim());
            start = i + 1;
        }
        let over = matches!(c, '.' | '?' | '!') || c == '"' && matches!(bytes[..i].last(), Some(b'.' | b'?' | b'!'));
        let ends = over && !quoted && bytes.get(i + 1).is_none_or(|b| *b == b' ');
        if ends {
            found.push(text[start..=i].trim());
            start = i + 1;
        }
    }
    if !text[start..].trim().is_empty() {
        found.push(text[start..].trim());
    }
    found.retain(|s| !s.is_empty());
    found
}

/// The words that carry a meaning, cut to their stem as far as a few endings go.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    const STOP: [&str; 72] = [
        "all", "also", "just", "some", "much", "many", "very", "please", "hi", "hello", "a", "an", "and", "are", "as",
        "at", "be", "by", "can", "do", "does", "for", "from", "has", "have", "how", "i", "if", "in", "is", "it", "its",
        "me", "my", "no", "not", "of", "on", "or", "so", "that", "the", "then", "there", "this", "to", "was", "what",
        "when", "where", "which", "who", "why", "will", "with", "you", "your", "am", "did", "about", "any", "but",
        "get", "into", "only", "should", "tell", "they", "want", "we", "would", "one",
    ];
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|w| !w.is_empty())
        .map(str::to_lowercase)
        .filter(|w| !STOP.contains(&w.as_str()))
        .map(|w| stem(&w))
}

fn stem(word: &str) -> String {
    for ending in ["ing", "ed", "es", "s", "e"] {
        if let Some(stem) = word.strip_suffix(ending)
            && stem.chars().count() >= 3
        {
            // "stopping" and "stop" are one word.
            let mut chars: Vec<char> = stem.chars().collect();
            if matches!(ending, "ing" | "ed") && chars.len() > 3 && chars[chars.len() - 1] == chars[chars.len() - 2] {
                chars.pop();
            }
            let stem: String = chars.into_iter().collect();
            return stem.strip_suffix('e').map(str::to_owned).unwrap_or(stem);
        }
    }
    word.to_owned()
}

/// The anchor of a heading, as the Markdown renderer makes it.
fn slug(title: &str) -> String {
    title
        .to_lowercase()
        .chars()
        .filter_map(|c| {
            if c.is_alphanumeric() || c == '-' || c == '_' {
                Some(c)
            } else if c == ' ' {
                Some('-')
            } else {
                None
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_can_be_reached_by_its_link() {
        let guide = Library::shipped();
        assert!(guide.sections.len() > 20);
        for section in &guide.sections {
            let html = guide.page(&section.page).unwrap().html;
            assert!(html.contains(&format!("id=\"{}\"", section.anchor)), "{} has no {}", section.page, section.anchor);
        }
    }

    #[test]
    fn questions_that_people_ask_find_the_section_that_answers_them() {
        let guide = Library::shipped();
        for (question, page) in [
            ("How do I stop an answer?", "answers"),
            ("can other people read my chats?", "privacy"),
            ("how do I delete a chat", "chats"),
            ("I forgot my password", "accounts"),
            ("which port does it listen on, MOAT_ADDR?", "configuration"),
            ("How do I make a backup?", "running-moat"),
        ] {
            let found = guide.search(question, 2);
            assert!(
                found.iter().any(|s| s.page == page),
                "{question}: {:?}",
                found.iter().map(|s| s.link()).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn a_question_that_an_article_has_as_its_title_finds_how_it_begins_first() {
        let body = "Two days within the country. We hand it over in the evening, and the post brings it on the second day after \
                    that; in the weeks before a holiday it may be a day more.\n\n## Abroad\nA parcel takes five days \
                    abroad.\n\n## Islands\nHow long a parcel takes there, nobody can say.";
        let articles = [
            (uuid::Uuid::from_u128(1), "How long does a parcel take?".to_owned(), body.to_owned()),
            (uuid::Uuid::from_u128(2), "Can I send it back?".to_owned(), "Yes, within a month.".to_owned()),
        ];
        let library = Library::of_articles(&articles);
        let first = |question| library.search(question, 3).first().map(|section| section.title.clone());
        assert_eq!(first("How long does a parcel take?").as_deref(), Some(""));
        assert_eq!(first("How long does a parcel take abroad?").as_deref(), Some("Abroad"));
        assert_eq!(first("to the islands?").as_deref(), Some("Islands"));
        assert!(library.search("Do you sell xylophones at all?", 3).is_empty());
    }

    #[test]
    fn sections_of_the_same_name_are_reached_each_by_its_own_anchor() {
        let body =
            "```\n# What it costs\n```\n## What it costs\nA boat is ten.\n\n# What *it* costs!\nA paddle is two.\n";
        let library = Library::of_articles(&[(uuid::Uuid::from_u128(1), "Hire".to_owned(), body.to_owned())]);
        let html = markdown::to_guide_html(body);
        let anchors: Vec<_> = library.sections.iter().map(|section| &*section.anchor).collect();
        assert_eq!(anchors, ["", "what-it-costs", "what-it-costs-1"]);
        assert!(anchors[1..].iter().all(|anchor| html.contains(&format!("id=\"{anchor}\""))), "{html}");
    }
}
