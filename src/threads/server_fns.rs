use leptos::prelude::*;

use super::model::{Found, Listed, Posted, ThreadPage, ThreadRow, Transcript};
use crate::{
    error::AppError,
    types::{Act, ClientId, FolderId, MessageId, Shelf, ThreadId},
};

/// A thread with the newest of its messages, or those above `before`, or those around `at`.
#[server]
pub async fn open_thread(
    thread: ThreadId,
    before: Option<MessageId>,
    at: Option<MessageId>,
) -> Result<Transcript, AppError> {
    use super::{
        actions, markdown,
        model::{self, Head, Options, TRANSCRIPT_PAGE},
        sql::{self, End},
    };
    use crate::{
        live,
        server::{lanes, state},
        ui::form::FormBack,
    };
    let (back, zone, state) = (use_context::<FormBack>(), state::zone(), state::current()?);
    let mut lane = lanes::user().await?;
    let live = live::start(&mut lane).await?;
    let row = sql::thread(&mut lane, thread).await?;
    let (model, instructions) = sql::options(&mut lane, thread).await?;
    let (newest, all) = sql::usage(&mut lane, thread).await?;
    // A form that was refused comes back on the page of its message.
    let at = at.or_else(|| back.as_ref().and_then(|back| back.typed("message").parse().ok()));
    let end = before.map_or(End::Newest, End::Above);
    let (mut messages, mut more) = sql::transcript(&mut lane, thread, end, TRANSCRIPT_PAGE, &zone).await?;
    let mut older = before.is_some();
    if let Some(at) = at.filter(|at| !older && messages.iter().all(|m| m.id != *at)) {
        (messages, more) = sql::transcript(&mut lane, thread, End::Around(at), TRANSCRIPT_PAGE, &zone).await?;
        older = true;
    }
    lane.commit().await?;
    let messages = markdown::render(thread, messages, back.clone()).await?;
    let models = state.answerer.models();
    let menu = actions::menu(&row, &Options { model, models, instructions }, back.as_ref());
    let used = model::used(newest, all, state.answerer.context());
    let thread = Head { id: row.id, title: row.title, answering: row.answering, used };
    Ok(Transcript { thread, messages, more, older, live, menu })
}

/// A new thread with its first message. The same `client` gives the same thread, however often it is sent.
#[server]
pub async fn start_thread(
    client: ClientId,
    text: String,
    /// It goes by itself 24 hours after its last message.
    temporary: Option<bool>,
    folder: Option<FolderId>,
    /// One of [`Answerer::models`](crate::answers::answerer::Answerer::models); the usual one when it is not said.
    model: Option<String>,
) -> Result<Posted, AppError> {
    use super::{model as rules, sql, title};
    use crate::{
        answers,
        server::{lanes, state},
    };
    let (state, text) = (state::current()?, rules::message_text(&text)?);
    let model = rules::known_model(&state.answerer.models(), model)?;
    let answers_with = if model.is_empty() { state.answerer.model().to_owned() } else { model.clone() };
    let mut lane = lanes::user().await?;
    let (posted, created) = sql::start(&mut lane, client, &title::auto_title(&text), &text, &answers_with).await?;
    if created && (temporary == Some(true) || folder.is_some()) {
        sql::settle(&mut lane, posted.thread, temporary == Some(true), folder).await?;
    }
    if created && !model.is_empty() {
        sql::set_options(&mut lane, posted.thread, &model, "").await?;
    }
    answers::begin(&state, lane, &posted, created).await?;
    leptos_axum::redirect(&format!("/chat/{}", posted.thread));
    Ok(posted)
}

/// A message at the end of a thread: of the branch through `after`, so that it follows what its writer saw. The same
/// `client` with the same text gives the stored one; with another text, 409.
#[server]
pub async fn send_message(
    thread: ThreadId,
    client: ClientId,
    text: String,
    after: Option<MessageId>,
) -> Result<Posted, AppError> {
    use super::{model, sql};
    use crate::{
        answers,
        server::{lanes, state},
    };
    let (state, text) = (state::current()?, model::message_text(&text)?);
    let mut lane = lanes::user().await?;
    let (posted, created) = sql::post(&mut lane, thread, client, after, &text, state.answerer.model()).await?;
    answers::begin(&state, lane, &posted, created).await?;
    Ok(posted)
}

/// A message of the caller's is said differently: the new one stands beside it, with an answer of its own.
#[server]
pub async fn edit_message(message: MessageId, client: ClientId, text: String) -> Result<Posted, AppError> {
    use super::{actions, model, sql};
    use crate::{
        answers,
        server::{lanes, state},
    };
    let (state, text) = (state::current()?, model::message_text(&text)?);
    let mut lane = lanes::user().await?;
    let (posted, created) = sql::edit(&mut lane, message, client, &text, state.answerer.model()).await?;
    answers::begin(&state, lane, &posted, created).await?;
    leptos_axum::redirect(&actions::address(posted.thread, posted.message));
    Ok(posted)
}

