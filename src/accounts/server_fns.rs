//! The doors of the room. Long, because there are many ways to get in, to change what one gets in by, and to leave; each is short.

use leptos::prelude::*;

use super::model::{Account, AccountRow, LinkView, Me, Posted, SessionRow, Token, Ways};
use crate::{
    error::AppError,
    types::{AskId, SessionId, UserId, UserStatus},
    ui::{keys::Keys, theme::Theme},
};

/// Makes an account and signs it in; where mail proves addresses, sends a link instead that does.
#[server]
pub async fn sign_up(email: String, password: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes::Reason, mailer, session, state};
    let (state, email) = (state::current()?, mailer::address(&email)?);
    session::may_sign_up(&state.config)?;
    model::new_password(&password)?;
    session::limit(&state, &[("sign-up", &session::place(), 30, 10.0)]).await?;
    // Where domains decide, an address counts only when it is confirmed.
    if state.mailer.proves() || (state.config.admitting().is_some() && state.mailer.sends()) {
        let phc = state.passwords.hash(password).await?;
        return session::ask_mail(&state, "sign-up", &email, Some(&phc)).await;
    }
    let tries = session::limit_taken(&state, &email).await?;
    let phc = state.passwords.hash(password).await?;
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let Some(user) = sql::sign_up(&mut lane, &email, &phc).await? else {
        return Err(AppError::invalid("email", "This address has an account already. Sign in instead."));
    };
    session::give_back(&mut lane, tries).await?;
    session::enter(&state, lane, user, "/chat").await
}

/// Starts a session, and goes on to the page that was wanted before.
#[server]
pub async fn sign_in(email: String, password: String, next: Option<String>) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes::Reason, session, state};
    let state = state::current()?;
    let email = email.trim().to_lowercase();
    if password.len() > model::PASSWORD_MAX || email.contains('\0') || email.len() > 1000 {
        return Err(session::wrong_sign_in());
    }
    let tries = session::limit_sign_in(&state, &email).await?;
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let known = sql::credential(&mut lane, &email).await?;
    // No lane is held while the password is hashed: that takes long, and connections are few.
    lane.commit().await?;
    let right = state.passwords.verify(password, known.as_ref().map(|k| k.phc.clone())).await?;
    let waits = known.as_ref().is_some_and(|k| k.status == UserStatus::Waitlist);
    let Some(known) = known.filter(|k| right && (waits || k.status == UserStatus::Active)) else {
        return Err(session::wrong_sign_in());
    };
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    if !sql::hold_password(&mut lane, known.user, &known.phc).await? {
        return Err(session::wrong_sign_in());
    }
    session::give_back(&mut lane, tries).await?;
    let next = model::next_page(next.as_deref());
    if waits {
        session::enter_invited(&mut lane, known.user, next).await?;
    }
    session::enter(&state, lane, known.user, next).await
}

/// A token for a program in the workspace that the request acts in: the claims of the caller's session and the workspace's id. It ends
/// with the one that it is asked for with. Not for browsers, which never hold one: there this is refused.
#[server]
pub async fn make_token() -> Result<Token, AppError> {
    use super::sql;
    use crate::server::{caller, db_error::internal, lanes, session, state};
    let state = state::current()?;
    let (user, session, until) = session::of_program()?;
    let mut lane = lanes::workspace().await?;
    let workspace = sql::workspace(&mut lane).await?;
    lane.commit().await?;
    let token = state.tokens.mint_in(user, session, workspace, caller::now(), until);
    let access_token = token.map_err(internal)?;
    Ok(Token { access_token, token_type: "Bearer".to_owned(), expires_in: until - caller::now() })
}

/// Ends this session here and in every window that it has open. Doing it twice is fine. Goes on to `next`, a page of ours.
#[server]
pub async fn sign_out(next: Option<String>) -> Result<(), AppError> {
    use super::model;
    use crate::server::{session, state};
    session::end(&state::current()?).await?;
    leptos_axum::redirect(next.as_deref().map_or("/sign-in", |next| model::next_page(Some(next))));
    Ok(())
}

/// Who is signed in, if anybody.
#[server]
pub async fn whoami() -> Result<Option<Me>, AppError> {
    use super::sql;
    use crate::server::{caller::Caller, lanes, state};
    if let Caller::Nobody = state::caller() {
        return Ok(None);
    }
    let mut lane = lanes::user().await?;
    let me = sql::me(&mut lane).await?;
    lane.commit().await?;
    Ok(Some(me))
}

/// Remembers light, dark or the system's choice in a cookie, so that the first paint is right.
#[server]
pub async fn choose_theme(theme: Theme) -> Result<(), AppError> {
    crate::server::session::set_theme(theme);
    Ok(())
}

