//! Markdown to HTML, on the server alone: rendered without raw HTML, highlighted by classes (so that no inline style is
//! needed and both themes fit), then sanitised all the same.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt::{self, Write},
    sync::LazyLock,
};

use super::{
    actions,
    model::{MessageView, complete_blocks},
};
use crate::{
    error::AppError,
    server::db_error::internal,
    types::{MessageId, Status, ThreadId},
    ui::form::FormBack,
};
use ammonia::Builder;
use comrak::{Options, adapters::SyntaxHighlighterAdapter, markdown_to_html_with_plugins, options::Plugins};
use linkify::{LinkFinder, LinkKind, Span};
use syntect::{
    html::{ClassStyle, ClassedHTMLGenerator},
    parsing::SyntaxSet,
    util::LinesWithEndings,
};

static SYNTAXES: LazyLock<SyntaxSet> = LazyLock::new(two_face::syntax::extra_newlines);
const DELETED: &str = "<p class=\"quiet\">Deleted.</p>";
/// Code beyond this is shown plain: highlighting is the one step whose time a sender could stretch.
const HIGHLIGHT_MAX: usize = 60_000;

/// Renders what was read, after its lane has ended and off the threads that serve requests: long answers full of code take
/// long, and connections are few. Of an answer that is being written, the complete blocks.
pub async fn render(
    thread: ThreadId,
    mut messages: Vec<MessageView>,
    back: Option<FormBack>,
) -> Result<Vec<MessageView>, AppError> {
    tokio::task::spawn_blocking(move || {
        for message in &mut messages {
            let running = message.status == Some(Status::Running);
            let complete = if running { complete_blocks(&message.text) } else { message.text.len() };
            message.actions = actions::html(thread, message, &message.text, back.as_ref());
            let rest = message.text.split_off(complete);
            message.html =
                if message.deleted { DELETED.to_owned() } else { finish(message.id, &to_html(&message.text)) };
            message.text = rest;
        }
        messages
    })
    .await
    .map_err(internal)
}

/// What a message must not make itself, after the sanitiser: a button and the language's name at each block of code, a frame
/// in which a wide table scrolls, a name for each box of a list of tasks, and ids that no other message on the page has. Tag by
/// tag, and not by a search for `<pre`: in the value of an attribute that would be somebody's text, and what is put there
/// would end it.
fn finish(message: MessageId, html: &str) -> String {
    let mut out = String::with_capacity(html.len() + 128);
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        let mut quoted = false;
        let end = tag.find(|c| {
            quoted ^= c == '"';
            c == '>' && !quoted
        });
        let (tag, after) = tag.split_at(end.map_or(tag.len(), |end| end + 1));
        out.push_str(text);
        if tag.starts_with("<pre") {
            out.push_str("<div class=\"code\">");
            if let Some(language) = language(after) {
                let _ = write!(out, "<span class=\"language\">{language}</span>");
            }
            out.push_str("<button type=\"button\" data-copy=\"\">Copy</button>");
        } else if tag.starts_with("<table") {
            out.push_str("<div class=\"table\" role=\"group\" aria-label=\"Table\" tabindex=\"0\">");
        }
        if tag.starts_with("<a ") || tag.starts_with("<li ") {
            let own = |what: &str| format!("{what}{message}-fn");
            out.push_str(&tag.replace(" id=\"fn", &own(" id=\"")).replace(" href=\"#fn", &own(" href=\"#")));
        } else if let Some(rest) = tag.strip_prefix("<input ") {
            let name = if rest.contains("checked") { "Done" } else { "Not done" };
            let _ = write!(out, "<input aria-label=\"{name}\" {rest}");
        } else {
            out.push_str(tag);
        }
        if tag == "</pre>" || tag == "</table>" {
            out.push_str("</div>");
        }
        rest = after;
    }
    out + rest
}

/// The language that the block of code at the beginning of `html` names, if it is a name.
fn language(html: &str) -> Option<&str> {
    let (name, _) = html.strip_prefix("<code class=\"language-")?.split_once('"')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "+#-_.".contains(c);
    (!name.is_empty() && name.len() <= 30 && name.chars().all(plain)).then_some(name)
}

