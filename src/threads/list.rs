//! The list of chats: what it shows, how the stream keeps it up to date, and the search in it. One file, since a line, its
//! group and the search are drawn from the same rows. All that changes something is a plain form, and all that shows another
//! list is a link that loads it: both work without a script, and neither is in the browser's build twice.

use std::time::Duration;

use leptos::{html::Input, prelude::*, task::spawn_local};
use leptos_router::params::ParamsMap;

use super::{
    model::{Found, ThreadPage, ThreadRow},
    server_fns::{file_threads, list_threads, read_thread, search_threads},
    transcript::pause,
    unsent::{self, Whose},
};
use crate::{
    error::AppError,
    folders::model::FolderRow,
    live::{browser::listen, model::Event},
    types::{Act, FolderId, Shelf, ThreadId},
    ui::{icon::Icon, notice::Problem},
};

/// How long nothing is typed before it is looked for.
const TYPING: Duration = Duration::from_millis(120);
/// How long what was deleted is offered back.
const UNDO: Duration = Duration::from_secs(30);

/// Which list an address asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    after: Option<String>,
    shelf: Option<Shelf>,
    folder: Option<FolderId>,
    /// With a box to tick at each line.
    select: bool,
    /// What is looked for, and whether all of it is wanted.
    query: String,
    all: bool,
}

impl Asked {
    pub fn of(map: &ParamsMap) -> Self {
        Self {
            after: map.get("after"),
            shelf: [Shelf::Archived, Shelf::Unread]
                .into_iter()
                .find(|s| map.get("view").as_deref() == Some(s.as_str())),
            folder: map.get("folder").and_then(|id| id.parse().ok()),
            select: map.get("select").is_some(),
            query: map.get("q").unwrap_or_default(),
            all: map.get("all").is_some(),
        }
    }
}

/// A page of the list, and what was found if something is looked for.
pub type Loaded = (ThreadPage, Option<Result<Vec<Found>, AppError>>);

pub async fn load(asked: Asked) -> Result<Loaded, AppError> {
    let page = list_threads(asked.after, asked.shelf, asked.folder).await?;
    if asked.query.trim().is_empty() {
        return Ok((page, None));
    }
    Ok((page, Some(search_threads(asked.query, asked.all).await)))
}

/// Whether the same request may work in a moment.
fn passes(error: &AppError) -> bool {
    matches!(error, AppError::Unavailable | AppError::Internal { .. } | AppError::TooMany { .. })
}