/// Another answer beside one that there is; with `go_on`, one that begins with what that one says and goes on from there.
#[server]
pub async fn answer_again(
    message: MessageId,
    client: Option<ClientId>,
    go_on: Option<bool>,
) -> Result<Posted, AppError> {
    use super::{actions, sql};
    use crate::{
        answers,
        server::{lanes, state},
    };
    let state = state::current()?;
    let mut lane = lanes::user().await?;
    let (posted, created) = sql::answer_again(&mut lane, message, client, state.answerer.model()).await?;
    // Under the thread's lock, or what was deleted while this waited would be said again.
    let begun = if go_on == Some(true) { sql::text(&mut lane, message).await? } else { String::new() };
    answers::go_on(&state, lane, &posted, created, begun).await?;
    leptos_axum::redirect(&actions::address(posted.thread, posted.answer));
    Ok(posted)
}

/// Shows the branch through a message, in every window and from now on.
#[server]
pub async fn choose_branch(to: MessageId) -> Result<(), AppError> {
    use super::{actions, sql};
    use crate::server::{lanes, state};
    let state = state::current()?;
    let mut lane = lanes::user().await?;
    let thread = sql::choose_branch(&mut lane, to).await?;
    lane.commit().await?;
    state.hub.wake();
    leptos_axum::redirect(&actions::address(thread, to));
    Ok(())
}

/// Empties a message. It keeps its place, and its answers stay. This can't be undone.
#[server]
pub async fn delete_message(message: MessageId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let state = state::current()?;
    let mut lane = lanes::user().await?;
    sql::delete_message(&mut lane, message).await?;
    lane.commit().await?;
    state.hub.wake();
    Ok(())
}

/// A new thread that begins with everything down to this message.
#[server]
pub async fn fork_thread(message: MessageId, client: ClientId) -> Result<ThreadId, AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let state = state::current()?;
    let mut lane = lanes::user().await?;
    let fork = sql::fork(&mut lane, message, client).await?;
    lane.commit().await?;
    state.hub.wake();
    leptos_axum::redirect(&format!("/chat/{fork}"));
    Ok(fork)
}

/// What the caller thinks of an answer; the same again takes it back.
#[server]
pub async fn thumb_answer(message: MessageId, up: Option<bool>) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let state = state::current()?;
    let mut lane = lanes::user().await?;
    sql::thumb(&mut lane, message, up).await?;
    lane.commit().await?;
    state.hub.wake();
    Ok(())
}

/// A message as it was written, in Markdown.
#[server]
pub async fn read_text(message: MessageId) -> Result<String, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::user().await?;
    let text = sql::text(&mut lane, message).await?;
    lane.commit().await?;
    Ok(text)
}

/// Which model answers in a thread, and with what in mind.
#[server]
pub async fn set_options(thread: ThreadId, model: Option<String>, instructions: String) -> Result<(), AppError> {
    use super::{model as rules, sql};
    use crate::server::{lanes, state};
    let state = state::current()?;
    let (model, instructions) =
        (rules::known_model(&state.answerer.models(), model)?, rules::instructions(&instructions)?);
    let mut lane = lanes::user().await?;
    sql::set_options(&mut lane, thread, &model, &instructions).await?;
    lane.commit().await?;
    state.hub.wake();
    Ok(())
}

/// Stops the answer that is being written, whichever process writes it. What has been written stays.
#[server]
pub async fn stop_answer(thread: ThreadId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let state = state::current()?;
    let mut lane = lanes::user().await?;
    sql::thread(&mut lane, thread).await?;
    sql::stop(&mut lane, thread).await?;
    lane.commit().await?;
    state.hub.wake();
    Ok(())
}

#[server]
pub async fn rename_thread(thread: ThreadId, title: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes, state};
    let title = model::title(&title)?;
    let state = state::current()?;
    let mut lane = lanes::user().await?;
    sql::rename(&mut lane, thread, &title).await?;
    lane.commit().await?;
    state.hub.wake();
    Ok(())
}

// The list.

/// A page of the caller's threads, newest first; `after` is the `next` of the page before.
#[server]
pub async fn list_threads(
    after: Option<String>,
    shelf: Option<Shelf>,
    folder: Option<FolderId>,
) -> Result<ThreadPage, AppError> {
    use super::{model::LIST_PAGE, sql};
    use crate::{
        folders, live,
        server::{lanes, state},
    };
    let (zone, shelf) = (state::zone(), shelf.unwrap_or(Shelf::All));
    let after = after.map(|after| after.parse()).transpose()?;
    let mut lane = lanes::user().await?;
    let live = live::start(&mut lane).await?;
    let mut rows = sql::list(&mut lane, &zone, shelf, folder, after, LIST_PAGE).await?;
    let more = rows.len() as i64 > LIST_PAGE;
    rows.truncate(LIST_PAGE as usize);
    let next = rows.last().filter(|_| more).map(|row| row.at.to_string());
    if after.is_none() && shelf == Shelf::All && folder.is_none() {
        rows.splice(0..0, sql::pinned(&mut lane, &zone).await?);
    }
    let (folders, deleted) = (folders::sql::list(&mut lane).await?, sql::deleted(&mut lane).await?);
    lane.commit().await?;
    Ok(ThreadPage { rows, next, live, folders, deleted })
}