/// Switches keys of one letter on or off, for this browser.
#[server]
pub async fn choose_keys(keys: Keys) -> Result<(), AppError> {
    crate::server::session::set_keys(keys);
    Ok(())
}

/// What this server offers for getting in.
#[server]
pub async fn ways_in() -> Result<Ways, AppError> {
    use crate::server::{mailer, state};
    let state = state::current()?;
    Ok(Ways { mail: state.mailer.sends(), phone: state.sms.is_some(), outbox: mailer::outbox().is_ok() })
}

/// A mail with a link for a new password, if the address has an account.
#[server]
pub async fn ask_reset(email: String) -> Result<(), AppError> {
    use crate::server::{mailer, session, state};
    session::ask_mail(&state::current()?, "reset", &mailer::address(&email)?, None).await
}

/// A mail with a link that signs in, if the address has an account.
#[server]
pub async fn ask_magic(email: String) -> Result<(), AppError> {
    use crate::server::{mailer, session, state};
    session::ask_mail(&state::current()?, "magic", &mailer::address(&email)?, None).await
}

/// What a mailed link does, for the page that shows its button.
#[server]
pub async fn read_link(token: String) -> Result<LinkView, AppError> {
    use super::sql;
    use crate::server::{keys::LinkToken, lanes::Reason, session, state};
    let token = LinkToken::parse(&token).ok_or(AppError::NotFound)?;
    let mut lane = state::current()?.lanes.service(Reason::SignIn).await?;
    let link = sql::read_token(&mut lane, &token.hash()).await?.ok_or(AppError::NotFound)?;
    lane.commit().await?;
    let reader = session::reader(&link);
    let sql::FoundLink { purpose, state, address, first, .. } = link;
    Ok(LinkView { purpose, state, address, first, reader })
}

/// Makes the account that a mailed link is for, and signs it in. The password is the one that was typed on the sign-up page:
/// who has the mail alone could be somebody whose address a stranger typed there.
#[server]
pub async fn finish_sign_up(token: String, password: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::{
        server::{lanes::Reason, session, state},
        types::Purpose,
    };
    let state = state::current()?;
    let token = session::use_link(&state, &token).await?;
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let read = sql::read_token(&mut lane, &token.hash()).await?;
    lane.commit().await?;
    let Some(link) = read.filter(|link| link.purpose == Purpose::SignUp) else {
        return Err(session::link_over());
    };
    session::limit(&state, &[("link-for", &link.address, 10, 30.0)]).await?;
    if password.len() > model::PASSWORD_MAX || !state.passwords.verify(password, link.phc).await? {
        return Err(AppError::invalid("password", "This is not the password that was chosen on the sign-up page."));
    }
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    match sql::finish_sign_up(&mut lane, &token.hash()).await? {
        (_, Some(user)) => session::enter(&state, lane, user, "/chat").await,
        (outcome, None) => {
            lane.commit().await?;
            let what = "This address has an account already. Sign in instead.";
            Err(match outcome.as_str() {
                "taken" => AppError::Conflict { what: what.into() },
                _ => session::link_over(),
            })
        }
    }
}

/// A new password by a mailed link. All sessions end, and one begins here.
#[server]
pub async fn reset_password(token: String, password: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes::Reason, session, state};
    let state = state::current()?;
    model::new_password(&password)?;
    let token = session::use_link(&state, &token).await?;
    let phc = state.passwords.hash(password).await?;
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let by = sql::finish_reset(&mut lane, &token.hash(), &phc).await?.ok_or_else(session::link_over)?;
    session::enter(&state, lane, by.user, if by.first { "/account?done=mine" } else { "/chat" }).await?;
    state.hub.wake();
    state.mailer.wake();
    Ok(())
}

/// Signs in by a mailed link. The first that proves the address leaves no other way in: a stranger may have made the account.
#[server]
pub async fn sign_in_by_link(token: String) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes::Reason, session, state};
    let state = state::current()?;
    let token = session::use_link(&state, &token).await?;
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let by = sql::finish_magic(&mut lane, &token.hash()).await?.ok_or_else(session::link_over)?;
    session::enter(&state, lane, by.user, if by.first { "/account?done=mine" } else { "/chat" }).await?;
    state.hub.wake();
    Ok(())
}

/// Confirms the caller's address, or makes another one theirs, by a link that was mailed there. Signed in, since the mail alone
/// could be with somebody whose address a stranger typed.
#[server]
pub async fn confirm_address(token: String) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, session, state};
    let state = state::current()?;
    let token = session::use_link(&state, &token).await?;
    let mut lane = lanes::user().await?;
    let outcome = sql::finish_my_address(&mut lane, &token.hash()).await?;
    lane.commit().await?;
    state.mailer.wake();
    match outcome.as_str() {
        "confirmed" | "changed" => {
            if state.config.admitting().is_some() {
                let mut lane = lanes::user().await?;
                crate::domains::sql::join(&mut lane, None).await?;
                lane.commit().await?;
            }
            leptos_axum::redirect(&format!("/account?done={outcome}"));
        }
        "taken" => return Err(AppError::Conflict { what: "This address has an account of its own by now.".into() }),
        _ => return Err(session::link_over()),
    }
    Ok(())
}