/// A message: safe to put into a page whoever wrote it.
pub fn to_html(markdown: &str) -> String {
    html(markdown, &MESSAGE, false)
}

/// Plain text whose web addresses are links, as HTML; empty where there are none.
pub fn linked(text: &str) -> String {
    static FINDER: LazyLock<LinkFinder> = LazyLock::new(|| {
        let mut finder = LinkFinder::new();
        finder.kinds(&[LinkKind::Url]);
        finder
    });
    let web = |span: &Span| {
        let address = span.as_str();
        let (scheme, rest) = address.split_once("://").unwrap_or_default();
        // What only looks like the place that it leads to: a name before an @, letters that turn others around.
        let host = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        let turns =
            |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let plain = !host.contains('@') && !address.chars().any(turns);
        span.kind().is_some() && plain && ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
    };
    if !text.contains("://") || !FINDER.spans(text).any(|span| web(&span)) {
        return String::new();
    }
    let mut html = String::with_capacity(text.len() * 2);
    for span in FINDER.spans(text) {
        if web(&span) {
            html.push_str("<a href=\"");
            let _ = escape(&mut html, span.as_str());
            html.push_str("\" rel=\"external noopener noreferrer nofollow\">");
            let _ = escape(&mut html, span.as_str());
            html.push_str("</a>");
        } else {
            let _ = escape(&mut html, span.as_str());
        }
    }
    html
}

/// A page of the guide: the same as of a message, with anchors at its headings.
pub fn to_guide_html(markdown: &str) -> String {
    html(markdown, &GUIDE, true)
}

/// The same for what somebody else wrote: on a thread that may take its time, and with no lane open meanwhile.
pub async fn guide_html(markdown: String) -> Result<String, crate::error::AppError> {
    tokio::task::spawn_blocking(move || to_guide_html(&markdown)).await.map_err(crate::server::db_error::internal)
}

/// Quotes and lists within each other, on one line, beyond which a text is no Markdown any more but an attempt to keep the
/// server busy: what parses the result takes a time that grows with the square of the depth.
const DEEPEST: usize = 60;

pub(super) fn is_too_deep(markdown: &str) -> bool {
    markdown.lines().any(|line| {
        let mut depth = 0;
        let mut rest = line.bytes().peekable();
        while let Some(byte) = rest.next() {
            match byte {
                b'>' => depth += 1,
                b'-' | b'+' | b'*' | b'.' | b')' if matches!(rest.peek(), Some(b' ' | b'\t')) => depth += 1,
                b' ' | b'\t' | b'0'..=b'9' => {}
                _ => break,
            }
        }
        depth > DEEPEST
    })
}

/// Signs of footnotes beyond which there are none: each is some 300 bytes of HTML.
const FOOTNOTES_MAX: usize = 1000;

/// Whether most cells of a text's tables are not in it: rows that are shorter than the head are filled up, and so 30 kB of text
/// would become 6 MB of page.
fn tables_are_made_up(markdown: &str) -> bool {
    let (mut cells, mut width) = (0, 0);
    for line in markdown.lines() {
        let line = line.trim();
        if line.is_empty() {
            width = 0;
        } else if line.contains(['|', '-']) && line.bytes().all(|b| b"|-: \t".contains(&b)) {
            width = width.max(line.bytes().filter(|b| *b == b'|').count() + 1);
        }
        cells += width;
    }
    cells > 1000 && cells > markdown.len()
}

/// The Markdown that is understood here.
pub(super) fn options(anchors: bool) -> Options<'static> {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.autolink = true;
    options.extension.tasklist = true;
    options.extension.footnotes = true;
    // Somebody who asks about <div> wants to see that; left out, words would vanish.
    options.render.escape = true;
    options.extension.header_id_prefix = anchors.then(String::new);
    // One line end is a line end: people don't know that Markdown wants two.
    options.render.hardbreaks = !anchors;
    options
}

