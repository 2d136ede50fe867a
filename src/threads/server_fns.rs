use leptos::prelude::*;

use super::model::{Posted, ThreadPage, ThreadRow, Transcript};
use crate::{
    error::AppError,
    types::{ClientId, MessageId, ThreadId},
};

/// A page of the caller's threads, newest first; `after` is the `next` of the page before.
#[server]
pub async fn list_threads(after: Option<String>) -> Result<ThreadPage, AppError> {
    use super::{model::LIST_PAGE, sql};
    use crate::{live, server::lanes};
    let after = after.map(|after| after.parse()).transpose()?;
    let mut lane = lanes::user().await?;
    let live = live::start(&mut lane).await?;
    let mut rows = sql::list(&mut lane, after, LIST_PAGE).await?;
    lane.commit().await?;
    let more = rows.len() as i64 > LIST_PAGE;
    rows.truncate(LIST_PAGE as usize);
    let next = rows.last().filter(|_| more).map(|row| row.at.to_string());
    Ok(ThreadPage { rows, next, live })
}

/// One line of the list, after something changed in it.
#[server]
pub async fn read_thread(thread: ThreadId) -> Result<ThreadRow, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::user().await?;
    let row = sql::thread(&mut lane, thread).await?;
    lane.commit().await?;
    Ok(row)
}

/// A thread with the newest of its messages, or those above `before`.
#[server]
pub async fn open_thread(thread: ThreadId, before: Option<MessageId>) -> Result<Transcript, AppError> {
    use super::{markdown, model::TRANSCRIPT_PAGE, sql};
    use crate::{live, server::lanes};
    let mut lane = lanes::user().await?;
    let live = live::start(&mut lane).await?;
    let row = sql::thread(&mut lane, thread).await?;
    let (messages, more) = sql::transcript(&mut lane, thread, before, TRANSCRIPT_PAGE).await?;
    lane.commit().await?;
    let messages = markdown::render(messages).await?;
    Ok(Transcript { thread: row, messages, more, live })
}

/// A new thread with its first message. The same `client` gives the same thread, however often it is sent.
#[server]
pub async fn start_thread(client: ClientId, text: String) -> Result<Posted, AppError> {
    use super::{model, sql};
    use crate::{
        answers,
        server::{lanes, state},
    };
    let (state, text) = (state::current()?, model::message_text(&text)?);
    let mut lane = lanes::user().await?;
    let (posted, created) =
        sql::start(&mut lane, client, &model::auto_title(&text), &text, state.answerer.model()).await?;
    answers::begin(&state, lane, &posted, created).await?;
    leptos_axum::redirect(&format!("/chat/{}", posted.thread));
    Ok(posted)
}

/// A message at the end of a thread. The same `client` with the same text gives the stored one; with another text, 409.
#[server]
pub async fn send_message(thread: ThreadId, client: ClientId, text: String) -> Result<Posted, AppError> {
    use super::{model, sql};
    use crate::{
        answers,
        server::{lanes, state},
    };
    let (state, text) = (state::current()?, model::message_text(&text)?);
    let mut lane = lanes::user().await?;
    let (posted, created) = sql::post(&mut lane, thread, client, &text, state.answerer.model()).await?;
    answers::begin(&state, lane, &posted, created).await?;
    Ok(posted)
}

/// Another try at an answer that was cut off or failed.
#[server]
pub async fn answer_again(answer: MessageId) -> Result<Posted, AppError> {
    use super::sql;
    use crate::{
        answers,
        server::{lanes, state},
    };
    let state = state::current()?;
    let mut lane = lanes::user().await?;
    let (thread, again, generation) = sql::answer_again(&mut lane, answer, state.answerer.model()).await?;
    let posted = Posted { thread, message: answer, answer: again, generation: Some(generation) };
    answers::begin(&state, lane, &posted, true).await?;
    Ok(posted)
}

/// Stops the answer that is being written, whichever process writes it. What has been written stays.
#[server]
pub async fn stop_answer(thread: ThreadId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::user().await?;
    sql::thread(&mut lane, thread).await?;
    sql::stop(&mut lane, thread).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    Ok(())
}

#[server]
pub async fn rename_thread(thread: ThreadId, title: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes, state};
    let title = model::title(&title)?;
    let mut lane = lanes::user().await?;
    sql::rename(&mut lane, thread, &title).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    Ok(())
}

/// Deletes a thread with all its messages. This can't be undone.
#[server]
pub async fn delete_thread(thread: ThreadId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::user().await?;
    sql::delete(&mut lane, thread).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    leptos_axum::redirect("/chat");
    Ok(())
}