/// Sends a code to a telephone number, to sign in by.
#[server]
pub async fn ask_code(number: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes::Reason, session, state};
    let (state, number) = (state::current()?, model::phone(&number)?);
    session::sends_texts(&state)?;
    session::limit_code(&state, &number).await?;
    let ask = AskId::fresh();
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    sql::ask_code(&mut lane, ask, &number).await?;
    lane.commit().await?;
    state.mailer.wake();
    leptos_axum::redirect(&format!("/sign-in/code?ask={ask}"));
    Ok(())
}

/// Signs in by a code.
#[server]
pub async fn sign_in_by_code(ask: AskId, code: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes::Reason, session, state};
    let (state, code) = (state::current()?, model::code(&code)?);
    session::limit(&state, &[("code-try", &session::place(), 30, 10.0)]).await?;
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let Some(user) = sql::finish_code(&mut lane, ask, &state.keys.code(ask.0, &code)).await? else {
        // The try counts.
        lane.commit().await?;
        return Err(session::wrong_code());
    };
    session::start(&state, lane, user).await?;
    leptos_axum::redirect("/chat");
    Ok(())
}

/// The caller's account.
#[server]
pub async fn my_account() -> Result<Account, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::user().await?;
    let account = sql::account(&mut lane).await?;
    lane.commit().await?;
    Ok(account)
}

/// Stores what somebody is called, reads in and lives by.
#[server]
pub async fn save_profile(name: String, language: String, time_zone: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes, session};
    let mut lane = lanes::user().await?;
    let (name, zone) = model::profile(&name, &language, &time_zone)?;
    sql::save_profile(&mut lane, name, &language, zone).await?;
    lane.commit().await?;
    session::set_time_zone(zone);
    leptos_axum::redirect("/account?done=profile");
    Ok(())
}

/// A mail to the caller's address, with a link that confirms it.
#[server]
pub async fn ask_confirmation() -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, session, state};
    let state = state::current()?;
    session::sends_mail(&state)?;
    let mut lane = lanes::user().await?;
    let email = sql::account(&mut lane).await?.email.ok_or(AppError::NotFound)?;
    session::limit_mail(&state, &email).await?;
    sql::ask_my_mail(&mut lane, "confirm", &email).await?;
    lane.commit().await?;
    state.mailer.wake();
    leptos_axum::redirect("/account?done=mailed");
    Ok(())
}

/// A mail to the address that the caller wants, with a link that makes it theirs.
#[server]
pub async fn change_address(email: String, password: String) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, mailer, session, state};
    let state = state::current()?;
    session::sends_mail(&state)?;
    let me = lanes::user().await?.user();
    let email = mailer::address(&email)?;
    session::typed_password(&state, me, password).await?;
    session::limit_mail(&state, &email).await?;
    let mut lane = lanes::user().await?;
    sql::ask_my_mail(&mut lane, "change", &email).await?;
    lane.commit().await?;
    state.mailer.wake();
    leptos_axum::redirect("/account?done=mailed");
    Ok(())
}

/// Another password. The caller's other sessions end.
#[server]
pub async fn change_password(password: String, new_password: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes, session, state};
    let state = state::current()?;
    let me = lanes::user().await?.user();
    model::new_password(&new_password).map_err(|e| e.at("new_password"))?;
    let was = session::typed_password(&state, me, password).await?;
    let phc = state.passwords.hash(new_password).await?;
    let mut lane = lanes::user().await?;
    if !sql::change_password(&mut lane, was.as_deref(), &phc).await? {
        return Err(AppError::invalid("password", "Your password was changed elsewhere just now."));
    }
    lane.commit().await?;
    state.hub.wake();
    state.mailer.wake();
    leptos_axum::redirect("/account?done=password");
    Ok(())
}

/// Sends a code to the number that the caller wants to link.
#[server]
pub async fn ask_phone(number: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes, session, state};
    let state = state::current()?;
    session::sends_texts(&state)?;
    let mut lane = lanes::user().await?;
    let number = model::phone(&number)?;
    session::limit_code(&state, &number).await?;
    let ask = AskId::fresh();
    sql::ask_my_code(&mut lane, ask, &number).await?;
    lane.commit().await?;
    state.mailer.wake();
    leptos_axum::redirect(&format!("/account/phone?ask={ask}"));
    Ok(())
}

