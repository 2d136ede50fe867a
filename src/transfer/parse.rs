//! What a file of conversations says. It is read from front to back, a conversation in memory at a time.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    io::Read,
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    model::{Kept, Said, Talk},
    sql::Arrival,
};
use crate::{
    folders::model as folders,
    threads::model::{KEPT_MAX, TITLE_MAX},
    types::Role,
};

/// How answers end that are not whole.
const ENDS: [&str; 3] = ["stopped", "failed", "interrupted"];

/// Characters of the longest name of a model.
const MODEL_MAX: usize = 200;

/// What a file has and nobody keeps, or not as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// A conversation of a shape that nobody knows.
    Conversation,
    /// A message that hangs on itself, or is there twice.
    Message,
    /// One whose parent does not stand before it.
    Astray,
    /// One that was too long.
    Cut,
    /// A folder that can't be kept, or that there is no room for.
    Folder,
    /// A chat whose folder is not there.
    Homeless,
    Instructions,
    /// A chat whose model is not to be had here.
    Model,
    /// A chat that there was no room for among those that are pinned.
    Pin,
    /// A chat that names an end of a branch that it does not have.
    Branch,
}

impl Loss {
    fn said(self) -> (&'static str, &'static str) {
        match self {
            Self::Conversation => (
                "conversation could not be read and was left out.",
                "conversations could not be read and were left out.",
            ),
            Self::Message => {
                ("message hung on nothing and was left out.", "messages hung on nothing and were left out.")
            }
            Self::Astray => (
                "message has lost what it was said to and begins its chat.",
                "messages have lost what they were said to and begin their chats.",
            ),
            Self::Cut => ("message was longer than 1 MB and was cut.", "messages were longer than 1 MB and were cut."),
            Self::Folder => (
                "folder was left out: you have 100, which is all there can be, or it can't be one.",
                "folders were left out: you have 100, which is all there can be, or they can't be any.",
            ),
            Self::Homeless => (
                "chat is in no folder, as the file has none for it that could be kept.",
                "chats are in no folder, as the file has none for them that could be kept.",
            ),
            Self::Instructions => (
                "chat has no instructions, as they were longer than 8,000 characters.",
                "chats have no instructions, as they were longer than 8,000 characters.",
            ),
            Self::Model => (
                "chat is answered by the usual model, as its own is not here.",
                "chats are answered by the usual model, as their own is not here.",
            ),
            Self::Pin => (
                "chat was not pinned, as 200 is all there can be.",
                "chats were not pinned, as 200 is all there can be.",
            ),
            Self::Branch => (
                "chat shows its newest branch, as it names one that it does not have.",
                "chats show their newest branch, as they name one that they do not have.",
            ),
        }
    }
}

/// What became of a file, but for what was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What is wrong and where, if it was not read to its end.
    pub broken: Option<String>,
    pub losses: BTreeMap<Loss, usize>,
}

impl Found {
    pub fn broken(why: &str) -> Self {
        Self { broken: Some(why.to_owned()), ..Self::default() }
    }

    pub fn lose(&mut self, loss: Loss, how_many: usize) {
        if how_many > 0 {
            *self.losses.entry(loss).or_default() += how_many;
        }
    }
}

/// What there is to be said of it; nothing when all of it was taken.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let losses = self.losses.iter().map(|(loss, n)| {
            let (one, many) = loss.said();
            format!("{n} {}", if *n == 1 { one } else { many })
        });
        let said: Vec<String> = self.broken.iter().cloned().chain(losses).collect();
        f.write_str(&said.join(" "))
    }
}

/// Something that a file has, in the file's order.
pub enum Item {
    Folder(Kept),
    Talk(Box<Arrival>),
}

impl Item {
    pub fn talk(&self) -> Option<&Arrival> {
        match self {
            Self::Folder(_) => None,
            Self::Talk(talk) => Some(talk),
        }
    }
}

