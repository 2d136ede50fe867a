use leptos::prelude::*;

use super::model::{Change, Changed, Conversation, Escalation, Narrow, Queue, View};
use crate::{
    error::AppError,
    types::{ClientId, ConversationId, ConversationStatus, MemberId, MessageId, PlaceId, ThreadId, ViewId},
};

/// A page of the queue of the workspace that the request is in.
#[server]
pub async fn list_conversations(
    #[server(default)] view: View,
    #[server(default)] narrow: Narrow,
    after: Option<String>,
) -> Result<Queue, AppError> {
    use super::sql;
    use crate::server::lanes;
    let narrow = narrow.clean();
    let mut lane = lanes::workspace().await?;
    let queue = sql::queue(&mut lane, view, &narrow, after.as_deref()).await?;
    lane.commit().await?;
    Ok(queue)
}

#[server]
pub async fn read_conversation(conversation: ConversationId, before: Option<i64>) -> Result<Conversation, AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::workspace().await?;
    let found = sql::conversation(&mut lane, conversation, before, &state::zone()).await?;
    lane.commit().await?;
    Ok(found)
}

/// Takes this one, if nobody else has it.
#[server]
pub async fn take_conversation(conversation: ConversationId) -> Result<(), AppError> {
    use super::{model::Held, sql};
    use crate::server::{lanes, state};
    let mut lane = lanes::acting().await?;
    let had_by = sql::take(&mut lane, conversation).await?;
    let me = lane.user();
    lane.commit().await?;
    state::current()?.hub.wake();
    match had_by {
        Some(other) if other != me => Err(Held::Taken.told()),
        _ => Ok(()),
    }
}

/// Takes the next one that waits, and goes to it. `client` as for an answer: asked again under the same id, it is the one that was taken
/// then, and no other.
#[server]
pub async fn take_next(place: PlaceId, client: ClientId) -> Result<Option<ConversationId>, AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::acting().await?;
    let taken = sql::take_next(&mut lane, client).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    match taken {
        Some(id) => leptos_axum::redirect(&format!("/w/{place}/desk/{id}")),
        None => return Err(AppError::Conflict { what: "Nobody waits at this moment.".into() }),
    }
    Ok(taken)
}

/// Sends an answer, or keeps a note for the staff. `seen` is the newest message that its writer had before them: an answer to
/// less than what was said is held, and so is one in a conversation that somebody else has. `client` is made by whoever asks, so
/// that sending twice stores once. With `wait`, seconds, it leaves that much later, if by then nothing else has been said.
#[server]
pub async fn answer_conversation(
    conversation: ConversationId,
    client: ClientId,
    text: String,
    #[server(default)] seen: i64,
    #[server(default)] note: bool,
    #[server(default)] wait: u32,
) -> Result<(), AppError> {
    use super::sql;
    use crate::{
        later,
        server::{lanes, state},
        threads::model::message_text,
    };
    let text = message_text(&text)?;
    if wait > later::model::LATEST {
        return Err(AppError::invalid("wait", "An answer can wait for 90 days at most."));
    }
    let mut lane = lanes::acting().await?;
    let held = if wait > 0 && !note {
        later::sql::keep(&mut lane, conversation, client, &text, seen, wait).await?
    } else {
        sql::answer(&mut lane, conversation, client, &text, seen, note).await?.err()
    };
    sql::look(&mut lane, conversation, seen, Some(false)).await?;
    lane.commit().await?;
    let state = state::current()?;
    state.hub.wake();
    state.due.notify_one();
    held.map_or(Ok(()), |held| Err(held.told()))
}

/// Does one thing with many conversations, each by itself, and says what came of each. `conversations`: id and newest message that
/// was shown, with a dot between them, 50 at most. `label`: for that alone.
#[server]
pub async fn change_conversations(
    #[server(default)] conversations: Vec<String>,
    change: Change,
    #[server(default)] label: String,
) -> Result<Vec<Changed>, AppError> {
    use super::{
        bulk,
        model::{self, QUEUE_PAGE},
    };
    use crate::server::state;
    let ticked = conversations.iter().map(|one| model::ticked(one)).collect::<Result<Vec<_>, _>>()?;
    if ticked.is_empty() || ticked.len() > QUEUE_PAGE {
        return Err(AppError::invalid("conversations", "Tick conversations of the list, 50 at most."));
    }
    let labels = model::labels(&label)?;
    if change == Change::Label && labels.is_empty() {
        return Err(AppError::invalid("label", "Write the label."));
    }
    let mut told = Vec::new();
    for (id, seen) in ticked {
        told.push(bulk::change(id, seen, change, &labels).await?);
    }
    state::current()?.hub.wake();
    Ok(told)
}

