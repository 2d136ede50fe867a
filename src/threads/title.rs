//! The title that a thread gets from its first message: what it says, without the signs of Markdown.

use comrak::{Arena, nodes::NodeValue, parse_document};

use super::markdown;

/// Characters of a title that is made from the first message.
const AUTO_TITLE: usize = 60;
/// Characters of a message in which its first line of words is looked for.
const LOOK_AT: usize = 2000;

/// The title of a thread that begins with this text: its first line of words, cut between two of them.
pub fn auto_title(text: &str) -> String {
    let head: String = text.chars().take(LOOK_AT).collect();
    let plain = if markdown::is_too_deep(&head) { head.clone() } else { words(&head) };
    let first = |text: &str| text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
    let line = first(&plain).or_else(|| first(text)).unwrap_or_default();
    let clean: String = line.chars().filter(|c| !c.is_control()).collect();
    if clean.chars().count() <= AUTO_TITLE {
        return clean;
    }
    let cut: String = clean.chars().take(AUTO_TITLE).collect();
    let cut = cut.rsplit_once(' ').map_or(cut.as_str(), |(head, _)| head);
    format!("{cut}…")
}

/// What a reader of the rendered message reads, a line for each block.
fn words(text: &str) -> String {
    let arena = Arena::new();
    let mut out = String::new();
    for node in parse_document(&arena, text, &markdown::options(false)).descendants() {
        match &node.data().value {
            NodeValue::Text(text) => out.push_str(text),
            NodeValue::Code(code) => out.push_str(&code.literal),
            NodeValue::HtmlInline(html) => out.push_str(html),
            NodeValue::CodeBlock(code) => out.extend(["\n", &code.literal]),
            NodeValue::HtmlBlock(html) => out.extend(["\n", &html.literal]),
            NodeValue::TableCell => out.push(' '),
            NodeValue::SoftBreak | NodeValue::LineBreak => out.push('\n'),
            value if value.block() => out.push('\n'),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_first_line_cut_between_words() {
        assert_eq!(auto_title("\n\n  ## Which region grew fastest?\nand why"), "Which region grew fastest?");
        let long = auto_title(&"word ".repeat(40));
        assert!(long.ends_with("word…") && long.chars().count() <= AUTO_TITLE + 1, "{long}");
        assert_eq!(auto_title("###"), "###");
        for (text, title) in [
            ("**bold** text", "bold text"),
            ("# Heading", "Heading"),
            ("Why is `Vec<T>` *not* ~~ever~~ __Copy__?", "Why is Vec<T> not ever Copy?"),
            ("- [a link](https://example.org/a_b)\n- two", "a link"),
            ("> quoted **words**", "quoted words"),
            ("1. first", "first"),
            ("```rust\nfn main() {}\n```", "fn main() {}"),
            (
                "What does <div> do in 2 * 3 * 4 and snake_case_names?",
                "What does <div> do in 2 * 3 * 4 and snake_case_names?",
            ),
            ("\\*not bold\\*", "*not bold*"),
            ("![a picture](x.png)", "a picture"),
        ] {
            assert_eq!(auto_title(text), title, "{text}");
        }
    }
}