/// Calls `take` with each folder and conversation; `false` ends the reading.
pub fn items(file: impl Read, take: impl FnMut(Item) -> bool) -> Found {
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

impl<F: FnMut(Item) -> bool> Taker<F> {
    /// A list of conversations or folders. Each is cut out of the file before anybody looks into it, so that one of another
    /// shape is no reason to stop.
    fn list<'de, T: DeserializeOwned, A: SeqAccess<'de>>(
        &mut self,
        mut list: A,
        unknown: Loss,
        item: impl Fn(T, &mut Found) -> Option<Item>,
    ) -> Result<(), A::Error> {
        while let Some(json) = list.next_element::<Box<RawValue>>()? {
            let Ok(read) = serde_json::from_str(json.get()) else {
                self.found.lose(unknown, 1);
                continue;
            };
            let Some(item) = item(read, &mut self.found) else { continue };
            if !(self.take)(item) {
                return Err(A::Error::custom("the import was broken off"));
            }
        }
        Ok(())
    }
}

/// ChatGPT's file is an array of conversations, ours an object with one under `threads`.
struct Whole<'t, F>(&'t mut Taker<F>);

impl<'de, F: FnMut(Item) -> bool> Visitor<'de> for Whole<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of conversations or an export of moat")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        self.0.list(list, Loss::Conversation, Conversation::arrival)
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
                "folders" if ours => map.next_value_seed(Folders(self.0))?,
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

struct Folders<'t, F>(&'t mut Taker<F>);

impl<'de, F: FnMut(Item) -> bool> DeserializeSeed<'de> for Folders<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(Item) -> bool> Visitor<'de> for Folders<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of folders")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        self.0.list(list, Loss::Folder, |kept: Kept, found| {
            let kept = folders::name(&kept.name)
                .and_then(|name| Ok(Kept { name, instructions: folders::instructions(&kept.instructions)? }));
            found.lose(Loss::Folder, usize::from(kept.is_err()));
            kept.ok().map(Item::Folder)
        })
    }
}

struct Threads<'t, F>(&'t mut Taker<F>);

impl<'de, F: FnMut(Item) -> bool> DeserializeSeed<'de> for Threads<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(Item) -> bool> Visitor<'de> for Threads<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of threads")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        self.0
            .list(list, Loss::Conversation, |talk: Talk, found| arrival(Whose::Moat(talk.id.parse().ok()), talk, found))
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
    /// Of any shape, as nothing else hangs on them.
    #[serde(default)]
    is_archived: serde_json::Value,
    #[serde(default)]
    is_starred: serde_json::Value,
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
    /// The nearest message above a node, over what nobody said; none above a ring. `known`: what was found out already, or a
    /// long silence with many branches would be walked through for each of them.
    fn above<'c>(
        &'c self,
        id: &'c str,
        said: &HashMap<&'c str, (Role, String, f64)>,
        known: &mut HashMap<&'c str, Option<&'c str>>,
    ) -> Option<&'c str> {
        let (mut at, mut passed) = (id, Vec::new());
        let above = loop {
            if let Some(above) = known.get(at) {
                break *above;
            }
            // Until it is known otherwise, there is nothing above it: that is what ends a ring.
            known.insert(at, None);
            passed.push(at);
            let Some(parent) = self.mapping.get(at).and_then(|node| node.parent.as_deref()) else { break None };
            if said.contains_key(parent) {
                break Some(parent);
            }
            at = parent;
        };
        known.extend(passed.into_iter().map(|id| (id, above)));
        above
    }

    fn arrival(self, found: &mut Found) -> Option<Item> {
        let begun = self.create_time.unwrap_or_default();
        let said: HashMap<&str, (Role, String, f64)> = self
            .mapping
            .iter()
            .filter_map(|(id, node)| {
                let message = node.message.as_ref()?;
                let (role, text) = message.said()?;
                Some((id.as_str(), (role, text, message.create_time.unwrap_or(begun))))
            })
            .collect();
        let mut known = HashMap::new();
        let mut waiting: Vec<&str> = said.keys().copied().collect();
        waiting.sort_by(|a, b| {
            let at = |id: &str| said.get(id).map_or(begun, |s| s.2);
            at(a).total_cmp(&at(b)).then(a.cmp(b))
        });
        let parents: HashMap<&str, Option<&str>> =
            waiting.iter().map(|id| (*id, self.above(id, &said, &mut known))).collect();
        let shown = self
            .current_node
            .as_deref()
            .and_then(|id| if said.contains_key(id) { Some(id) } else { self.above(id, &said, &mut known) });
        let mut children: HashMap<&str, Vec<&str>> = HashMap::new();
        for id in waiting.iter().rev() {
            if let Some(Some(parent)) = parents.get(id) {
                children.entry(parent).or_default().push(id);
            }
        }
        // Depth first from the roots, the youngest branch last; what hangs on a ring is reached from nowhere and left out.
        let mut stack: Vec<&str> = waiting.iter().rev().copied().filter(|id| parents.get(id) == Some(&None)).collect();
        let mut messages = Vec::new();
        while let Some(id) = stack.pop() {
            let Some((role, text, at)) = said.get(id) else { continue };
            messages.push(Said {
                id: id.to_owned(),
                parent: parents.get(id).copied().flatten().map(str::to_owned),
                role: *role,
                text: text.clone(),
                at: *at,
                ended: None,
                deleted: false,
                model: String::new(),
                thumb: None,
                left: None,
            });
            stack.extend(children.get(id).into_iter().flatten());
        }
        found.lose(Loss::Message, said.len() - messages.len());
        let title = self.title.clone().unwrap_or_default();
        let id = self.id.clone().or(self.conversation_id.clone());
        let talk = Talk {
            id: id.unwrap_or_else(|| format!("{begun} {title}")),
            title,
            created_at: begun,
            active_at: self.update_time.unwrap_or(begun),
            folder: None,
            pinned: self.is_starred == true,
            archived: self.is_archived == true,
            model: String::new(),
            instructions: String::new(),
            shown: shown.map(str::to_owned),
            messages,
        };
        arrival(Whose::ChatGpt, talk, found)
    }
}

