//! Messages that were sent but not yet confirmed, and drafts: in the browser's own storage, so that neither a failed request
//! nor a closed window loses what somebody typed. Sending an unsent message again uses its id again, and so can't double it.

use std::cell::RefCell;

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use super::transcript::Shown;
use crate::{
    error::AppError,
    json,
    types::{ClientId, MessageId, ThreadId},
};

/// A message on its way; `failed` says why it did not arrive, `waiting` that an answer has to be finished first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unsent {
    pub client: ClientId,
    pub text: String,
    pub failed: Option<AppError>,
    #[serde(default)]
    pub waiting: bool,
    /// The server has it.
    #[serde(default)]
    pub sent: bool,
    /// When it was written, in milliseconds since 1970: what was written first is sent first.
    #[serde(default)]
    pub at: f64,
    /// What was last on screen when it was written: it is said to that.
    #[serde(default)]
    pub after: Option<MessageId>,
}

/// Whose the storage is, once that is known: before, nothing is taken from it.
#[derive(Clone, Copy)]
pub struct Whose(pub RwSignal<bool>);

thread_local! {
    /// Names the person whose page this is without saying who they are; a part of every key.
    static PERSON: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What is kept here belongs to one person: whoever signs in next does not find it. Somebody who signs in again after
/// their session has ended does. Browser only; before this call nothing is read or kept.
pub fn belong_to(person: &str) {
    PERSON.set(person.to_owned());
    let Ok(Some(storage)) = window().local_storage() else { return };
    let keys: Vec<String> = (0..storage.length().unwrap_or(0)).filter_map(|i| storage.key(i).ok()?).collect();
    let own = key("");
    for other in keys.iter().filter(|key| !key.starts_with(&own)) {
        drop(storage.remove_item(other));
    }
}

/// What an earlier page of this browser could not send. Browser only.
pub fn load(thread: ThreadId, list: RwSignal<Vec<Unsent>>, shown: &[Shown]) {
    let Ok(Some(storage)) = window().local_storage() else { return };
    let begin = unsent_key(thread);
    let keys =
        (0..storage.length().unwrap_or(0)).filter_map(|i| storage.key(i).ok()?).filter(|key| key.starts_with(&begin));
    let mut found: Vec<Unsent> = keys.filter_map(|key| json::read(&read(&key)?).ok()).collect();
    found.sort_by(|a, b| a.at.total_cmp(&b.at));
    found.retain(|u| {
        let arrived = u.sent || shown.iter().any(|s| s.view.read_untracked().client_id == Some(u.client));
        if arrived {
            keep(thread, u.client, None);
        }
        !arrived
    });
    for unsent in found.iter_mut().filter(|unsent| !unsent.waiting) {
        unsent.failed.get_or_insert(AppError::Unavailable);
    }
    list.set(found);
}

/// Takes over what another window does to what waits: its owner may take it back there, or write one more. Browser only.
pub fn follow(thread: ThreadId, list: RwSignal<Vec<Unsent>>) {
    let handle = window_event_listener(leptos::ev::storage, move |event| {
        let key = event.key().unwrap_or_default();
        let Some(client) = key.strip_prefix(&unsent_key(thread)).and_then(|id| id.parse::<ClientId>().ok()) else {
            return;
        };
        let new: Option<Unsent> = event.new_value().and_then(|json| json::read(&json).ok());
        list.try_update(|all| match new {
            None => all.retain(|u| u.client != client || !u.waiting),
            Some(new) if new.waiting && all.iter().all(|u| u.client != client) => all.push(new),
            Some(_) => {}
        });
    });
    on_cleanup(move || handle.remove());
}

/// Adds one, or replaces the one with the same id.
pub fn put(thread: ThreadId, list: RwSignal<Vec<Unsent>>, unsent: Unsent) {
    keep(thread, unsent.client, Some(&unsent));
    // The page may be gone by the time that its request fails; the storage is not.
    list.try_update(|all| match all.iter_mut().find(|u| u.client == unsent.client) {
        Some(old) => *old = unsent,
        None => all.push(unsent),
    });
}

/// What became of one that was sent. One that is not there any more has arrived: the stream may tell it first.
pub fn change(thread: ThreadId, list: RwSignal<Vec<Unsent>>, unsent: Unsent) {
    if list.try_with_untracked(|all| all.iter().any(|u| u.client == unsent.client)) != Some(false) {
        put(thread, list, unsent);
    }
}

/// It has arrived, or nobody wants it any more.
pub fn drop_one(thread: ThreadId, list: RwSignal<Vec<Unsent>>, client: ClientId) {
    if list.try_with_untracked(|all| all.iter().any(|u| u.client == client)) == Some(true) {
        keep(thread, client, None);
        list.try_update(|all| all.retain(|u| u.client != client));
    }
}

/// What was typed into a box and not sent.
pub fn draft(of: &str) -> Option<String> {
    read(&key(&format!("draft:{of}")))
}

pub fn keep_draft(of: &str, text: &str) {
    write(&key(&format!("draft:{of}")), text);
}

fn key(name: &str) -> String {
    PERSON.with_borrow(|person| format!("moat:{person}:{name}"))
}

/// What the keys of a thread's messages begin with. Each has its own: two windows that write at once lose nothing.
fn unsent_key(thread: ThreadId) -> String {
    key(&format!("unsent:{thread}:"))
}

fn keep(thread: ThreadId, client: ClientId, changed: Option<&Unsent>) {
    let json = changed.and_then(|unsent| serde_json::to_string(unsent).ok()).unwrap_or_default();
    write(&format!("{}{client}", unsent_key(thread)), &json);
}

fn read(key: &str) -> Option<String> {
    if PERSON.with_borrow(String::is_empty) {
        return None;
    }
    window().local_storage().ok()??.get_item(key).ok()?
}

/// A full or forbidden storage is no reason to stop somebody from writing.
fn write(key: &str, value: &str) {
    if PERSON.with_borrow(String::is_empty) {
        return;
    }
    if let Ok(Some(storage)) = window().local_storage() {
        drop(if value.is_empty() { storage.remove_item(key) } else { storage.set_item(key, value) });
    }
}
