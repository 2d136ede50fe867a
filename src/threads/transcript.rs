//! What is on screen of a thread, and how what was read and what the stream tells become one picture.

use std::time::Duration;

use leptos::{prelude::*, task::spawn_local};
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use super::{
    model::{Head, MessageView, TRANSCRIPT_PAGE, Transcript, complete_blocks},
    server_fns::open_thread,
    unsent::{self, Unsent},
};
use crate::{
    error::AppError,
    types::{ClientId, MessageId, Role, Status, ThreadId},
};

/// A message on screen; its view changes while its answer is being written.
#[derive(Clone)]
pub struct Shown {
    pub id: MessageId,
    pub view: ArcRwSignal<MessageView>,
    /// Which run of rows it stands in: each page that came from above is one. The framework's keyed list moves every row there is
    /// when several are put before them, and a browser lays out anew what was moved.
    run: u32,
    /// The pieces that came by the stream since the page was loaded, with their numbers.
    heard: ArcStoredValue<Vec<(i32, String)>>,
}

/// What was read for a page, in the order in which it stands there.
pub fn show(page: Vec<MessageView>) -> Vec<Shown> {
    page.into_iter().map(|view| row(view, 0)).collect()
}

fn row(view: MessageView, run: u32) -> Shown {
    Shown { id: view.id, view: ArcRwSignal::new(view), run, heard: ArcStoredValue::new(Vec::new()) }
}

/// The runs of what is on screen, from above.
pub fn runs(all: &[Shown]) -> Vec<u32> {
    let mut runs: Vec<u32> = all.iter().map(|s| s.run).collect();
    runs.dedup();
    runs
}

/// The rows of one of them.
pub fn rows(all: &[Shown], run: u32) -> Vec<Shown> {
    all.iter().filter(|s| s.run == run).cloned().collect()
}

/// Puts a page above what is on screen.
pub fn put_above(all: &mut Vec<Shown>, page: Vec<MessageView>) {
    let run = fresh_run(all);
    let new = page.into_iter().filter(|view| !all.iter().any(|s| s.id == view.id)).map(|view| row(view, run));
    let new: Vec<_> = new.collect();
    all.splice(..0, new);
}

fn fresh_run(all: &[Shown]) -> u32 {
    all.iter().map(|s| s.run).max().map_or(0, |run| run + 1)
}

impl Shown {
    /// Takes the next piece of an answer. `Some(true)`: a block may have become complete, so that its rendering is worth
    /// reading; `None`: pieces are missing in between.
    pub fn hear(&self, n: i32, text: String) -> Option<bool> {
        let (next, running) = self.view.with_untracked(|v| (v.next_piece, v.status == Some(Status::Running)));
        if !running || n < next {
            return Some(false);
        }
        if n > next {
            return None;
        }
        self.view.update(|view| {
            view.text.push_str(&text);
            view.next_piece += 1;
        });
        self.heard.update_value(|heard| heard.push((n, text)));
        Some(self.view.with_untracked(|view| complete_blocks(&view.text) > 0))
    }

    /// Takes what was read. Pieces that came in while it was read are put behind it, so that nothing on screen goes back.
    fn read(&self, mut view: MessageView) {
        if view.status == Some(Status::Running) {
            self.heard.with_value(|heard| {
                for (n, text) in heard {
                    if *n == view.next_piece {
                        view.text.push_str(text);
                        view.next_piece += 1;
                    }
                }
            });
            if view.next_piece < self.view.with_untracked(|now| now.next_piece) {
                return;
            }
        }
        if self.view.with_untracked(|now| *now != view) {
            self.view.set(view);
        }
    }
}

/// Which part of a thread a page shows: above a message, around one, or the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Part {
    pub thread: ThreadId,
    pub before: Option<MessageId>,
    pub at: Option<MessageId>,
}