/// Whose file a conversation comes from; of ours, what the thread was called there.
#[derive(Clone, Copy)]
enum Whose {
    ChatGpt,
    Moat(Option<uuid::Uuid>),
}

/// A conversation's messages as a tree of their places; parents stand before their children.
struct Tree {
    /// Where the newest branch below each ends.
    end: Vec<usize>,
    /// Each one's number, where a message's numbers and those of what hangs on it follow one another, and how many those are.
    first: Vec<usize>,
    size: Vec<usize>,
}

impl Tree {
    fn of(parents: &[Option<usize>]) -> Self {
        let mut end: Vec<usize> = (0..parents.len()).collect();
        let mut size = vec![1; parents.len()];
        for (at, parent) in parents.iter().enumerate().rev() {
            if let Some(parent) = *parent {
                size[parent] += size[at];
                // From behind: the first child that comes by is the newest.
                if end[parent] == parent {
                    end[parent] = end[at];
                }
            }
        }
        let (mut first, mut next, mut roots) = (vec![0; parents.len()], vec![0; parents.len()], 0);
        for (at, parent) in parents.iter().enumerate() {
            let place = parent.map_or(&mut roots, |parent| &mut next[parent]);
            first[at] = *place;
            *place += size[at];
            next[at] = first[at] + 1;
        }
        Self { end, first, size }
    }

    fn hangs(&self, below: usize, above: usize) -> bool {
        (self.first[above]..self.first[above] + self.size[above]).contains(&self.first[below])
    }
}

