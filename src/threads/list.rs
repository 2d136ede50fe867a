//! The list of chats as HTML: its head, the search and what was found, the lines under their days. All of it is written on
//! the server, with views that never wake up; in the browser `list.js` puts pieces of it in place of others. What changes
//! something is a plain form and what shows another list is a link, so that it works without a script.

use leptos::prelude::*;

use super::model::{FOUND_PAGE, Found, ThreadPage, ThreadRow};
use crate::{
    accounts::model::Me,
    error::AppError,
    folders::model::FolderRow,
    types::{Act, FolderId, Shelf, ThreadId},
    ui::{button::IconButton, icon::Icon, theme::Theme},
};

/// Which list an address asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub after: Option<String>,
    pub shelf: Shelf,
    pub folder: Option<FolderId>,
    /// With a box to tick at each line.
    pub select: bool,
    /// What is looked for, and whether all of it is wanted.
    pub search: String,
    pub all: bool,
}

impl Asked {
    /// Of an address: what stands behind its question mark.
    pub fn of(query: &str) -> Self {
        let mut asked =
            Self { after: None, shelf: Shelf::All, folder: None, select: false, search: String::new(), all: false };
        for (name, value) in form_urlencoded::parse(query.trim_start_matches('?').as_bytes()) {
            match &*name {
                "after" => asked.after = Some(value.into_owned()),
                "view" => {
                    let known = [Shelf::Archived, Shelf::Unread].into_iter().find(|s| s.as_str() == value);
                    asked.shelf = known.unwrap_or(Shelf::All);
                }
                "folder" => asked.folder = value.parse().ok(),
                "select" => asked.select = true,
                "q" => asked.search = value.into_owned(),
                "all" => asked.all = true,
                _ => {}
            }
        }
        asked
    }

    /// Whether pinned chats stand on top.
    pub fn pins(&self) -> bool {
        self.shelf == Shelf::All && self.folder.is_none()
    }

    /// The query of the same list.
    fn query(&self) -> String {
        let select = if self.select { "&select=1" } else { "" };
        match self.folder {
            Some(id) => format!("folder={id}{select}"),
            None => format!("view={}{select}", self.shelf.as_str()),
        }
    }

    /// Whether a chat that has changed stands in this list. `known`: it is on screen.
    pub fn has(&self, row: &ThreadRow, known: bool) -> bool {
        // What has been read since stays among the unread: nothing moves away under the eyes.
        row.is_on(self.shelf, self.folder) && (self.shelf != Shelf::Unread || row.unread || known)
    }
}

/// The whole list. `open`: the chat beside it.
pub fn html(
    asked: &Asked,
    page: ThreadPage,
    hits: Option<Result<Vec<Found>, AppError>>,
    open: Option<ThreadId>,
    (me, theme): (Me, Theme),
) -> String {
    let (shelf, folder) = (asked.shelf, asked.folder);
    let name = match (folder, shelf) {
        (Some(id), _) => page.folders.iter().find(|f| f.id == id).map(|f| f.name.clone()).unwrap_or_default(),
        (None, Shelf::Archived) => "Archived".to_owned(),
        (None, Shelf::Unread) => "Unread".to_owned(),
        (None, Shelf::All) => "Chats".to_owned(),
    };
    let nothing = match (folder, shelf) {
        (Some(_), _) => "No chats in this folder. Open a chat's menu to move it here.",
        (None, Shelf::Archived) => "No archived chats.",
        (None, Shelf::Unread) => "Nothing is unread.",
        (None, Shelf::All) => "Your chats will be listed here. Ask something to begin.",
    };
    let query = asked.query();
    let older = page.next.map(|after| format!("/chat?{query}&after={after}"));
    let new = folder.map_or_else(|| "/chat".to_owned(), |id| format!("/chat?folder={id}"));
    let looking = hits.is_some();
    view! {
        <div class="side-head">
            <h2 title=name.clone()>{name.clone()}</h2>
            <span class="live-mark" role="img" aria-label="Live" title="Live: changes show here as they happen"></span>
            {views(&page.folders, &query)}
            <a class="icon-button" href=new rel=folder.map(|_| "external") title="New chat" aria-label="New chat"><Icon of=icondata_lu::LuPlus/></a>
        </div>
        <form method="get" action="/chat" role="search" class="search">
            <input type="search" name="q" value=asked.search.clone() aria-label="Search your chats" placeholder="Search" maxlength="200" aria-keyshortcuts="Control+K Meta+K" autocomplete="off"/>
        </form>
        <div class="filed" aria-live="polite"></div>
        <div class="found" class:some=looking>
            <p class="quiet" aria-live="polite">{hits.as_ref().map(|hits| told(hits, asked.all))}</p>
            <div class="hits" inner_html=hits.and_then(Result::ok).map(|hits| found(hits, &asked.search, asked.all)).unwrap_or_default()></div>
        </div>
        <div class="side-list" data-query=query>
            <div class="undone" aria-live="polite">{page.deleted.into_iter().map(undo).collect_view()}</div>
            <p class="quiet nothing">{nothing}</p>
            <div class="rows">{groups(asked, page.rows, open)}</div>
            <p class="earlier older">{older.map(|href| view! { <a class="button" href=href>"Older chats"</a> })}</p>
        </div>
        {asked.select.then(|| bulk(page.folders))}
        {foot(me, theme, open)}
    }
    .to_html()
}

