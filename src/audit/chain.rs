//! The hash chain of a trail, and the file that it is exported as: one JSON object a line. The first says where the chain begins,
//! the last where it ends; in between each event is a text whose SHA-256, after the hash before it, is its own hash.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An event as the chain has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub seq: i64,
    /// JSON, as it was hashed.
    pub event: String,
    pub hash: Vec<u8>,
    pub actor: Option<Label>,
    pub person: Option<Label>,
}

/// Who a side of an event was: what the event has a salted hash of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub salt: Vec<u8>,
    /// JSON, as it was hashed.
    pub data: String,
}

/// The first thing that is wrong with a chain.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("event {0} is not the one that should come next: something was taken out or put in")]
    Missing(i64),
    #[error("event {0} is not what it was when it was written, or one before it is not")]
    Changed(i64),
    #[error("the names beside event {0} are not those that were written")]
    Names(i64),
    #[error("the last event is {0}, and there have been more")]
    Cut(i64),
    #[error("line {0} is no line of a trail")]
    Line(usize),
}

/// How far a chain has been followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub seq: i64,
    pub hash: Vec<u8>,
}

fn sha256(parts: [&[u8]; 2]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.into_iter().for_each(|part| context.update(part));
    context.finish().as_ref().to_vec()
}

impl Chain {
    pub fn beginning(hash: Vec<u8>) -> Self {
        Self { seq: 0, hash }
    }

    /// Follows one more link, or says what is wrong with it.
    pub fn follow(&mut self, link: &Link) -> Result<(), Broken> {
        let seq = self.seq + 1;
        let body: Value = serde_json::from_str(&link.event).map_err(|_| Broken::Changed(seq))?;
        if link.seq != seq || body["seq"] != seq {
            return Err(Broken::Missing(link.seq));
        }
        let hash = sha256([&self.hash, link.event.as_bytes()]);
        if hash != link.hash {
            return Err(Broken::Changed(seq));
        }
        for (label, side) in [(&link.actor, "actor_hash"), (&link.person, "person_hash")] {
            let Some(label) = label else { continue };
            if body[side] != hex::encode(sha256([&label.salt, label.data.as_bytes()])) {
                return Err(Broken::Names(seq));
            }
        }
        *self = Self { seq, hash };
        Ok(())
    }

    /// That nothing is missing at the end.
    pub fn ends(&self, seq: i64, hash: &[u8]) -> Result<(), Broken> {
        if (self.seq, self.hash.as_slice()) == (seq, hash) { Ok(()) } else { Err(Broken::Cut(self.seq)) }
    }
}

const FORMAT: &str = "moat-audit";

#[derive(Serialize, Deserialize)]
struct First {
    format: String,
    version: u8,
    workspace: String,
    begins: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    ends: i64,
    hash: String,
}

pub fn first_line(workspace: &str, begins: &[u8]) -> String {
    json!({ "format": FORMAT, "version": 1, "workspace": workspace, "begins": hex::encode(begins) }).to_string() + "\n"
}

pub fn line(link: &Link) -> String {
    let label = |label: &Option<Label>| label.as_ref().map(|l| json!({ "salt": hex::encode(&l.salt), "data": l.data }));
    let (actor, person) = (label(&link.actor), label(&link.person));
    json!({ "seq": link.seq, "hash": hex::encode(&link.hash), "event": link.event, "actor": actor, "person": person })
        .to_string()
        + "\n"
}

pub fn last_line(end: &Chain) -> String {
    json!({ "ends": end.seq, "hash": hex::encode(&end.hash) }).to_string() + "\n"
}

/// A trail that was read from a file: whose it is, where it begins, and where it ends.
#[derive(Debug, PartialEq, Eq)]
pub struct Copy {
    pub workspace: String,
    pub begins: Vec<u8>,
    pub end: Chain,
}