/// What is stored of a conversation; `None` if nobody says anything in it. Its ids follow from those it had, so that it is the
/// same one each time it comes, and so is each message.
fn arrival(from: Whose, talk: Talk, found: &mut Found) -> Option<Item> {
    let (whose, source) = match from {
        Whose::ChatGpt => ("chatgpt", None),
        Whose::Moat(source) => ("moat", source),
    };
    let id_of = |what: &str| {
        let digest =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{whose}\n{}\n{what}", talk.id).as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_ref()[..16]);
        uuid::Uuid::from_bytes(bytes)
    };
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    // 1970 to 9999; what a timestamp can't hold is the beginning of time.
    let time = |at: f64| if (0.0..253_402_300_799.0).contains(&at) { at } else { 0.0 };
    let (mut places, mut parents, mut kept) = (HashMap::new(), Vec::new(), Vec::new());
    for said in &talk.messages {
        if places.contains_key(said.id.as_str()) {
            found.lose(Loss::Message, 1);
            continue;
        }
        let parent = said.parent.as_deref().and_then(|p| places.get(p).copied());
        found.lose(Loss::Astray, usize::from(parent.is_none() && said.parent.is_some()));
        places.insert(said.id.as_str(), kept.len());
        parents.push(parent);
        kept.push(said);
    }
    if kept.is_empty() {
        return None;
    }
    let tree = Tree::of(&parents);
    let end = |id: &str| places.get(id).map(|at| tree.end[*at]);
    let shown = talk.shown.as_deref().map(end);
    let mut strays = shown == Some(None);
    let mut messages = Vec::new();
    for (at, said) in kept.into_iter().enumerate() {
        let mut text = if said.deleted { String::new() } else { clean(&said.text) };
        found.lose(Loss::Cut, usize::from(text.len() > KEPT_MAX));
        text.truncate(text.floor_char_boundary(KEPT_MAX));
        let answer = said.role == Role::Assistant;
        let left = said.left.as_deref().map(|left| end(left).filter(|left| tree.hangs(*left, at)));
        strays |= left == Some(None);
        let is_model = |model: &str| !model.is_empty() && model.chars().count() <= MODEL_MAX && !model.contains('\0');
        messages.push(serde_json::json!({
            "id": source.and_then(|_| said.id.parse::<uuid::Uuid>().ok()), "client": id_of(&said.id), "parent": parents[at],
            "role": said.role, "text": text, "at": time(said.at), "deleted": said.deleted,
            "ended": said.ended.as_deref().filter(|ended| answer && !said.deleted && ENDS.contains(ended)),
            "model": Some(&said.model).filter(|model| answer && !said.deleted && is_model(model)),
            "thumb": said.thumb.filter(|_| answer), "left": left.flatten(),
        }));
    }
    found.lose(Loss::Branch, usize::from(strays));
    let title: String = clean(&talk.title)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(TITLE_MAX)
        .collect();
    Some(Item::Talk(Box::new(Arrival {
        client: id_of(""),
        source,
        title: if title.is_empty() { "Imported chat".to_owned() } else { title },
        created_at: time(talk.created_at),
        active_at: time(talk.active_at),
        messages: messages.into(),
        // As its own list has it. One that can't be a folder is none of those.
        folder: talk.folder.map(|typed| folders::name(&typed).unwrap_or_default()),
        pinned: talk.pinned,
        archived: talk.archived,
        model: talk.model,
        instructions: clean(&talk.instructions),
        shown: shown.flatten(),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(json: &str) -> (Vec<Arrival>, Found) {
        let mut talks = Vec::new();
        let found = items(json.as_bytes(), |item| {
            if let Item::Talk(talk) = item {
                talks.push(*talk);
            }
            true
        });
        (talks, found)
    }

    #[test]
    fn a_tree_keeps_its_branches_and_shows_the_one_that_was_open() {
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
        assert_eq!(found.to_string(), "2 messages hung on nothing and were left out.");
        let messages = talks[0].messages.as_array().unwrap();
        let texts: Vec<&str> = messages.iter().map(|m| m["text"].as_str().unwrap()).collect();
        assert_eq!(texts, ["question", "open answer", "late answer"]);
        assert_eq!(talks[0].shown, Some(1));
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
            ("{\"format\":\"moat\",\"folders\":5}", "expected a list of folders"),
            ("{\"format\":\"moat\",\"folders\":[5,{\"name\":\"\"}]}", "2 folders were left out"),
        ] {
            let error = all(json).1.to_string();
            assert!(error.contains(said), "{json}: {error}");
        }
        for nothing in ["[]", "[{\"mapping\":{}}]"] {
            assert!(all(nothing).0.is_empty() && all(nothing).1 == Found::default());
        }
    }

    #[test]
    fn silence_with_many_branches_is_walked_through_once() {
        let mut nodes = vec![r#""n0":{"parent":null}"#.to_owned()];
        nodes.extend((1..50_000).map(|n| format!(r#""n{n}":{{"parent":"n{}"}}"#, n - 1)));
        nodes.extend((0..50_000).map(|n| {
            format!(
                r#""s{n}":{{"parent":"n49999","message":{{"author":{{"role":"user"}},"content":{{"parts":["x"]}}}}}}"#
            )
        }));
        let (talks, found) = all(&format!(r#"[{{"mapping":{{{}}}}}]"#, nodes.join(",")));
        assert_eq!((talks[0].messages.as_array().unwrap().len(), found), (50_000, Found::default()));
    }

    #[test]
    fn where_branches_end_and_what_hangs_where() {
        //   0        5
        //  1 3       6
        //  2 4
        let tree = Tree::of(&[None, Some(0), Some(1), Some(0), Some(3), None, Some(5)]);
        assert_eq!(tree.end, [4, 2, 2, 4, 4, 6, 6]);
        let below: Vec<Vec<usize>> =
            (0..7).map(|above| (0..7).filter(|below| tree.hangs(*below, above)).collect()).collect();
        assert_eq!(below, [vec![0, 1, 2, 3, 4], vec![1, 2], vec![2], vec![3, 4], vec![4], vec![5, 6], vec![6]]);
    }
}