/// The list, kept up to date by the stream.
#[component]
pub fn LiveList(
    loaded: Loaded,
    asked: Asked,
    open: Memo<Option<ThreadId>>,
    problem: RwSignal<Option<AppError>>,
) -> impl IntoView {
    let (page, found) = loaded;
    let rows = RwSignal::new(page.rows);
    let next = RwSignal::new(page.next);
    let deleted = RwSignal::new(page.deleted);
    let found = RwSignal::new(found);
    let live = page.live;
    let whose = use_context::<Whose>();
    let (shelf, folder) = (asked.shelf.unwrap_or(Shelf::All), asked.folder);
    let pins = shelf == Shelf::All && folder.is_none();
    let put = move |row: ThreadRow| {
        rows.try_update(|rows| {
            // Below the last loaded line there may be others in between: it comes with its page.
            let known =
                next.get_untracked().is_none() || rows.last().is_some_and(|last| row.order(pins) >= last.order(pins));
            // What has been read since stays among the unread: nothing moves away under the eyes.
            let wanted = shelf != Shelf::Unread || row.unread || rows.iter().any(|r| r.id == row.id);
            rows.retain(|r| r.id != row.id);
            if known && wanted && row.is_on(shelf, folder) {
                rows.insert(rows.partition_point(|r| r.order(pins) > row.order(pins)), row);
            }
        });
    };
    let drop_one = move |thread: ThreadId| {
        rows.try_update(|rows| rows.retain(|r| r.id != thread));
    };
    // The lines that are being read, and whether something has happened to them since: what is read last has begun last,
    // so that no older state is put over a newer one. What fails for the moment is tried until it does not.
    let reading = StoredValue::new(Vec::<(ThreadId, bool)>::new());
    let refresh = move |thread: ThreadId| {
        let begun = reading.try_update_value(|all| match all.iter_mut().find(|(id, _)| *id == thread) {
            Some((_, again)) => {
                *again = true;
                false
            }
            None => {
                all.push((thread, false));
                true
            }
        });
        if begun != Some(true) {
            return;
        }
        spawn_local(async move {
            loop {
                let read = read_thread(thread).await;
                let again = reading.try_update_value(|all| {
                    let at = all.iter().position(|(id, _)| *id == thread)?;
                    let again = all[at].1 || read.as_ref().is_err_and(passes);
                    if again {
                        all[at].1 = false;
                    } else {
                        all.swap_remove(at);
                    }
                    Some(again)
                });
                match read {
                    Ok(row) => put(row),
                    Err(AppError::NotFound) => drop_one(thread),
                    Err(error) if passes(&error) => pause().await,
                    Err(_) => {}
                }
                if again.flatten() != Some(true) {
                    break;
                }
            }
        });
    };
    let resync = move || {
        spawn_local(async move {
            loop {
                match list_threads(None, Some(shelf), folder).await {
                    Ok(page) => {
                        rows.try_set(page.rows);
                        next.try_set(page.next);
                        break;
                    }
                    Err(error) if passes(&error) => pause().await,
                    Err(_) => break,
                }
            }
        });
    };
    // The open chat has been seen when it is opened, when its answer ends before somebody's eyes, and when they come back.
    let see = move || {
        let Some(Some(thread)) = open.try_get_untracked() else { return };
        if !document().hidden() {
            spawn_local(async move { drop(file_threads(vec![thread], Act::Read, String::new()).await) });
        }
    };
    Effect::new(move |_| {
        unsent::belong_to(&live.channel);
        if let Some(Whose(known)) = whose {
            known.set(true);
        }
        let back = window_event_listener_untyped("visibilitychange", move |_| see());
        on_cleanup(move || back.remove());
        set_timeout(move || drop(deleted.try_set(Vec::new())), UNDO);
        listen(&live, move |told| match told.event {
            Event::ThreadChanged { thread } => refresh(thread),
            Event::AnswerEnded { thread, .. } => {
                refresh(thread);
                if open.get_untracked() == Some(thread) {
                    see();
                }
            }
            Event::ThreadGone { thread } => {
                drop_one(thread);
                // One that is being read right now may have been there still.
                if reading.with_value(|all| all.iter().any(|(id, _)| *id == thread)) {
                    refresh(thread);
                }
            }
            Event::Resync => resync(),
            _ => {}
        });
    });
    Effect::new(move |_| {
        if open.get().is_some() {
            see();
        }
    });
    let more = move || {
        let after = next.get_untracked();
        spawn_local(async move {
            match list_threads(after, Some(shelf), folder).await {
                Ok(page) => {
                    problem.set(None);
                    rows.update(|rows| {
                        let old = page
                            .rows
                            .into_iter()
                            .filter(|new| !rows.iter().any(|r| r.id == new.id))
                            .collect::<Vec<_>>();
                        rows.extend(old);
                    });
                    next.set(page.next);
                }
                Err(error) => problem.set(Some(error)),
            }
        });
    };
    let name = match (folder, shelf) {
        (Some(id), _) => page.folders.iter().find(|f| f.id == id).map(|f| f.name.clone()).unwrap_or_default(),
        (None, Shelf::Archived) => "Archived".to_owned(),
        (None, Shelf::Unread) => "Unread".to_owned(),
        (None, Shelf::All) => "Chats".to_owned(),
    };
    let whole = name.clone();
    let view = match (folder, shelf) {
        (Some(id), _) => format!("folder={id}"),
        (None, shelf) => format!("view={}", shelf.as_str()),
    };
    let select = asked.select;
    let folders = page.folders.clone();
    let older = view.clone();
    view! {
        <div class="side-head">
            <h2 title=whole>{name}</h2>
            <span class="live-mark" role="img" aria-label="Live" title="Live: changes show here as they happen"></span>
            <Views folders=page.folders view=view.clone()/>
            <a class="icon-button" href=folder.map_or_else(|| "/chat".to_owned(), |id| format!("/chat?folder={id}")) rel=folder.map(|_| "external")
                title="New chat" aria-label="New chat"><Icon of=icondata_lu::LuPlus/></a>
        </div>
        <Search found query=asked.query/>
        <div class="side-list">
            <Undo deleted/>
            {move || problem.get().map(|error| view! { <Problem text=error.to_string()/> })}
            <Show when=move || found.read().is_none()>
                <Show when=move || rows.read().is_empty()>
                    <p class="quiet nothing">{match (folder, shelf) {
                        (Some(_), _) => "No chats in this folder. Open a chat's menu to move it here.",
                        (None, Shelf::Archived) => "No archived chats.",
                        (None, Shelf::Unread) => "Nothing is unread.",
                        (None, Shelf::All) => "Your chats will be listed here. Ask something to begin.",
                    }}</p>
                </Show>
                <Groups rows open select pins/>
                {
                    let older = older.clone();
                    move || next.get().map(|after| view! {
                        <p class="earlier">
                            <a class="button" href=format!("/chat?{older}&after={after}") on:click=move |event| { event.prevent_default(); more(); }>"Older chats"</a>
                        </p>
                    })
                }
            </Show>
        </div>
        {select.then(|| view! { <Bulk folders/> })}
    }
}

