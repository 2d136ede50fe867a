use leptos::prelude::*;

use super::model::{OwnConversation, Welcome};
use crate::{error::AppError, types::ClientId};

/// The desk that a web page's key leads to.
#[server]
pub async fn read_welcome(key: String) -> Result<Welcome, AppError> {
    use crate::server::state;
    let zone = state::known_zone();
    let desk = state::current()?.lanes.read_desk(&key.replace('\0', ""), zone.as_deref().unwrap_or("UTC")).await?;
    // By no clock but theirs, which a frame says once its script is there.
    let opens = desk.opens.filter(|_| zone.is_some());
    Ok(Welcome { name: desk.name, welcome: desk.welcome, open: desk.open, bot: desk.bot, opens })
}

/// A new visitor of that desk: gives the token that opens their conversation from now on. It is shown once and stored as a hash.
#[server]
pub async fn begin_visit(key: String) -> Result<String, AppError> {
    use crate::server::{db_error::internal, keys::VisitorToken, session, state};
    let state = state::current()?;
    session::limit_visit(&state).await?;
    let token = VisitorToken::fresh().map_err(internal)?;
    state.lanes.make_visitor(&key.replace('\0', ""), &token.hash()).await?;
    Ok(token.as_bearer())
}

/// The visitor's own conversation; an empty one for somebody who has said nothing yet.
#[server]
pub async fn read_own() -> Result<Option<OwnConversation>, AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let Some(mut lane) = lanes::visiting().await? else { return Ok(None) };
    let own = sql::own(&mut lane, &state::zone()).await?;
    lane.commit().await?;
    Ok(Some(own))
}

/// What the visitor says. `client` is made by their page, so that saying it twice stores it once.
#[server]
pub async fn say(client: ClientId, text: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes, session, state};
    let text = model::words(&text)?;
    let state = state::current()?;
    session::limit_words(&state).await?;
    let mut lane = lanes::visiting().await?.ok_or(AppError::Unauthenticated)?;
    sql::say(&mut lane, client, &text).await?;
    lane.commit().await?;
    state.hub.wake();
    state.owed.notify_one();
    Ok(())
}

/// The customer would rather have a person than the assistant.
#[server]
pub async fn ask_person() -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, session, state};
    let state = state::current()?;
    session::limit_words(&state).await?;
    let mut lane = lanes::visiting().await?.ok_or(AppError::Unauthenticated)?;
    sql::ask_person(&mut lane).await?;
    lane.commit().await?;
    state.hub.wake();
    Ok(())
}

/// Whether the customer was helped, once their conversation is resolved; and what they say to that, which may be empty.
#[server]
pub async fn rate(helped: bool, #[server(default)] words: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes, session, state};
    let state = state::current()?;
    session::limit_words(&state).await?;
    let words = if words.trim().is_empty() { String::new() } else { model::words(&words)? };
    if words.chars().count() > 1000 {
        return Err(AppError::invalid("words", "This is longer than 1,000 characters."));
    }
    let mut lane = lanes::visiting().await?.ok_or(AppError::Unauthenticated)?;
    sql::rate(&mut lane, helped, &words).await?;
    lane.commit().await?;
    state.hub.wake();
    Ok(())
}

/// Who the visitor is, for when nobody is there to answer at once. What is as it `was` when the form was shown stays as it is by now, which
/// may be what the staff calls them; without that, what is empty does.
#[server]
pub async fn introduce(
    #[server(default)] name: String,
    #[server(default)] email: String,
    #[server(default)] was: String,
) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::{
        conversations::model::was_of,
        server::{lanes, mailer, session, state},
    };
    session::limit_words(&state::current()?).await?;
    let (was_name, was_email): (String, String) = was_of(&was).unwrap_or_default();
    let name = model::name(&name)?;
    let email = if email.trim().is_empty() { String::new() } else { mailer::address(&email)? };
    let mut lane = lanes::visiting().await?.ok_or(AppError::Unauthenticated)?;
    let changed = |now: &String, was: String| (*now != was).then(|| now.clone());
    sql::introduce(&mut lane, changed(&name, was_name), changed(&email, was_email)).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    Ok(())
}