fn html(markdown: &str, clean: &Builder<'static>, anchors: bool) -> String {
    if is_too_deep(markdown) {
        let mut text = String::from("<p>");
        let _ = escape(&mut text, markdown);
        return text + "</p>";
    }
    let mut options = options(anchors);
    options.extension.table = !tables_are_made_up(markdown);
    options.extension.footnotes = markdown.matches("[^").count() <= FOOTNOTES_MAX;
    let mut plugins = Plugins::default();
    plugins.render.codefence_syntax_highlighter = Some(&Classes);
    let html = clean.clean(&markdown_to_html_with_plugins(markdown, &options, &plugins)).to_string();
    if anchors { without_empty_links(&html) } else { html }
}

/// The renderer puts a heading's anchor on an empty link inside it, which the keyboard stops at and a screen reader can't
/// name. The heading itself carries it as well.
fn without_empty_links(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find("<a href=\"#") {
        let Some(end) = rest[at..].find("</a>") else { break };
        out.push_str(&rest[..at]);
        if !rest[at..at + end].ends_with('>') {
            out.push_str(&rest[at..at + end + 4]);
        }
        rest = &rest[at + end + 4..];
    }
    out + rest
}

static MESSAGE: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let tags = HashSet::from([
        "a",
        "blockquote",
        "br",
        "code",
        "del",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "input",
        "li",
        "ol",
        "p",
        "pre",
        "section",
        "span",
        "strong",
        "sup",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "tr",
        "ul",
    ]);
    let attributes = HashMap::from([
        ("a", HashSet::from(["href", "title", "id", "aria-label"])),
        ("li", HashSet::from(["id"])),
        ("code", HashSet::from(["class"])),
        ("span", HashSet::from(["class"])),
        ("input", HashSet::from(["type", "checked", "disabled"])),
        ("ol", HashSet::from(["start"])),
        ("td", HashSet::from(["align"])),
        ("th", HashSet::from(["align"])),
    ]);
    let mut builder = Builder::default();
    builder
        .tags(tags)
        .tag_attributes(attributes)
        .generic_attributes(HashSet::new())
        .allowed_classes(HashMap::new())
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        // `external`, or the browser's router would take a link to our own guide for a page of its own.
        .link_rel(Some("external noopener noreferrer nofollow"))
        // A form control that somebody could use has no place in a message.
        .set_tag_attribute_value("input", "disabled", "")
        .set_tag_attribute_value("input", "type", "checkbox")
        // What scrolls sideways has to be reached by the keyboard.
        .set_tag_attribute_value("pre", "tabindex", "0")
        .attribute_filter(|element, attribute, value| match (element, attribute) {
            // Only what our own highlighter writes: a message must not dress up as a part of the page.
            ("code" | "span", "class") => value
                .split(' ')
                .all(|class| class.starts_with("hl-") || class.starts_with("language-"))
                .then(|| value.into()),
            // Footnotes' own.
            (_, "id") => (value.starts_with("fn-") || value.starts_with("fnref-")).then(|| value.into()),
            _ => Some(value.into()),
        });
    builder
});

static GUIDE: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::default();
    builder
        .generic_attributes(HashSet::from(["id"]))
        .link_rel(Some("noopener noreferrer"))
        .set_tag_attribute_value("pre", "tabindex", "0");
    builder
});

/// The name under which the highlighter has a language that people call otherwise.
fn known_as(language: &str) -> &str {
    match language.to_ascii_lowercase().as_str() {
        "golang" => "go",
        "csharp" | "c-sharp" => "cs",
        "shell" | "console" | "shellscript" | "shell-session" => "sh",
        // Its own syntax needs a regular expression that our engine lacks; a shell's has the same variables, texts and comments.
        "powershell" | "pwsh" | "posh" | "ps1" => "sh",
        "docker" => "dockerfile",
        "make" => "makefile",
        "jsonc" | "json5" => "json",
        "node" | "jsx" | "ecmascript" => "js",
        "postgres" | "postgresql" | "plpgsql" | "mysql" | "sqlite" => "sql",
        "objective-c" | "objectivec" | "objc" => "m",
        "protobuf" => "proto",
        "hcl" => "tf",
        "fsharp" => "fs",
        "python3" | "py3" => "py",
        "gql" => "graphql",
        "cmd" | "batch" | "dos" => "bat",
        "assembly" => "asm",
        "mdx" => "md",
        "dotenv" => "env",
        _ => language,
    }
}

