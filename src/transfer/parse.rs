//! What a file of conversations says. It is read from front to back, a conversation in memory at a time.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    io::Read,
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    model::{Said, Talk},
    sql::Arrival,
};
use crate::{
    threads::model::{KEPT_MAX, TITLE_MAX},
    types::Role,
};

/// How answers end that are not whole.
const ENDS: [&str; 3] = ["stopped", "failed", "interrupted"];

/// What became of a file, but for what was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What is wrong and where, if it was not read to its end.
    pub broken: Option<String>,
    /// Conversations of a shape that nobody knows.
    pub left_out: usize,
    /// Messages that were too long.
    pub cut: usize,
}

impl Found {
    pub fn broken(why: &str) -> Self {
        Self { broken: Some(why.to_owned()), ..Self::default() }
    }
}

/// What there is to be said of it; nothing when all of it was taken.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left_out = match self.left_out {
            0 => None,
            1 => Some("1 conversation could not be read and was left out.".to_owned()),
            n => Some(format!("{n} conversations could not be read and were left out.")),
        };
        let cut = match self.cut {
            0 => None,
            1 => Some("1 message was longer than 1 MB and was cut.".to_owned()),
            n => Some(format!("{n} messages were longer than 1 MB and were cut.")),
        };
        let said: Vec<String> = [self.broken.clone(), left_out, cut].into_iter().flatten().collect();
        f.write_str(&said.join(" "))
    }
}

/// Calls `take` with each conversation; `false` ends the reading.
pub fn conversations(file: impl Read, take: impl FnMut(Arrival) -> bool) -> Found {
    let mut taker = Taker { take, found: Found::default() };
    let mut json = serde_json::Deserializer::from_reader(file);
    let read = json.deserialize_any(Whole(&mut taker)).and_then(|()| json.end());
    let mut found = taker.found;
    found.broken = read.err().map(|error| {
        if error.line() == 0 {
            format!("{error}.")
        } else {
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or_default();
            format!("Line {}, column {}: {what}.", error.line(), error.column())
        }
    });
    found
}

struct Taker<F> {
    take: F,
    found: Found,
}

impl<F: FnMut(Arrival) -> bool> Taker<F> {
    /// A list of conversations. Each is cut out of the file before anybody looks into it, so that one of another shape is no
    /// reason to stop.
    fn list<'de, T: DeserializeOwned, A: SeqAccess<'de>>(
        &mut self,
        mut list: A,
        arrival: impl Fn(T) -> Option<(Arrival, usize)>,
    ) -> Result<(), A::Error> {
        while let Some(json) = list.next_element::<Box<RawValue>>()? {
            let Ok(conversation) = serde_json::from_str(json.get()) else {
                self.found.left_out += 1;
                continue;
            };
            let Some((arrival, cut)) = arrival(conversation) else { continue };
            self.found.cut += cut;
            if !(self.take)(arrival) {
                return Err(A::Error::custom("the import was broken off"));
            }
        }
        Ok(())
    }
}

/// ChatGPT's file is an array of conversations, ours an object with one under `threads`.
struct Whole<'t, F>(&'t mut Taker<F>);

impl<'de, F: FnMut(Arrival) -> bool> Visitor<'de> for Whole<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of conversations or an export of moat")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        self.0.list(list, Conversation::arrival)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut ours = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "format" => ours = map.next_value::<String>()? == "moat",
                "version" if ours && map.next_value::<u64>()? != 1 => {
                    return Err(A::Error::custom("this file is of a newer moat, which has to read it"));
                }
                "version" if ours => {}
                "threads" if ours => map.next_value_seed(Threads(self.0))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if ours {
            Ok(())
        } else {
            Err(A::Error::custom("this is neither ChatGPT's conversations.json nor an export of moat"))
        }
    }
}

struct Threads<'t, F>(&'t mut Taker<F>);

impl<'de, F: FnMut(Arrival) -> bool> DeserializeSeed<'de> for Threads<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(Arrival) -> bool> Visitor<'de> for Threads<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of threads")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        self.0.list(list, |talk: Talk| arrival("moat", talk.id.parse().ok(), talk))
    }
}