/// Below the list: who is signed in, the theme, the guide, the way out.
fn foot(me: Me, theme: Theme, open: Option<ThreadId>) -> impl IntoView {
    let here = open.map_or_else(|| "/chat".to_owned(), |id| format!("/chat/{id}"));
    let label = |theme| match theme {
        Theme::System => "Theme: as the system. Switch to light",
        Theme::Light => "Theme: light. Switch to dark",
        Theme::Dark => "Theme: dark. Switch to the system's",
    };
    // For the script, which switches it in place.
    let labels = Theme::ALL.map(label).join("|");
    let initials = me.initials();
    let title = format!("Your account: {}", me.email);
    view! {
        <div class="side-foot">
            <a class="who" href="/account" rel="external" title=title>
                <span class="avatar" aria-hidden="true">{initials}</span>
                <span>{if me.name.is_empty() { me.email } else { me.name }}</span>
            </a>
            <a class="icon-button" href="/workspaces" rel="external" title="Workspaces" aria-label="Workspaces"><Icon of=icondata_lu::LuUsers/></a>
            <a class="icon-button" href="/guide" rel="external" title="Guide" aria-label="Guide"><Icon of=icondata_lu::LuBookOpen/></a>
            <a class="icon-button" href="/guide/keys" rel="external" title="Keys" aria-label="Keys" data-keys=""><Icon of=icondata_lu::LuKeyboard/></a>
            <form method="post" action=format!("{here}?do=theme") data-here=labels>
                <input type="hidden" name="theme" value=theme.next().as_str()/>
                <IconButton icon=icondata_lu::LuSunMoon label=label(theme)/>
            </form>
            <form method="post" action="/chat?do=sign-out" data-leave="">
                <IconButton icon=icondata_lu::LuLogOut label="Sign out"/>
            </form>
        </div>
    }
}

/// The lines under their headings.
fn groups(asked: &Asked, rows: Vec<ThreadRow>, open: Option<ThreadId>) -> impl IntoView + use<> {
    let mut groups: Vec<(String, Vec<ThreadRow>)> = Vec::new();
    for row in rows {
        let heading = row.heading(asked.pins()).to_owned();
        match groups.last_mut() {
            Some((last, rows)) if *last == heading => rows.push(row),
            _ => groups.push((heading, vec![row])),
        }
    }
    let asked = asked.clone();
    groups
        .into_iter()
        .map(move |(heading, rows)| {
            let lines = rows.into_iter().map(|row| line(&asked, row, open)).collect_view();
            view! { <div data-group=heading.clone()><h3 class="day">{heading.clone()}</h3><ul>{lines}</ul></div> }
        })
        .collect_view()
}

/// One chat, by itself.
pub fn one(asked: &Asked, row: ThreadRow) -> String {
    line(asked, row, None).to_html()
}