/// Highlights by classes.
struct Classes;

impl SyntaxHighlighterAdapter for Classes {
    fn write_highlighted(&self, output: &mut dyn Write, lang: Option<&str>, code: &str) -> fmt::Result {
        let syntax = lang
            .filter(|l| !l.is_empty() && code.len() <= HIGHLIGHT_MAX)
            .and_then(|l| SYNTAXES.find_syntax_by_token(known_as(l)));
        let Some(syntax) = syntax else {
            return escape(output, code);
        };
        let mut html =
            ClassedHTMLGenerator::new_with_class_style(syntax, &SYNTAXES, ClassStyle::SpacedPrefixed { prefix: "hl-" });
        for line in LinesWithEndings::from(code) {
            if html.parse_html_for_line_which_includes_newline(line).is_err() {
                return escape(output, code);
            }
        }
        output.write_str(&html.finalize())
    }

    fn write_pre_tag(&self, output: &mut dyn Write, _: HashMap<&'static str, Cow<'_, str>>) -> fmt::Result {
        output.write_str("<pre>")
    }

    fn write_code_tag(&self, output: &mut dyn Write, named: HashMap<&'static str, Cow<'_, str>>) -> fmt::Result {
        let Some(class) = named.get("class") else { return output.write_str("<code>") };
        output.write_str("<code class=\"")?;
        escape(output, class)?;
        output.write_str("\">")
    }
}