/// A conversation of ChatGPT's export: a tree, of which much is not said by anybody.
#[derive(Deserialize)]
struct Conversation {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    create_time: Option<f64>,
    #[serde(default)]
    update_time: Option<f64>,
    /// Newer exports have both, and both say the same.
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    conversation_id: Option<String>,
    #[serde(default)]
    current_node: Option<String>,
    mapping: HashMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    author: Author,
    #[serde(default)]
    create_time: Option<f64>,
    /// Whom it is said to: a tool, unless it is `all`.
    #[serde(default)]
    recipient: Option<String>,
    #[serde(default)]
    content: serde_json::Value,
}

#[derive(Deserialize)]
struct Author {
    role: String,
}

impl Message {
    /// What somebody reads of it, if anything.
    fn said(&self) -> Option<(Role, String)> {
        let role = match self.author.role.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => return None,
        };
        let is_code = self.content.get("content_type").is_some_and(|kind| kind == "code");
        if role == Role::Assistant && (is_code || self.recipient.as_deref().is_some_and(|to| to != "all")) {
            return None;
        }
        let parts = self.content.get("parts").and_then(|p| p.as_array());
        let text = match parts {
            Some(parts) => parts.iter().filter_map(|p| p.as_str()).collect::<Vec<_>>().join("\n\n"),
            None => self.content.get("text").and_then(|t| t.as_str()).unwrap_or_default().to_owned(),
        };
        (!text.trim().is_empty()).then_some((role, text))
    }
}

impl Conversation {
    fn arrival(self) -> Option<(Arrival, usize)> {
        let begun = self.create_time.unwrap_or_default();
        let said: HashMap<String, (Role, String, f64)> = self
            .mapping
            .iter()
            .filter_map(|(id, node)| {
                let message = node.message.as_ref()?;
                let (role, text) = message.said()?;
                Some((id.clone(), (role, text, message.create_time.unwrap_or(begun))))
            })
            .collect();
        // Over what nobody said to the nearest message above; a ring ends where it began.
        let above = |id: &str| {
            let mut seen = HashSet::new();
            let mut at = self.mapping.get(id)?.parent.as_deref()?;
            while seen.insert(at) {
                if said.contains_key(at) {
                    return Some(at.to_owned());
                }
                at = self.mapping.get(at)?.parent.as_deref()?;
            }
            None
        };
        let parents: HashMap<&str, Option<String>> = said.keys().map(|id| (id.as_str(), above(id))).collect();
        // The branch that was open is the one that is shown: its last message has to be the newest.
        let open = self
            .current_node
            .as_deref()
            .and_then(|id| if said.contains_key(id) { Some(id.to_owned()) } else { above(id) });
        let mut waiting: Vec<&str> = said.keys().map(String::as_str).collect();
        waiting.sort_by(|a, b| {
            let key = |id: &str| (Some(id) == open.as_deref(), said.get(id).map_or(begun, |s| s.2));
            let ((last_a, at_a), (last_b, at_b)) = (key(a), key(b));
            last_a.cmp(&last_b).then(at_a.total_cmp(&at_b)).then(a.cmp(b))
        });
        let mut children: HashMap<&str, Vec<&str>> = HashMap::new();
        for id in waiting.iter().rev() {
            if let Some(Some(parent)) = parents.get(id) {
                children.entry(parent).or_default().push(id);
            }
        }
        // Depth first from the roots, the youngest branch last; what hangs on a ring is reached from nowhere and left out.
        let mut stack: Vec<&str> = waiting.iter().rev().copied().filter(|id| parents.get(id) == Some(&None)).collect();
        let mut messages = Vec::new();
        let mut end = None;
        while let Some(id) = stack.pop() {
            let Some((role, text, at)) = said.get(id) else { continue };
            let message = Said {
                id: id.to_owned(),
                parent: parents.get(id).cloned().flatten(),
                role: *role,
                text: text.clone(),
                at: *at,
                ended: None,
                deleted: false,
            };
            if Some(id) == open.as_deref() && !children.contains_key(id) {
                end = Some(message);
            } else {
                messages.push(message);
            }
            stack.extend(children.get(id).into_iter().flatten());
        }
        messages.extend(end);
        let id = self.id.or(self.conversation_id);
        let id = id.unwrap_or_else(|| format!("{begun} {}", self.title.as_deref().unwrap_or_default()));
        let talk = Talk {
            id,
            title: self.title.unwrap_or_default(),
            created_at: begun,
            active_at: self.update_time.unwrap_or(begun),
            messages,
        };
        arrival("chatgpt", None, talk)
    }
}