/// Joins another conversation of the same customer to this one: what was said there stands here as a note, and it is resolved.
#[server]
pub async fn join_conversation(conversation: ConversationId, other: ConversationId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::acting().await?;
    let held = sql::join(&mut lane, other, conversation).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    held.map_or(Ok(()), |held| Err(held.told()))
}

/// Forgets a customer and everything that they said: this conversation, and with `all` those of the same address. Goes to the desk of
/// `place`, which is the caller's own.
#[server]
pub async fn erase_customer(
    conversation: ConversationId,
    place: PlaceId,
    #[server(default)] all: bool,
) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::changing().await?;
    crate::workspaces::sql::managed(&mut lane).await?;
    sql::erase(&mut lane, conversation, all).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    leptos_axum::redirect(&format!("/w/{place}/desk"));
    Ok(())
}

/// Whether the caller takes new conversations: who is away is given none.
#[server]
pub async fn set_available(#[server(default)] available: bool) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::acting().await?;
    sql::set_available(&mut lane, available).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    Ok(())
}

/// Resolves a conversation, gives it back, to the queue or to the assistant, or puts it off: for `hours`, or until the customer says something.
/// With `next`, the caller's own place, the next one that waits is taken in the same step, and its page opened.
#[server]
pub async fn set_conversation(
    conversation: ConversationId,
    status: ConversationStatus,
    hours: Option<u32>,
    #[server(default)] seen: i64,
    next: Option<PlaceId>,
) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    if status == ConversationStatus::Claimed {
        return Err(AppError::invalid("status", "A conversation can be resolved, put off or given back."));
    }
    let seconds =
        hours.filter(|_| status == ConversationStatus::Snoozed).map(|hours| f64::from(hours.min(24 * 90)) * 3600.0);
    let mut lane = lanes::acting().await?;
    let done = sql::set(&mut lane, conversation, status, seconds, seen).await?;
    sql::look(&mut lane, conversation, seen, Some(false)).await?;
    // Once: a second click, or a copy of a request whose answer was lost, gives nobody another one.
    let opened = match (done, next) {
        (Ok(true), Some(_)) => sql::go_on(&mut lane).await?,
        _ => None,
    };
    lane.commit().await?;
    let state = state::current()?;
    state.hub.wake();
    state.owed.notify_one();
    let done = done.map_err(|held| held.told())?;
    if let Some(place) = next {
        // Whoever asks again finds what they got the first time among their own.
        let list = if done { "" } else { "?view=mine" };
        let to = opened.map_or_else(|| format!("/w/{place}/desk{list}"), |id| format!("/w/{place}/desk/{id}"));
        leptos_axum::redirect(&to);
    }
    Ok(())
}

/// Hands a conversation to a colleague who answers, with a note for them. One after the other with changes of roles: it may be somebody
/// else's, whom managers take it from. Handed over twice at the same `seen`, the note is kept once.
#[server]
pub async fn hand_conversation(
    conversation: ConversationId,
    member: MemberId,
    #[server(default)] note: String,
    #[server(default)] seen: i64,
) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes, state};
    use crate::threads::model::message_text;
    let note = if note.trim().is_empty() { String::new() } else { message_text(&note)? };
    let mut lane = lanes::changing().await?;
    let client = model::client_of(conversation, member.0, (lane.user(), seen, 0));
    sql::hand(&mut lane, conversation, member, (client, &note)).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    Ok(())
}

/// What the caller can take along from a chat of theirs to the people of a desk.
#[server]
pub async fn read_escalation(thread: ThreadId) -> Result<Escalation, AppError> {
    use super::sql;
    use crate::{server::lanes, threads};
    let mut lane = lanes::user().await?;
    let title = threads::sql::thread(&mut lane, thread).await?.title;
    let turns = threads::sql::words(&mut lane, thread).await?;
    let desks = sql::my_desks(&mut lane).await?;
    lane.commit().await?;
    Ok(Escalation { title, turns, desks })
}

/// Asks the people of the desk at `place`: copies the chosen messages of a chat, in their order, and the caller's own words behind
/// them. Nothing else of the chat becomes readable to anybody.
#[server]
pub async fn escalate(
    thread: ThreadId,
    place: PlaceId,
    client: ClientId,
    #[server(default)] messages: Vec<MessageId>,
    #[server(default)] text: String,
) -> Result<ConversationId, AppError> {
    use super::sql;
    use crate::{
        server::{lanes, state},
        threads::{self, model::message_text},
    };
    let own = if text.trim().is_empty() { None } else { Some(message_text(&text)?) };
    let mut lane = lanes::user().await?;
    threads::sql::thread(&mut lane, thread).await?;
    let turns = threads::sql::words(&mut lane, thread).await?;
    let chosen = turns.into_iter().filter(|(id, _, _)| messages.contains(id)).map(|(_, mine, text)| (mine, text));
    let said: Vec<(bool, String)> = chosen.chain(own.map(|text| (true, text))).collect();
    if said.is_empty() {
        return Err(AppError::invalid("text", "Choose what to show, or write something."));
    }
    let asked = sql::escalate(&mut lane, place, client, &said).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    leptos_axum::redirect(&format!("/w/{place}/desk/{asked}"));
    Ok(asked)
}

