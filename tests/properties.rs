//! What is read from strangers, with thousands of cases each: cursors, tokens, forwarded addresses, Markdown. The seed is
//! fixed, so that a run that fails fails again.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use moat::{
    server::{
        issuers::Issuers,
        jwt::{Claims, Tokens},
        proxies,
    },
    threads::{
        markdown::{to_guide_html, to_html},
        model::{Place, complete_blocks},
    },
    types::{SessionId, ThreadId, UserId},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::json;

const CASES: u32 = 4000;

fn holds<S: Strategy>(cases: u32, strategy: &S, law: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    if let Err(error) = TestRunner::new_with_rng(config, rng).run(strategy, law) {
        panic!("{error}");
    }
}

#[test]
fn a_place_that_is_printed_is_read_again_and_nothing_else_is_read() {
    const LATEST: i64 = 253_402_300_799_000_000;
    holds(CASES, &(0..=LATEST, any::<u128>()), |(micros, id)| {
        let place = Place { micros, id: ThreadId(uuid::Uuid::from_u128(id)) };
        prop_assert_eq!(place.to_string().parse::<Place>().ok(), Some(place));
        Ok(())
    });
    holds(CASES, &(any::<i64>(), any::<u128>()), |(micros, id)| {
        let text = format!("{micros}.{}", uuid::Uuid::from_u128(id));
        prop_assert_eq!(text.parse::<Place>().is_ok(), (0..=LATEST).contains(&micros), "{}", text);
        Ok(())
    });
    let near = "[-+ 0-9]{0,22}[.,]?[-{}0-9a-fA-F:urnid]{0,50}";
    holds(CASES, &prop_oneof![".{0,80}", near], |text: String| {
        if let Ok(place) = text.parse::<Place>() {
            prop_assert!((0..=LATEST).contains(&place.micros), "{text}");
            prop_assert_eq!(place.to_string().parse::<Place>().ok(), Some(place));
        }
        Ok(())
    });
}

const SECRET: &str = "a secret that is shared with the issuer";

/// Three parts that are almost those of a token.
fn almost_a_token() -> impl Strategy<Value = String> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
    let json = prop_oneof![
        Just(json!({ "alg": "HS256", "kid": "moat-1" }).to_string()),
        Just(json!({ "iss": "moat", "sub": uuid::Uuid::nil() }).to_string()),
        Just(json!({ "iss": "https://a.example", "sub": "x", "aud": "b", "exp": 1e300 }).to_string()),
        "\\{(\"(alg|kid|iss|sub|exp|aud|crit|jwk)\":(\"[a-zA-Z0-9]{0,6}\"|-?[0-9]{1,20}|null|\\[\\]|\\{\\}),?){0,6}\\}",
        ".{0,40}",
    ];
    let part = prop_oneof![json.prop_map(move |json| B64.encode(json)), "[A-Za-z0-9_=+/-]{0,60}"];
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.join("."))
}

#[test]
fn nothing_that_was_not_signed_is_a_token() {
    let tokens = Tokens::new(SECRET.as_bytes());
    let setting = json!([{ "issuer": "https://a.example", "audience": "b", "hs256_secret": SECRET }]).to_string();
    let issuers = Issuers::read(Some(&setting)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    holds(CASES, &prop_oneof![almost_a_token(), ".{0,200}"], |text: String| {
        prop_assert!(tokens.verify(&text).is_err(), "{text}");
        prop_assert!(!matches!(runtime.block_on(issuers.verify(&text)), Some(Ok(_))), "{text}");
        Ok(())
    });
    // One that was signed, with one character changed.
    let now = moat::server::caller::now();
    let own = tokens.mint(UserId(uuid::Uuid::nil()), SessionId(uuid::Uuid::nil()), now).unwrap();
    let claims = json!({ "iss": "https://a.example", "aud": "b", "sub": "x", "iat": now, "exp": now + 300 });
    let outside =
        encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
    assert!(tokens.verify(&own).is_ok());
    assert!(matches!(runtime.block_on(issuers.verify(&outside)), Some(Ok(_))));
    holds(CASES, &(any::<bool>(), any::<prop::sample::Index>(), "[A-Za-z0-9_.=-]"), |(which, at, new)| {
        let whole = if which { &own } else { &outside };
        let at = at.index(whole.len());
        let changed = format!("{}{new}{}", &whole[..at], &whole[at + 1..]);
        if changed != *whole {
            let taken: Option<Claims> = tokens.verify(&changed).ok();
            prop_assert!(taken.is_none(), "{changed}");
            prop_assert!(!matches!(runtime.block_on(issuers.verify(&changed)), Some(Ok(_))), "{changed}");
        }
        Ok(())
    });
}

#[test]
fn whatever_is_sent_to_a_proxy_the_address_that_it_saw_counts_or_its_own() {
    let proxies = ["10.0.0.0/8", "fd00::/8"].map(|net| proxies::network(net).unwrap());
    let (proxy, seen): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "203.0.113.9".parse().unwrap());
    let hop = || {
        prop_oneof![
            "[0-9a-f.:\\[\\]]{0,20}",
            "[0-9]{1,3}(\\.[0-9]{1,3}){3}(:[0-9]{1,5})?",
            "(for|by|proto)=\"?[0-9.:;,\\\\\"]{0,20}\"?",
            "[ -~]{0,30}"
        ]
    };
    let sent = || prop::collection::vec(prop::collection::vec(hop(), 0..4).prop_map(|hops| hops.join(",")), 0..3);
    let strategy = (sent(), sent(), any::<bool>());
    holds(CASES, &strategy, |(plain, rich, writes_forwarded)| {
        let mut headers = HeaderMap::new();
        let mut add = |name: &'static str, values: Vec<String>, own: Option<&str>| {
            // The proxy appends to the last line of its header, or makes one.
            let mut values = values;
            if let Some(own) = own {
                match values.last_mut() {
                    Some(last) => *last = format!("{last}, {own}"),
                    None => values.push(own.to_owned()),
                }
            }
            for value in values {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.append(name, value);
                }
            }
        };
        add("x-forwarded-for", plain, (!writes_forwarded).then_some("203.0.113.9"));
        add("forwarded", rich, writes_forwarded.then_some("for=203.0.113.9"));
        let counted = proxies::client(proxy, &headers, &proxies);
        prop_assert!(counted == seen || counted == proxy, "{counted}: {headers:?}");
        prop_assert_eq!(
            proxies::client("198.51.100.7".parse().unwrap(), &headers, &proxies).to_string(),
            "198.51.100.7"
        );
        Ok(())
    });
}