/// One line of the list, after something changed in it.
#[server]
pub async fn read_thread(thread: ThreadId) -> Result<ThreadRow, AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let zone = state::zone();
    let mut lane = lanes::user().await?;
    let row = sql::line(&mut lane, thread, &zone).await?;
    lane.commit().await?;
    Ok(row)
}

/// The caller's threads with these words in the title or in a message: see `app.search_threads`. A few, or `all` there are
/// room for.
#[server]
pub async fn search_threads(query: String, #[server(default)] all: bool) -> Result<Vec<Found>, AppError> {
    use super::{
        model::{FOUND_MAX, FOUND_PAGE, QUERY_MAX},
        snippet, sql,
    };
    use crate::server::{lanes, state};
    if query.chars().count() > QUERY_MAX || query.contains('\0') {
        return Err(AppError::invalid("q", "Look for 200 characters at most."));
    }
    let zone = state::zone();
    let mut lane = lanes::user().await?;
    let hits = sql::search(&mut lane, &zone, &query, if all { FOUND_MAX } else { FOUND_PAGE }).await?;
    lane.commit().await?;
    Ok(snippet::found(hits, &query))
}

/// The list that an address asks for, as it is shown beside the thread `open`. `query`: what stands behind the address's
/// question mark.
#[server]
pub async fn show_list(query: String, open: Option<ThreadId>) -> Result<Listed, AppError> {
    use super::list::{self, Asked};
    use crate::{accounts::server_fns::whoami, ui::theme::Theme};
    let (asked, theme) = (Asked::of(&query), use_context::<Theme>().unwrap_or_default());
    let me = whoami().await?.ok_or(AppError::Unauthenticated)?;
    let page = list_threads(asked.after.clone(), Some(asked.shelf), asked.folder).await?;
    let hits = match asked.search.trim() {
        "" => None,
        _ => Some(search_threads(asked.search.clone(), asked.all).await),
    };
    let live = page.live.clone();
    Ok(Listed { html: list::html(&asked, page, hits, open, (me, theme)), live })
}

/// What can be said of a new chat before its first message, as parts of the form `composer`.
#[server]
pub async fn show_beginning() -> Result<String, AppError> {
    use super::actions;
    use crate::server::state;
    Ok(actions::beginning(&state::current()?.answerer.models()))
}

/// One line of such a list; `None` when it does not stand there. `known`: it is on screen.
#[server]
pub async fn show_row(thread: ThreadId, query: String, known: bool) -> Result<Option<String>, AppError> {
    use super::list::{self, Asked};
    let (asked, row) = (Asked::of(&query), read_thread(thread).await?);
    Ok(asked.has(&row, known).then(|| list::one(&asked, row)))
}

/// What came of a search, in words and as a list.
#[server]
pub async fn show_found(query: String, all: bool) -> Result<(String, String), AppError> {
    use super::list;
    let hits = match search_threads(query.clone(), all).await {
        Err(error) if !matches!(error, AppError::Invalid { .. }) => return Err(error),
        hits => hits,
    };
    let told = list::told(&hits, all);
    Ok((told, hits.map(|hits| list::found(hits, &query, all)).unwrap_or_default()))
}

/// Pins, archives, deletes, marks or moves threads. `folder` is where they are moved to, empty for no folder.
#[server]
pub async fn file_threads(
    #[server(default)] threads: Vec<ThreadId>,
    act: Act,
    #[server(default)] folder: String,
) -> Result<(), AppError> {
    use super::{model::MANY, sql};
    use crate::server::{lanes, state};
    if threads.is_empty() || threads.len() > MANY {
        return Err(AppError::invalid("threads", "Choose between 1 and 200 chats."));
    }
    let folder = Some(folder).filter(|id| !id.is_empty()).map(|id| id.parse()).transpose();
    let folder = folder.map_err(|_| AppError::invalid("folder", "This is no folder."))?;
    let state = state::current()?;
    let mut lane = lanes::user().await?;
    sql::file(&mut lane, &threads, act, folder).await?;
    lane.commit().await?;
    state.hub.wake();
    // Away from the chat that is gone, or that would be read again at once.
    if matches!(act, Act::Archive | Act::Delete | Act::Unread) {
        leptos_axum::redirect("/chat");
    }
    Ok(())
}

/// Deletes a thread with all its messages. For a minute it can be taken back.
#[server]
pub async fn delete_thread(thread: ThreadId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let state = state::current()?;
    let mut lane = lanes::user().await?;
    sql::file(&mut lane, &[thread], Act::Delete, None).await?;
    lane.commit().await?;
    state.hub.wake();
    leptos_axum::redirect("/chat");
    Ok(())
}