/// Checks a file, line by line.
pub fn check<E>(lines: impl Iterator<Item = Result<String, E>>) -> Result<Copy, Broken> {
    let mut lines = lines.enumerate().map(|(n, line)| (n + 1, line.ok()));
    let (_, first) = lines.next().ok_or(Broken::Line(1))?;
    let first: First = first
        .and_then(|line| serde_json::from_str(&line).ok())
        .filter(|f: &First| f.format == FORMAT && f.version == 1)
        .ok_or(Broken::Line(1))?;
    let begins = hex::decode(&first.begins).map_err(|_| Broken::Line(1))?;
    let mut chain = Chain::beginning(begins.clone());
    while let Some((n, line)) = lines.next() {
        let value: Value = line.and_then(|line| serde_json::from_str(&line).ok()).ok_or(Broken::Line(n))?;
        if let Ok(last) = Last::deserialize(&value) {
            let hash = hex::decode(&last.hash).map_err(|_| Broken::Line(n))?;
            chain.ends(last.ends, &hash)?;
            return match lines.next() {
                Some((n, _)) => Err(Broken::Line(n)),
                None => Ok(Copy { workspace: first.workspace, begins, end: chain }),
            };
        }
        chain.follow(&read(&value).ok_or(Broken::Line(n))?)?;
    }
    Err(Broken::Cut(chain.seq))
}

fn read(value: &Value) -> Option<Link> {
    let label = |side: &str| match &value[side] {
        Value::Null => Some(None),
        it => {
            let salt = hex::decode(it["salt"].as_str()?).ok()?;
            Some(Some(Label { salt, data: it["data"].as_str()?.to_owned() }))
        }
    };
    Some(Link {
        seq: value["seq"].as_i64()?,
        event: value["event"].as_str()?.to_owned(),
        hash: hex::decode(value["hash"].as_str()?).ok()?,
        actor: label("actor")?,
        person: label("person")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail() -> (Vec<Link>, Chain) {
        let mut chain = Chain::beginning(vec![7; 32]);
        let mut links = Vec::new();
        for seq in 1..=3 {
            let label = Label { salt: vec![1; 16], data: r#"{"email": "ada@example.org"}"#.into() };
            let named = hex::encode(sha256([&label.salt, label.data.as_bytes()]));
            let event = json!({ "seq": seq, "kind": "member.added", "actor_hash": named }).to_string();
            let hash = sha256([&chain.hash, event.as_bytes()]);
            links.push(Link { seq, event, hash: hash.clone(), actor: Some(label), person: None });
            chain = Chain { seq, hash };
        }
        (links, chain)
    }

    fn file(links: &[Link], end: &Chain) -> String {
        first_line("Roof", &[7; 32]) + &links.iter().map(line).collect::<String>() + &last_line(end)
    }

    fn checked(text: &str) -> Result<Copy, Broken> {
        check(text.lines().map(|line| Ok::<_, ()>(line.to_owned())))
    }

    #[test]
    fn a_copy_is_whole_or_it_says_where_it_is_not() {
        let (links, end) = trail();
        let whole = checked(&file(&links, &end)).unwrap();
        assert_eq!((whole.workspace.as_str(), whole.begins, whole.end), ("Roof", vec![7; 32], end.clone()));

        let mut other = links.clone();
        other[1].event = other[1].event.replace("added", "removed");
        assert_eq!(checked(&file(&other, &end)), Err(Broken::Changed(2)));
        assert_eq!(checked(&file(&[links[0].clone(), links[2].clone()], &end)), Err(Broken::Missing(3)));
        assert_eq!(checked(&file(&links[..2], &end)), Err(Broken::Cut(2)));
        let text = file(&links, &end);
        assert_eq!(
            checked(text.rsplit_once("{\"ends\"").or(text.rsplit_once("{\"hash\"")).unwrap().0),
            Err(Broken::Cut(3))
        );

        let mut other = links.clone();
        other[2].actor = Some(Label { salt: vec![1; 16], data: r#"{"email": "bob@example.org"}"#.into() });
        assert_eq!(checked(&file(&other, &end)), Err(Broken::Names(3)));
        // Erased: the chain holds without.
        other[2].actor = None;
        assert!(checked(&file(&other, &end)).is_ok());
        assert_eq!(checked("{}"), Err(Broken::Line(1)));
        assert_eq!(checked(&(first_line("Roof", &[7; 32]) + "[]\n")), Err(Broken::Line(2)));
    }
}