/// Whoever asked, out of a chat of theirs, says more. `client` as for an answer.
#[server]
pub async fn ask_on(conversation: ConversationId, client: ClientId, text: String) -> Result<(), AppError> {
    use super::sql;
    use crate::{
        server::{lanes, state},
        threads::model::message_text,
    };
    let text = message_text(&text)?;
    let mut lane = lanes::acting().await?;
    sql::ask_on(&mut lane, conversation, client, &text).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    Ok(())
}

/// Whoever has a conversation before them says so now and then: their colleagues see it, and what they have read is read. `gone`: not any
/// more.
#[server]
pub async fn look_at(
    conversation: ConversationId,
    #[server(default)] seen: i64,
    #[server(default)] typing: bool,
    #[server(default)] gone: bool,
) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::acting().await?;
    sql::look(&mut lane, conversation, seen, Some(typing).filter(|_| !gone)).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    Ok(())
}

/// What the staff calls the customer of a conversation, and where it writes to them. Both may be empty. What is as it `was` when the form
/// was shown stays as it is by now: the customer may have said it themselves meanwhile.
#[server]
pub async fn name_customer(
    conversation: ConversationId,
    #[server(default)] name: String,
    #[server(default)] email: String,
    #[server(default)] was: String,
) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes, mailer, state};
    let name = crate::widget::model::name(&name)?;
    let email = if email.trim().is_empty() { String::new() } else { mailer::address(&email)? };
    let (was_name, was_email): (Option<String>, Option<String>) = model::was_of(&was).unwrap_or_default();
    let name = Some(&name).filter(|name| was_name.as_ref() != Some(*name));
    let email = Some(&email).filter(|email| was_email.as_ref() != Some(*email));
    let mut lane = lanes::acting().await?;
    sql::name_customer(&mut lane, conversation, name, email).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    Ok(())
}

/// What a conversation is about, how urgent it is (0 to 3), and its labels, with commas between them. What is as it `was` when the form
/// was shown stays as it is by now.
#[server]
pub async fn describe_conversation(
    conversation: ConversationId,
    #[server(default)] subject: String,
    priority: i16,
    #[server(default)] labels: String,
    #[server(default)] was: String,
) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes, state};
    let was: Option<(String, i16, String)> = model::was_of(&was);
    let (subject, labels) = (model::subject(&subject)?, model::labels(&labels)?);
    if !(0..=3).contains(&priority) {
        return Err(AppError::invalid("priority", "There are four: low, normal, high, urgent."));
    }
    let mut lane = lanes::acting().await?;
    let (_, now_priority, now_subject, now_labels) = sql::head(&mut lane, conversation).await?;
    let (subject, priority, labels) = match was {
        Some((was_subject, was_priority, was_labels)) => (
            if subject == was_subject { now_subject } else { subject },
            if priority == was_priority { now_priority } else { priority },
            if labels == model::labels(&was_labels)? { now_labels } else { labels },
        ),
        None => (subject, priority, labels),
    };
    sql::describe(&mut lane, conversation, &subject, priority, &labels).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    Ok(())
}

/// Keeps a list under a name, for everybody at the desk; what was kept there is replaced.
#[server]
pub async fn save_view(
    name: String,
    #[server(default)] view: View,
    #[server(default)] narrow: Narrow,
) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::lanes;
    let (name, query) = (model::short_name(&name)?, model::address(view, &narrow));
    if query.len() > 500 {
        return Err(AppError::invalid("name", "What this list is narrowed to is too long to be kept."));
    }
    let mut lane = lanes::acting().await?;
    sql::save_view(&mut lane, &name, &query).await?;
    lane.commit().await
}

#[server]
pub async fn remove_view(saved: ViewId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::acting().await?;
    sql::remove_view(&mut lane, saved).await?;
    lane.commit().await
}

/// Whoever has the desk open says so now and then: their claims are theirs for as long.
#[server]
pub async fn be_here() -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::acting().await?;
    sql::here(&mut lane).await?;
    lane.commit().await
}

/// Shuts the customer of a conversation out, which resolves it unless a colleague has it, or lets them in again.
#[server]
pub async fn block_customer(conversation: ConversationId, #[server(default)] blocked: bool) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::acting().await?;
    sql::block(&mut lane, conversation, blocked).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    Ok(())
}