/// Pieces that mean something to a Markdown parser, to an HTML parser, or to neither.
fn markdown() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec![
            "<script>", "</script>", "<script src=//evil.example>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>",
            "<a href=\"javascript:alert(1)\">", "</a>", "<!--", "-->", "<![CDATA[", "]]>", "<?php", "<style>", "</style>",
            "<iframe srcdoc=\"<b>\">", "<p onclick=x>", "<input autofocus onfocus=x>", "<math><mtext>", "</p>", "</div>",
            "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "[x](java&#x0A;script:alert(1))", "[x](data:text/html,y)",
            "[x](vbscript:y)", "[x](<javascript:y>)", "[x]: javascript:alert(1) \"t\"", "[x][x]", "![x](https://evil.example/p.png)",
            "<javascript:alert(1)>", "<https://a.example/\"onmouseover=\"x>", "https://a.example/'onclick='x", "[x](https://a.example \"t\" onclick=x)",
            "&lt;script&gt;", "&#106;avascript:", "&#0;", "&colon;", "\\<script>",
        ]).prop_map(str::to_owned),
        3 => prop::sample::select(vec![
            "\n", "\n\n", "```", "```html\n", "~~~", "`", "``", "    ", "\t", "> ", "- ", "1. ", "- [x] ", "# ", "---\n", "| a | b |\n|---|---|\n",
            "|", "[^1]", "[^1]: ", "**", "_", "~~", "[", "](", ")", "<", ">", "\"", "'", "\\", "&", "===\n", "\r\n", "\0",
        ]).prop_map(str::to_owned),
        2 => "[ -~]{0,12}",
        1 => ".{0,8}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

#[test]
fn markdown_never_becomes_more_than_text_and_is_always_well_formed() {
    holds(CASES, &markdown(), |text| {
        harmless(&to_html(&text), &text)?;
        well_formed(&to_html(&text), &text)?;
        well_formed(&to_guide_html(&text), &text)
    });
}

#[test]
fn an_unfinished_answer_can_be_cut_and_rendered_anywhere() {
    holds(CASES / 2, &(markdown(), any::<prop::sample::Index>()), |(text, at)| {
        let cut = text.floor_char_boundary(at.index(text.len() + 1));
        let so_far = &text[..cut];
        let complete = complete_blocks(so_far);
        prop_assert!(so_far.is_char_boundary(complete) && complete <= cut, "{so_far:?}");
        well_formed(&to_html(&so_far[..complete]), so_far)
    });
}

/// By a parser that browsers agree with: only our elements, no handlers, no styles, no address but the three kinds.
fn harmless(html: &str, from: &str) -> Result<(), TestCaseError> {
    let page = scraper::Html::parse_fragment(html);
    let all = scraper::Selector::parse("*").unwrap();
    for element in page.select(&all) {
        let element = element.value();
        let known = [
            "html",
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
        ];
        prop_assert!(known.contains(&element.name()), "{} from {from:?}: {html}", element.name());
        for (name, value) in element.attrs() {
            let known = match name {
                // As browsers read it, from a page of ours.
                "href" => reqwest::Url::parse("https://moat.example/chat")
                    .and_then(|page| page.join(value))
                    .is_ok_and(|url| ["http", "https", "mailto"].contains(&url.scheme())),
                "class" => value.split(' ').all(|c| c.starts_with("hl-") || c.starts_with("language-")),
                "rel" => value == "external noopener noreferrer nofollow",
                "type" => value == "checkbox",
                "tabindex" => value == "0",
                "id" => value.starts_with("fn-") || value.starts_with("fnref-"),
                "aria-label" => value.starts_with("Back to reference "),
                "title" | "checked" | "disabled" | "start" | "align" => true,
                _ => false,
            };
            prop_assert!(known, "{name}={value:?} from {from:?}: {html}");
        }
    }
    Ok(())
}

/// Every element that is opened is closed, in order; every attribute is quoted.
fn well_formed(html: &str, from: &str) -> Result<(), TestCaseError> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let mut quoted = false;
        let end = rest.char_indices().find(|(_, c)| {
            quoted ^= *c == '"';
            *c == '>' && !quoted
        });
        let Some((end, _)) = end else { return Err(TestCaseError::fail(format!("no end: {html} from {from:?}"))) };
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            prop_assert_eq!(open.pop(), Some(name), "{} from {:?}", html, from);
        } else {
            let name = tag.split([' ', '\n']).next().unwrap_or_default();
            prop_assert!(
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric()),
                "<{tag}> from {from:?}: {html}"
            );
            if !["br", "hr", "input", "img"].contains(&name) {
                open.push(name);
            }
        }
    }
    prop_assert!(open.is_empty(), "{open:?} left open: {html} from {from:?}");
    Ok(())
}