fn line(asked: &Asked, row: ThreadRow, open: Option<ThreadId>) -> impl IntoView + use<> {
    let id = row.id;
    let (pinned, at) = row.order(asked.pins());
    // As text in the order of the list: the last one first.
    let order = format!("{}{:020}{id}", u8::from(pinned), at.micros);
    let mark = |class, label: String| view! { <span class=class role="img" aria-label=label.clone() title=label.clone()></span> };
    let goes = row.goes.clone().map(|at| mark("goes", format!("Temporary: goes on {at}")));
    let state = if row.answering {
        Some(mark("writing", "An answer is being written".to_owned()))
    } else {
        row.unread.then(|| mark("unread", "Unread".to_owned()))
    };
    let tick = asked.select.then(|| {
        view! { <input type="checkbox" name="threads[]" value=id.to_string() form="bulk" aria-label=row.title.clone()/> }
    });
    view! {
        <li class="line" data-row=id.to_string() data-order=order data-heading=row.heading(asked.pins()).to_owned()>
            {tick}
            <a class="thread" href=format!("/chat/{id}") title=row.title.clone() aria-current=(open == Some(id)).then_some("page")>
                <span class="thread-title">{row.title.clone()}</span>
                {goes}
                {state}
            </a>
        </li>
    }
}

/// What was deleted just now, and the way back.
fn undo((id, title): (ThreadId, String)) -> impl IntoView {
    view! {
        <form method="post" action="/chat?do=file" class="undo" data-stay="">
            <input type="hidden" name="threads[]" value=id.to_string()/>
            <p>"Deleted: "{title}</p>
            <button type="submit" class="button" name="act" value=Act::Restore.as_str()>"Undo"</button>
        </form>
    }
}

/// The other lists, and what can be done with the whole of one.
fn views(folders: &[FolderRow], query: &str) -> impl IntoView + use<> {
    let link = |href: String, name: String| view! { <li><a class="choice" href=href rel="external">{name}</a></li> };
    let folders = folders.iter().map(|f| link(format!("/chat?folder={}", f.id), f.name.clone())).collect_view();
    view! {
        <details class="menu views">
            <summary class="icon-button" title="Other lists" aria-label="Other lists"><Icon of=icondata_lu::LuListFilter/></summary>
            <ul class="menu-body">
                {link("/chat".to_owned(), "All chats".to_owned())}
                {link("/chat?view=unread".to_owned(), "Unread".to_owned())}
                {link("/chat?view=archived".to_owned(), "Archived".to_owned())}
                {folders}
                {link("/folders".to_owned(), "Folders…".to_owned())}
                {link(format!("/chat?{query}&select=1"), "Choose several…".to_owned())}
                {link("/import".to_owned(), "Import and export…".to_owned())}
            </ul>
        </details>
    }
}

/// What can be done with the chats that are ticked.
fn bulk(folders: Vec<FolderRow>) -> impl IntoView {
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

/// What came of a search, in words.
pub fn told(hits: &Result<Vec<Found>, AppError>, all: bool) -> String {
    match hits {
        Ok(hits) if hits.is_empty() => "No chat has these words.".to_owned(),
        Ok(hits) if hits.len() == 1 => "1 chat found.".to_owned(),
        Ok(hits) if is_more(hits, all) => format!("The best {} chats.", hits.len()),
        Ok(hits) => format!("{} chats found.", hits.len()),
        Err(error) => error.to_string(),
    }
}

fn is_more(hits: &[Found], all: bool) -> bool {
    !all && hits.len() == FOUND_PAGE as usize
}

/// The chats that were found; `all`: as many as there is room for were asked for.
pub fn found(hits: Vec<Found>, search: &str, all: bool) -> String {
    let more = is_more(&hits, all);
    let parts = |parts: Vec<(bool, String)>| {
        parts
            .into_iter()
            .map(|(hit, text)| if hit { view! { <mark>{text}</mark> }.into_any() } else { text.into_any() })
            .collect_view()
    };
    let hit = |hit: Found| {
        let message = hit.message.map(|id| format!("?at={id}#m-{id}")).unwrap_or_default();
        view! {
            <li>
                <a class="hit" href=format!("/chat/{}{message}", hit.thread)>
                    <span class="hit-title">{parts(hit.title)}</span>
                    <span class="hit-text">{parts(hit.snippet)}</span>
                    <span class="hit-day">{hit.day}{hit.archived.then_some(" · archived")}</span>
                </a>
            </li>
        }
    };
    let more = more.then(|| {
        view! {
            <form method="get" action="/chat" class="earlier" role="search" data-all="">
                <input type="hidden" name="q" value=search.to_owned()/>
                <button type="submit" class="button" name="all" value="">"Show more"</button>
            </form>
        }
    });
    view! { <ul>{hits.into_iter().map(hit).collect_view()}</ul>{more} }.to_html()
}