/// Text as HTML.
pub fn escape(output: &mut dyn Write, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            '&' => output.write_str("&amp;")?,
            '<' => output.write_str("&lt;")?,
            '>' => output.write_str("&gt;")?,
            '"' => output.write_str("&quot;")?,
            other => output.write_char(other)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_addresses_in_plain_text_are_links_and_nothing_else_is_more_than_its_letters() {
        let link = |address: &str| {
            format!("<a href=\"{address}\" rel=\"external noopener noreferrer nofollow\">{address}</a>")
        };
        assert_eq!(
            linked("see (https://example.org/a?b=1), <b>"),
            format!("see ({}), &lt;b&gt;", link("https://example.org/a?b=1"))
        );
        assert_eq!(linked("HTTP://EXAMPLE.ORG."), format!("{}.", link("HTTP://EXAMPLE.ORG")));
        assert_eq!(linked("https://a.example/?x=\"><script>").matches("<script>").count(), 0);
        assert_eq!(linked("https://a.example/&b"), link("https://a.example/&amp;b"));
        for none in [
            "plain",
            "https://good.example@evil.example/",
            "https://good.example\u{202e}/moc.live",
            "javascript://example.org/%0aalert(1)",
            "ftp://example.org",
            "vi@example.org",
            "a://b",
            "<i>://</i>",
        ] {
            assert_eq!(linked(none), "", "{none}");
        }
    }

    #[test]
    fn nothing_that_somebody_writes_becomes_more_than_text() {
        for attack in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "[x](javascript:alert(1))",
            "[x](data:text/html,<script>alert(1)</script>)",
            "<a href=\"javascript:alert(1)\">x</a>",
            "![x](https://example.org/pixel.png)",
            "<iframe src=//example.org></iframe>",
            "<style>*{display:none}</style>",
            "<form action=//example.org><input name=password></form>",
            "```\"><script>alert(1)</script>\n<script>\n```",
            "```rust \" onmouseover=\"alert(1)\nfn main() {}\n```",
            "<span class=\"problem\">x</span>",
            "<http://example.org/\"onmouseover=\"alert(1)>",
        ] {
            let html = to_html(attack);
            let page = scraper::Html::parse_fragment(&html);
            let all = scraper::Selector::parse("*").unwrap();
            for element in page.select(&all) {
                let element = element.value();
                assert!(
                    !["script", "img", "iframe", "style", "form", "object", "svg"].contains(&element.name()),
                    "{attack} -> {html}"
                );
                for (name, value) in element.attrs() {
                    assert!(!name.starts_with("on") && name != "style", "{attack} -> {html}");
                    assert!(
                        !value.to_lowercase().contains("javascript:") && !value.starts_with("data:"),
                        "{attack} -> {html}"
                    );
                    assert!(name != "class" || !value.contains("problem"), "{attack} -> {html}");
                }
            }
        }
    }

    #[test]
    fn what_looks_like_html_is_shown_as_it_was_written() {
        let text = |markdown: &str| {
            scraper::Html::parse_fragment(&to_html(markdown)).root_element().text().collect::<String>()
        };
        let asked = "How do I centre a <div class=\"a\"> in a <span>? And Vec<String>, a < b, <my-tag>x</my-tag>";
        assert_eq!(text(asked).trim(), asked);
        assert_eq!(
            text("<table><tr><td>1</td></tr></table>\n\nafter").replace('\n', " ").trim(),
            "<table><tr><td>1</td></tr></table> after"
        );
        assert_eq!(text("<!-- a comment -->").trim(), "<!-- a comment -->");
    }

    #[test]
    fn a_short_text_becomes_no_long_page() {
        let wide = format!("|{}\n|{}\n{}", "a|".repeat(3000), "-|".repeat(3000), "|b\n".repeat(6000));
        let signs = format!("{}\n\n[^a]: x", "[^a]".repeat(60_000));
        let many = format!("|{}\n|{}\n{}\n", "a|".repeat(30), "-|".repeat(30), "|b\n".repeat(400)).repeat(27);
        for text in [&wide, &signs, &many] {
            assert!(to_html(text).len() < 12 * text.len(), "{}", to_html(text).len());
        }
        // Those that people write are tables all the same, some cells left out or not.
        let long = format!("| a | b | c |\n|---|---|---|\n{}", "| 1 | 2 |\n".repeat(2000));
        assert!(to_html(&long).contains("<table") && to_html("a[^1]\n\n[^1]: b").contains("fn-1"));
    }

    #[test]
    fn code_is_highlighted_by_classes_and_tables_lists_and_links_are_kept() {
        let html = to_html(
            "```rust\nfn main() {}\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- [x] done\n\nhttps://example.org",
        );
        assert!(html.contains("hl-") && html.contains("<table") && html.contains("type=\"checkbox\""), "{html}");
        assert!(html.contains("rel=\"external noopener noreferrer nofollow\""), "{html}");
        assert!(!html.contains("style="), "{html}");
    }

    #[test]
    fn a_copy_button_stands_at_code_and_nowhere_that_somebody_says() {
        let html = finish(
            MessageId(uuid::Uuid::nil()),
            &to_html("```rust\nfn main() {}\n```\n\n[x](https://example.org '<pre onmouseover=alert(1)></pre>')"),
        );
        let page = scraper::Html::parse_fragment(&html);
        let count = |what: &str| page.select(&scraper::Selector::parse(what).unwrap()).count();
        assert_eq!(
            (count("div.code > .language + button + pre > code"), count("button"), count("[onmouseover]")),
            (1, 1, 0),
            "{html}"
        );
    }

    #[test]
    fn a_block_of_code_says_its_language_and_nothing_else_can_be_said_there() {
        let named = |markdown: &str| {
            let html = finish(MessageId(uuid::Uuid::nil()), &to_html(markdown));
            let page = scraper::Html::parse_fragment(&html);
            let name = scraper::Selector::parse("div.code > .language").unwrap();
            page.select(&name).map(|found| found.inner_html()).collect::<Vec<_>>()
        };
        assert_eq!(named("```rust\nfn main() {}\n```"), ["rust"]);
        assert_eq!(named("```c++ and more\nint a;\n```"), ["c++"]);
        for nameless in [
            "```\nx\n```",
            "    x",
            "```<b>x</b>\nx\n```",
            "```\"onclick=\"\nx\n```",
            &format!("```{}\nx\n```", "a".repeat(40)),
        ] {
            assert!(named(nameless).is_empty(), "{nameless}");
        }
    }

    #[test]
    fn footnotes_lead_to_their_own_message() {
        let markdown = "One[^1], another[^ä] and one again[^1].\n\n[^1]: The first.\n[^ä]: The second.";
        let of = |n: u128| finish(MessageId(uuid::Uuid::from_u128(n)), &to_html(markdown));
        let html = of(1) + &of(2);
        let page = scraper::Html::parse_fragment(&html);
        let all = |what: &str, attribute: &str| {
            let what = scraper::Selector::parse(what).unwrap();
            page.select(&what).filter_map(|e| e.attr(attribute).map(str::to_owned)).collect::<Vec<_>>()
        };
        let (ids, links) = (all("[id]", "id"), all("a[href]", "href"));
        assert_eq!(ids.len(), 10, "{html}");
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "{html}");
        assert_eq!(links.len(), 12, "{html}");
        for link in links {
            assert!(ids.iter().any(|id| link == format!("#{id}")), "{link}: {html}");
        }
        assert_eq!(all("a[aria-label]", "aria-label").len(), 6, "{html}");
        let said = finish(MessageId(uuid::Uuid::nil()), &to_html("[x](https://example.org ' id=\"fn-1\"')"));
        assert!(said.contains("&quot;fn-1"), "{said}");
    }

    #[test]
    fn the_boxes_of_a_list_of_tasks_have_names_and_a_wide_table_scrolls_by_itself() {
        let html =
            finish(MessageId(uuid::Uuid::nil()), &to_html("- [x] one\n- [ ] two\n\n| a | b |\n|---|---|\n| 1 | 2 |"));
        let page = scraper::Html::parse_fragment(&html);
        let count = |what: &str| page.select(&scraper::Selector::parse(what).unwrap()).count();
        for what in [
            "li > input[type=checkbox][disabled][checked][aria-label=\"Done\"]",
            "li > input[type=checkbox][disabled]:not([checked])[aria-label=\"Not done\"]",
            "div.table[tabindex=\"0\"][aria-label] > table",
        ] {
            assert_eq!(count(what), 1, "{what}: {html}");
        }
    }

    /// As people and models write them behind the backticks, with a piece of each.
    const LANGUAGES: &[(&str, &str)] = &[
        ("rust rs", "fn main() { let x = \"a\"; } // end"),
        ("python py python3 py3", "def f(x):\n    return \"a\"  # end"),
        ("javascript js jsx node", "const x = () => \"a\"; // end"),
        ("typescript ts", "const x: number = 1; // end"),
        ("tsx", "const x: JSX.Element = <b className=\"a\">{1}</b>;"),
        ("go golang", "func main() { x := \"a\" } // end"),
        ("java", "class A { int x = 1; } // end"),
        ("kotlin kt", "fun main() { val x = \"a\" } // end"),
        ("swift", "func f() -> Int { let x = 1 } // end"),
        ("c h", "int main(void) { return 0; } /* end */"),
        ("cpp c++ cc hpp", "class A { int x = 1; }; // end"),
        ("csharp cs c#", "public class A { int X = 1; } // end"),
        ("objective-c objc", "@interface A : NSObject\n@end // end"),
        ("php", "<?php function f() { return \"a\"; } // end"),
        ("ruby rb", "def f\n  \"a\"\nend # end"),
        ("sql postgresql postgres mysql sqlite", "select 'a' from b where c = 1; -- end"),
        ("html", "<p class=\"a\">b</p><!-- end -->"),
        ("css", "p { color: red; } /* end */"),
        ("scss sass", "$a: red;\np { color: $a; }"),
        ("less", "@a: red;\np { color: @a; }"),
        ("json jsonc json5", "{\"a\": 1, \"b\": true}"),
        ("yaml yml", "a: \"b\" # end\nc: 1"),
        ("toml", "[a]\nb = \"c\" # end"),
        ("xml svg", "<a b=\"c\">d</a><!-- end -->"),
        ("bash sh shell zsh console", "if [ -n \"$x\" ]; then echo 'a'; fi # end"),
        ("fish", "if test -n \"$x\"; echo 'a'; end # end"),
        ("powershell ps1 pwsh", "$x = \"a\"; if ($x) { Write-Output 1 } # end"),
        ("bat cmd batch", "@echo off\nset a=\"b\"\nrem end"),
        ("dockerfile docker", "FROM debian\nRUN echo \"a\" # end"),
        ("makefile make", "all: a\n\techo $(B) # end"),
        ("cmake", "set(A \"b\") # end"),
        ("lua", "local x = \"a\" -- end"),
        ("perl pl", "my $x = \"a\"; # end"),
        ("r", "f <- function(x) { \"a\" } # end"),
        ("scala", "object A { val x = \"a\" } // end"),
        ("haskell hs", "f :: Int -> Int\nf x = x + 1 -- end"),
        ("elixir ex exs", "defmodule A do\n  def f, do: \"a\" # end\nend"),
        ("erlang erl", "-module(a).\nf() -> \"a\". % end"),
        ("clojure clj", "(defn f [x] \"a\") ; end"),
        ("lisp", "(defun f (x) \"a\") ; end"),
        ("ocaml ml", "let f x = \"a\" (* end *)"),
        ("fsharp fs f#", "let f x = \"a\" // end"),
        ("dart", "void main() { var x = \"a\"; } // end"),
        ("julia jl", "function f(x)\n  \"a\" # end\nend"),
        ("groovy gradle", "def x = \"a\" // end"),
        ("graphql gql", "type A { b: Int! } # end"),
        ("protobuf proto", "message A { string b = 1; } // end"),
        ("terraform tf hcl", "resource \"a\" \"b\" { c = 1 } # end"),
        ("nix", "{ a = \"b\"; } # end"),
        ("zig", "const x: u8 = 1; // end"),
        ("diff patch", "--- a\n+++ b\n@@ -1 +1 @@\n-a\n+b"),
        ("markdown md", "# A\n\n**b** `c`"),
        ("latex tex", "\\section{A} $x$ % end"),
        ("nginx", "server { listen 80; } # end"),
        ("ini", "[a]\nb=c ; end"),
        ("dotenv env", "A=\"b\" # end"),
        ("vue", "<template><p class=\"a\">b</p></template>"),
        ("svelte", "<script>let a = 1;</script><p class=\"a\">b</p>"),
        ("vim viml", "let x = \"a\"\nif x | endif"),
        ("matlab", "function f(x)\n  y = 'a'; % end\nend"),
        ("asm assembly", "mov eax, 1 ; end"),
        ("http", "GET /a HTTP/1.1\nHost: b"),
    ];

    #[test]
    fn code_in_the_languages_that_people_write_is_coloured() {
        let classes = |language: &str, code: &str| {
            let html = to_html(&format!("```{language}\n{code}\n```"));
            let page = scraper::Html::parse_fragment(&html);
            let span = scraper::Selector::parse("pre code span").unwrap();
            let all = page.select(&span).filter_map(|e| e.attr("class").map(str::to_owned));
            all.collect::<HashSet<_>>().len()
        };
        let all = LANGUAGES.iter().flat_map(|(names, code)| names.split(' ').map(move |name| (name, *code)));
        let plain: Vec<_> = all.clone().filter(|(name, code)| classes(name, code) < 3).map(|(name, _)| name).collect();
        assert!(plain.is_empty(), "not coloured: {plain:?}");
        let loud: Vec<_> =
            all.filter(|(name, code)| classes(&name.to_uppercase(), code) < 3).map(|(name, _)| name).collect();
        assert!(loud.is_empty(), "not coloured in capitals: {loud:?}");
        for unknown in ["brainfog", "text", "plaintext", "txt", ""] {
            assert!(classes(unknown, "let x = \"a\"; // end") < 2, "{unknown}");
        }
    }

    #[test]
    fn a_text_that_only_nests_is_shown_as_text() {
        for nest in [">", "> ", "- ", "* ", "+ ", "1. ", "1) ", ">- "] {
            let html = to_html(&nest.repeat(31_000 / nest.len()));
            assert!(html.starts_with("<p>") && !html.contains("<blockquote") && !html.contains("<li"), "{nest}");
        }
        assert!(to_html(&"> ".repeat(20)).contains("<blockquote>"));
        assert!(to_html("> quoted\n\n- - a list in a list").contains("<li>"));
    }

    #[test]
    fn an_unknown_language_is_plain_text() {
        assert!(to_html("```brainfog\na < b\n```").contains("a &lt; b"));
    }
}