/// The lines under their days.
#[component]
fn Groups(rows: RwSignal<Vec<ThreadRow>>, open: Memo<Option<ThreadId>>, select: bool, pins: bool) -> impl IntoView {
    let groups = Memo::new(move |_| {
        let mut groups: Vec<String> = rows.read().iter().map(|row| row.heading(pins).to_owned()).collect();
        groups.dedup();
        groups
    });
    let inside =
        move |group: &str| rows.read().iter().filter(|r| r.heading(pins) == group).map(|r| r.id).collect::<Vec<_>>();
    view! {
        <For each=move || groups.get() key=|group| group.clone() let:group>
            <h3 class="day">{group.clone()}</h3>
            <ul>
                <For each=move || inside(&group) key=|id| *id let:id>
                    <Line id rows open select/>
                </For>
            </ul>
        </For>
    }
}

/// One chat. It stays the same element while its title and marks change, so that the focus stays on it.
#[component]
fn Line(id: ThreadId, rows: RwSignal<Vec<ThreadRow>>, open: Memo<Option<ThreadId>>, select: bool) -> impl IntoView {
    let row = Memo::new(move |_| rows.read().iter().find(|r| r.id == id).cloned());
    let title = move || row.get().map(|row| row.title);
    let marks = move || {
        let row = row.get()?;
        let mark =
            |class, label: String| view! { <span class=class role="img" aria-label=label.clone() title=label></span> };
        let goes = row.goes.map(|at| mark("goes", format!("Temporary: goes on {at}")));
        let state = if row.answering {
            Some(mark("writing", "An answer is being written".to_owned()))
        } else {
            (row.unread && open.get() != Some(id)).then(|| mark("unread", "Unread".to_owned()))
        };
        Some((goes, state))
    };
    view! {
        <li class="line">
            {select.then(|| view! { <input type="checkbox" name="threads[]" value=id.to_string() form="bulk" aria-label=title/> })}
            <a class="thread" href=format!("/chat/{id}") title=title aria-current=move || (open.get() == Some(id)).then_some("page")>
                <span class="thread-title">{title}</span>
                {marks}
            </a>
        </li>
    }
}

/// What was deleted just now, and the way back.
#[component]
fn Undo(deleted: RwSignal<Vec<(ThreadId, String)>>) -> impl IntoView {
    view! {
        {move || deleted.get().into_iter().map(|(id, title)| view! {
            <form method="post" action="/chat?do=file" class="undo">
                <input type="hidden" name="threads[]" value=id.to_string()/>
                <p>"Deleted: "{title}</p>
                <button type="submit" class="button" name="act" value=Act::Restore.as_str()>"Undo"</button>
            </form>
        }).collect_view()}
    }
}

/// The other lists, and what can be done with the whole of one.
#[component]
fn Views(folders: Vec<FolderRow>, view: String) -> impl IntoView {
    let link =
        move |href: String, name: String| view! { <li><a class="choice" href=href rel="external">{name}</a></li> };
    view! {
        <details class="menu views">
            <summary class="icon-button" title="Other lists" aria-label="Other lists"><Icon of=icondata_lu::LuListFilter/></summary>
            <ul class="menu-body">
                {link("/chat".to_owned(), "All chats".to_owned())}
                {link("/chat?view=unread".to_owned(), "Unread".to_owned())}
                {link("/chat?view=archived".to_owned(), "Archived".to_owned())}
                {folders.into_iter().map(|f| link(format!("/chat?folder={}", f.id), f.name)).collect_view()}
                {link("/folders".to_owned(), "Folders…".to_owned())}
                {link(format!("/chat?{view}&select=1"), "Choose several…".to_owned())}
                {link("/import".to_owned(), "Import and export…".to_owned())}
            </ul>
        </details>
    }
}