/// What is stored of a conversation, and how many messages had to be cut; `None` if nobody says anything in it. Its ids follow from those it had, so that it is
/// the same one each time it comes.
fn arrival(from: &str, source: Option<uuid::Uuid>, talk: Talk) -> Option<(Arrival, usize)> {
    let id_of = |what: &str| {
        let digest =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{from}\n{}\n{what}", talk.id).as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_ref()[..16]);
        uuid::Uuid::from_bytes(bytes)
    };
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    // 1970 to 9999; what a timestamp can't hold is the beginning of time.
    let time = |at: f64| if (0.0..253_402_300_799.0).contains(&at) { at } else { 0.0 };
    let mut places = HashMap::new();
    let mut messages = Vec::new();
    let mut cut = 0;
    for said in &talk.messages {
        if places.contains_key(said.id.as_str()) {
            continue;
        }
        let parent = said.parent.as_deref().and_then(|p| places.get(p).copied());
        places.insert(said.id.as_str(), messages.len());
        let mut text = clean(&said.text);
        cut += usize::from(text.len() > KEPT_MAX);
        text.truncate(text.floor_char_boundary(KEPT_MAX));
        messages.push(serde_json::json!({
            "client": id_of(&said.id), "parent": parent, "role": said.role, "text": text, "at": time(said.at),
            "ended": said.ended.as_deref().filter(|ended| ENDS.contains(ended)), "deleted": said.deleted,
        }));
    }
    if messages.is_empty() {
        return None;
    }
    let title: String = clean(&talk.title)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(TITLE_MAX)
        .collect();
    let arrival = Arrival {
        client: id_of(""),
        source,
        title: if title.is_empty() { "Imported chat".to_owned() } else { title },
        created_at: time(talk.created_at),
        active_at: time(talk.active_at),
        messages: messages.into(),
    };
    Some((arrival, cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(json: &str) -> (Vec<Arrival>, Found) {
        let mut talks = Vec::new();
        let found = conversations(json.as_bytes(), |talk| {
            talks.push(talk);
            true
        });
        (talks, found)
    }

    #[test]
    fn a_tree_keeps_its_branches_and_ends_with_the_one_that_was_open() {
        let node = |parent: &str, role: &str, text: &str, at: u32| {
            format!(
                r#"{{"parent":{parent},"message":{{"author":{{"role":"{role}"}},"create_time":{at},"content":{{"content_type":"text","parts":["{text}"]}}}}}}"#
            )
        };
        let json = format!(
            r#"[{{"title":"T","create_time":1.5,"update_time":9,"id":"c","current_node":"b","mapping":{{
                "root":{{"parent":null,"message":null}}, "sys":{}, "q":{}, "a":{}, "b":{}, "r1":{}, "r2":{}}}}}]"#,
            node("\"root\"", "system", "be nice", 1),
            node("\"sys\"", "user", "question", 2),
            node("\"q\"", "assistant", "late answer", 8),
            node("\"q\"", "assistant", "open answer", 3),
            node("\"r2\"", "user", "ring", 4),
            node("\"r1\"", "user", "ring", 5),
        );
        let (talks, found) = all(&json);
        assert_eq!(found, Found::default());
        let messages = talks[0].messages.as_array().unwrap();
        let texts: Vec<&str> = messages.iter().map(|m| m["text"].as_str().unwrap()).collect();
        assert_eq!(texts, ["question", "late answer", "open answer"]);
        assert_eq!(messages.iter().map(|m| m["parent"].as_u64()).collect::<Vec<_>>(), [None, Some(0), Some(0)]);
        assert_eq!(all(&json).0[0].client, talks[0].client);
    }

    #[test]
    fn a_broken_file_says_where() {
        for (json, said) in [
            ("", "Line 1, column 0: EOF while parsing a value."),
            ("[\n{\"mapping\": 5}, 7 x]", "Line 2, column 19: expected `,` or `]`. 2 conversations could not be read"),
            ("{\"a\": 1}", "neither ChatGPT's"),
            ("[]x", "Line 1, column 3: trailing characters."),
            ("\"text\"", "Line 1, column "),
            ("{\"format\":\"moat\",\"threads\":[{\"id\":1}]}", "1 conversation could not be read"),
        ] {
            let error = all(json).1.to_string();
            assert!(error.contains(said), "{json}: {error}");
        }
        for nothing in ["[]", "[{\"mapping\":{}}]"] {
            assert!(all(nothing).0.is_empty() && all(nothing).1 == Found::default());
        }
    }
}