/// Reads the messages of a page again and puts them in place of those on screen, then calls `after`; runs once at a time, and
/// once more if it was asked for in between.
pub fn catch_up(
    part: Part,
    head: RwSignal<Head>,
    menu: RwSignal<String>,
    more: RwSignal<bool>,
    shown: RwSignal<Vec<Shown>>,
    unsent: RwSignal<Vec<Unsent>>,
    after: impl Fn() + Clone + Send + Sync + 'static,
) -> impl Fn() + Clone + Send + Sync + 'static {
    let running = StoredValue::new(false);
    let again = StoredValue::new(false);
    let Part { thread, before, at } = part;
    let read = move |page: Transcript, sent: Vec<ClientId>| {
        head.try_set(page.thread);
        if menu.try_with_untracked(|now| *now != page.menu) == Some(true) {
            menu.set(page.menu);
        }
        for view in &page.messages {
            if let Some(client) = view.client_id.filter(|_| view.role == Role::User) {
                unsent::drop_one(thread, unsent, client);
            }
        }
        // What had arrived before this was read and is not in it stands on another branch.
        for client in sent {
            unsent::drop_one(thread, unsent, client);
        }
        let whole = page.more;
        if shown.try_update(|all| merge(all, page.messages)) == Some(false) {
            more.try_set(whole);
        }
    };
    move || {
        if running.try_get_value().unwrap_or(true) {
            again.try_set_value(true);
            return;
        }
        running.set_value(true);
        let after = after.clone();
        spawn_local(async move {
            loop {
                again.try_set_value(false);
                let sent = unsent.try_with_untracked(|all| all.iter().filter(|u| u.sent).map(|u| u.client).collect());
                match open_thread(thread, before, at).await {
                    Ok(page) => {
                        read(page, sent.unwrap_or_default());
                        // What was asked for in between is not in it yet.
                        if again.try_get_value() != Some(true) {
                            after();
                        }
                    }
                    // What happened is not on screen yet: it is tried again until it is.
                    Err(AppError::Unavailable | AppError::Internal { .. } | AppError::TooMany { .. }) => {
                        pause().await;
                        again.try_set_value(true);
                    }
                    Err(_) => {}
                }
                if again.try_get_value() != Some(true) {
                    break;
                }
            }
            running.try_set_value(false);
        });
    }
}

/// Reads one message again that stands above those that [`catch_up`] reads.
pub fn read_again(thread: ThreadId, message: MessageId, shown: RwSignal<Vec<Shown>>) {
    let next = shown.with_untracked(|all| {
        let at = all.iter().position(|s| s.id == message)?;
        all.get(at + 1).map(|s| s.id).filter(|_| at + (TRANSCRIPT_PAGE as usize) < all.len())
    });
    if let Some(next) = next {
        spawn_local(async move {
            let page = open_thread(thread, Some(next), None).await;
            for view in page.into_iter().flat_map(|page| page.messages) {
                let known = shown.try_with_untracked(|all| all.iter().find(|s| s.id == view.id).cloned()).flatten();
                if let Some(known) = known {
                    known.read(view);
                }
            }
        });
    }
}

/// Some seconds, in the browser.
async fn pause() {
    let wait = js_sys::Promise::new(&mut |resolve, _| {
        set_timeout(move || drop(resolve.call0(&JsValue::NULL)), Duration::from_secs(2));
    });
    drop(JsFuture::from(wait).await);
}

/// What was read replaces what is shown from its first message on; what stays above it is what leads there. False: nothing
/// does, because more was said in between than a page holds, or the branch is another one: then what was read is all that
/// is shown.
fn merge(all: &mut Vec<Shown>, read: Vec<MessageView>) -> bool {
    let known = std::mem::take(all);
    // Rows of a run stand together: a new one goes on with the run before it, and the first of all begins one.
    let mut run = fresh_run(&known);
    let above = match read.first().map(|first| first.parent) {
        Some(Some(parent)) => known.iter().position(|s| s.id == parent).map(|at| at + 1),
        _ => Some(0),
    };
    all.extend(known.iter().take(above.unwrap_or(0)).cloned());
    for view in read {
        run = all.last().map_or(run, |s| s.run);
        match known.iter().find(|s| s.id == view.id) {
            Some(old) => {
                old.read(view);
                all.push(old.clone());
            }
            None => all.push(row(view, run)),
        }
    }
    above.is_some_and(|above| above > 0)
}