/// What can be done with the chats that are ticked.
#[component]
fn Bulk(folders: Vec<FolderRow>) -> impl IntoView {
    let act = |act: Act, name: &'static str| view! { <button type="submit" class="button" name="act" value=act.as_str()>{name}</button> };
    view! {
        <form id="bulk" method="post" action="/chat?do=file" class="bulk" aria-label="For the chosen chats">
            {act(Act::Archive, "Archive")}
            {act(Act::Unarchive, "Unarchive")}
            {act(Act::Read, "Mark read")}
            {act(Act::Unread, "Mark unread")}
            {act(Act::Delete, "Delete")}
            <select name="folder" aria-label="Folder">
                <option value="">"No folder"</option>
                {folders.into_iter().map(|f| view! { <option value=f.id.to_string()>{f.name}</option> }).collect_view()}
            </select>
            {act(Act::Move, "Move")}
            <a class="button" href="/chat" rel="external">"Done"</a>
        </form>
    }
}

/// The box to look for chats with, and what was found.
#[component]
fn Search(found: RwSignal<Option<Result<Vec<Found>, AppError>>>, query: String) -> impl IntoView {
    let field = NodeRef::<Input>::new();
    let asked = StoredValue::new(0u32);
    let typed = RwSignal::new(query.clone());
    // Of several answers only the one to what stands in the box is shown.
    let look = move |all: bool, wait: Duration| {
        let Some(text) = field.get_untracked().map(|field| field.value()) else { return };
        typed.set(text.clone());
        asked.update_value(|n| *n += 1);
        let mine = asked.get_value();
        if text.trim().is_empty() {
            found.set(None);
            return;
        }
        set_timeout(
            move || {
                if asked.try_get_value() == Some(mine) {
                    spawn_local(async move {
                        let answer = search_threads(text, all).await;
                        if asked.try_get_value() == Some(mine) {
                            found.set(Some(answer));
                        }
                    });
                }
            },
            wait,
        );
    };
    // What was typed before the page woke up.
    Effect::new(move |_| {
        if field.get().is_some_and(|field| field.value() != typed.get_untracked()) {
            look(false, Duration::ZERO);
        }
    });
    let told = move || match found.get()? {
        Ok(hits) if hits.is_empty() => Some("No chat has these words.".to_owned()),
        Ok(hits) if hits.len() == 1 => Some("1 chat found.".to_owned()),
        Ok(hits) => Some(format!("{} chats found.", hits.len())),
        Err(error) => Some(error.to_string()),
    };
    let more = move || {
        let shown = super::model::FOUND_PAGE as usize;
        found.read().as_ref().is_some_and(|f| f.as_ref().is_ok_and(|hits| hits.len() == shown)).then(|| {
            view! {
                <form method="get" action="/chat" class="earlier" on:submit=move |event| { event.prevent_default(); look(true, Duration::ZERO); }>
                    <input type="hidden" name="q" value=typed/>
                    <button type="submit" class="button" name="all" value="">"Show more"</button>
                </form>
            }
        })
    };
    view! {
        <form method="get" action="/chat" role="search" class="search" on:submit=move |event| { event.prevent_default(); look(false, Duration::ZERO); }>
            <input type="search" name="q" value=query aria-label="Search your chats" placeholder="Search" maxlength="200" autocomplete="off"
                node_ref=field on:input=move |_| look(false, TYPING)/>
        </form>
        <div class="found" class:some=move || found.read().is_some()>
            <p class="quiet" aria-live="polite">{told}</p>
            <ul>
                {move || found.get().and_then(Result::ok).unwrap_or_default().into_iter().map(|hit| view! { <Hit hit/> }).collect_view()}
            </ul>
            {more}
        </div>
    }
}

/// A chat that was found. It opens where the words are.
#[component]
fn Hit(hit: Found) -> impl IntoView {
    let href = match hit.message {
        Some(message) => format!("/chat/{}?at={message}", hit.thread),
        None => format!("/chat/{}", hit.thread),
    };
    let parts = |parts: Vec<(bool, String)>| {
        parts
            .into_iter()
            .map(|(hit, text)| if hit { view! { <mark>{text}</mark> }.into_any() } else { text.into_any() })
            .collect_view()
    };
    view! {
        <li>
            <a class="hit" href=href>
                <span class="hit-title">{parts(hit.title)}</span>
                <span class="hit-text">{parts(hit.snippet)}</span>
                <span class="hit-day">{hit.day}{hit.archived.then_some(" · archived")}</span>
            </a>
        </li>
    }
}