/// Links the number that a code was sent to.
#[server]
pub async fn link_phone(ask: AskId, code: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes, session, state};
    let (state, code) = (state::current()?, model::code(&code)?);
    session::limit(&state, &[("code-try", &session::place(), 30, 10.0)]).await?;
    let mut lane = lanes::user().await?;
    let outcome = sql::link_phone(&mut lane, ask, &state.keys.code(ask.0, &code)).await?;
    // The try counts.
    lane.commit().await?;
    match outcome.as_str() {
        "ok" => leptos_axum::redirect("/account?done=phone"),
        "taken" => return Err(AppError::invalid("code", "This number belongs to another account.")),
        _ => return Err(session::wrong_code()),
    }
    Ok(())
}

/// Takes the caller's number off their account.
#[server]
pub async fn unlink_phone() -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::user().await?;
    if !sql::unlink_phone(&mut lane).await? {
        let what = "The number is the only way into this account. Add an e-mail address first.";
        return Err(AppError::Conflict { what: what.into() });
    }
    lane.commit().await?;
    leptos_axum::redirect("/account?done=no-phone");
    Ok(())
}

/// The caller's sessions, the latest first.
#[server]
pub async fn list_sessions() -> Result<Vec<SessionRow>, AppError> {
    use super::sql;
    use crate::server::{lanes, session};
    let mut lane = lanes::user().await?;
    let rows = sql::sessions(&mut lane, session::here()).await?;
    lane.commit().await?;
    Ok(rows)
}

/// Ends one of the caller's sessions, with all the windows that it has open.
#[server]
pub async fn revoke_session(session: SessionId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let state = state::current()?;
    let mut lane = lanes::user().await?;
    sql::revoke(&mut lane, session).await?;
    lane.commit().await?;
    state.hub.wake();
    leptos_axum::redirect("/account/sessions?done=revoked");
    Ok(())
}

/// Ends all of the caller's sessions but this one.
#[server]
pub async fn revoke_others() -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, session, state};
    let state = state::current()?;
    let mut lane = lanes::user().await?;
    sql::revoke_others(&mut lane, session::here()).await?;
    lane.commit().await?;
    state.hub.wake();
    leptos_axum::redirect("/account/sessions?done=alone");
    Ok(())
}

/// Closes the caller's account: nobody gets in, nothing is lost.
#[server]
pub async fn close_account(password: String) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, session, state};
    let state = state::current()?;
    let me = lanes::user().await?.user();
    let was = session::typed_password(&state, me, password).await?;
    let mut lane = lanes::user().await?;
    if !sql::close_account(&mut lane, was.as_deref()).await? {
        return Err(AppError::invalid("password", "Your password was changed elsewhere just now."));
    }
    lane.commit().await?;
    state.hub.wake();
    session::forget_browser(&state);
    leptos_axum::redirect("/sign-in?done=closed");
    Ok(())
}

/// Erases the caller's account and all that is private to it, for good. `name` is its address, typed.
#[server]
pub async fn erase_account(name: String, password: String) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{jobs, lanes, session, state};
    let state = state::current()?;
    let mut lane = lanes::user().await?;
    let (me, account) = (lane.user(), sql::account(&mut lane).await?);
    lane.commit().await?;
    if name.trim().to_lowercase() != account.typed_name() {
        return Err(AppError::invalid("name", "This is not what your account is called."));
    }
    let was = session::typed_password(&state, me, password).await?;
    let mut lane = lanes::user().await?;
    if !sql::erase_account(&mut lane, was.as_deref()).await? {
        return Err(AppError::invalid("password", "Your password was changed elsewhere just now."));
    }
    lane.commit().await?;
    state.hub.wake();
    let job = state.clone();
    state.tasks.spawn(async move {
        if let Err(error) = jobs::erase(&job).await {
            tracing::warn!(%error, "erasing an account; it is tried again");
        }
    });
    session::forget_browser(&state);
    leptos_axum::redirect("/sign-in?done=erased");
    Ok(())
}

/// What was sent to nobody, for the developer of this machine.
#[server]
pub async fn read_outbox() -> Result<Vec<Posted>, AppError> {
    crate::server::mailer::outbox()
}

/// Accounts, for a super user; to everybody else there is nothing here.
#[server]
pub async fn find_accounts(
    #[server(default)] search: String,
    status: Option<UserStatus>,
) -> Result<Vec<AccountRow>, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::user().await?;
    let rows = sql::find_accounts(&mut lane, search.trim().replace('\0', "").as_str(), status, 200).await?;
    lane.commit().await?;
    Ok(rows)
}

/// Lets somebody in, or keeps them out.
#[server]
pub async fn set_account_status(user: UserId, status: UserStatus) -> Result<(), AppError> {
    use super::sql;
    use crate::server::{lanes, state};
    let mut lane = lanes::user().await?;
    sql::set_account_status(&mut lane, user, status).await?;
    lane.commit().await?;
    state::current()?.hub.wake();
    Ok(())
}
