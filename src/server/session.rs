//! Sessions as the browser has them: cookies on an answer, and the limits on getting one.

use std::net::IpAddr;

use axum::http::{HeaderName, HeaderValue, header, request::Parts};
use leptos::prelude::use_context;
use leptos_axum::ResponseOptions;

use super::{
    caller::{self, Caller, Until},
    config::{Config, Signup},
    db_error::internal,
    keys::{LinkToken, RefreshToken},
    lanes::{Opening, Reason, ServiceLane},
    proxies,
    state::{self, AppState},
};
use crate::{
    accounts::{
        model::{PASSWORD_MAX, Reader},
        sql,
    },
    error::AppError,
    types::{Purpose, SessionId, UserId},
    ui::{keys::Keys, theme::Theme},
};

/// Whether the settings let anybody sign up. Where domains decide, that comes later: see [`enter`].
pub fn may_sign_up(config: &Config) -> Result<(), AppError> {
    match config.signup {
        Signup::Open | Signup::Domain => Ok(()),
        Signup::Invite => Err(AppError::invalid("email", "Signing up here needs an invitation.")),
    }
}

/// The same words for an unknown address, a wrong password and a closed account.
pub fn wrong_sign_in() -> AppError {
    AppError::invalid("password", "The address or the password is wrong.")
}

/// Tries that were taken, which can be given back.
pub struct Tries(Vec<(String, f64)>);

type Limit<'a> = (&'a str, &'a str, i32, f64);

/// Takes one try from each limit: what for, of whom, how many at once, seconds for the next one.
pub async fn limit(state: &AppState, limits: &[Limit<'_>]) -> Result<Tries, AppError> {
    take(state.lanes.service(Reason::SignIn).await?, limits).await
}

async fn take(mut lane: ServiceLane, limits: &[Limit<'_>]) -> Result<Tries, AppError> {
    let mut tries = Vec::with_capacity(limits.len());
    for (what, who, burst, every) in limits {
        let key = format!("{what}:{who}");
        sql::take_token(&mut lane, &key, *burst, *every).await?;
        tries.push((key, *every));
    }
    lane.commit().await?;
    Ok(Tries(tries))
}

/// Gives tries back that were none: only who guesses is slowed down, and nobody who shares an address with others.
pub async fn give_back(lane: &mut ServiceLane, Tries(tries): Tries) -> Result<(), AppError> {
    for (key, every) in tries {
        sql::give_token(lane, &key, every).await?;
    }
    Ok(())
}

/// One try at the password of an address. For the account from one place, and loosely from all others together: where its owner
/// has signed in before, what strangers try elsewhere does not count, or they could lock the owner out.
pub async fn limit_sign_in(state: &AppState, email: &str) -> Result<Tries, AppError> {
    let from = place();
    let as_from = format!("{email} {from}");
    let mut limits = vec![("sign-in-from", from.as_str(), 60, 5.0), ("sign-in-as", &as_from, 10, 30.0)];
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    if !sql::signed_in_from(&mut lane, email, &from).await? {
        limits.push(("sign-in-at", email, 100, 10.0));
    }
    take(lane, &limits).await
}

/// One try at making an account where that tells whether an address has one. Making it gives these tries back, and not the one
/// that every sign-up costs its place.
pub async fn limit_taken(state: &AppState, email: &str) -> Result<Tries, AppError> {
    limit(state, &[("taken-from", &place(), 10, 60.0), ("taken-at", email, 5, 300.0)]).await
}

/// Queues a mail for whoever has this address. Nothing here looks whether somebody has an account: the job that sends it does.
pub async fn ask_mail(state: &AppState, kind: &str, email: &str, phc: Option<&str>) -> Result<(), AppError> {
    sends_mail(state)?;
    limit_mail(state, email).await?;
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    sql::ask_mail(&mut lane, kind, email, phc).await?;
    lane.commit().await?;
    state.mailer.wake();
    leptos_axum::redirect("/sent");
    Ok(())
}

/// One mail to this address, from wherever it was asked for.
pub async fn limit_mail(state: &AppState, email: &str) -> Result<Tries, AppError> {
    limit(state, &[("mail-from", &place(), 30, 20.0), ("mail-to", email, 5, 300.0)]).await
}

/// One invitation by this person to this address.
pub async fn limit_invitation(state: &AppState, by: UserId, email: &str) -> Result<Tries, AppError> {
    limit(state, &[("invite-by", &by.to_string(), 300, 30.0), ("invite-to", email, 10, 600.0)]).await
}

/// One new visitor of a desk.
pub async fn limit_visit(state: &AppState) -> Result<Tries, AppError> {
    limit(state, &[("visit-from", &place(), 30, 20.0)]).await
}

/// One thing that a visitor says.
pub async fn limit_words(state: &AppState) -> Result<Tries, AppError> {
    limit(state, &[("say-from", &place(), 60, 1.0)]).await
}

/// One message that a program brings, by its secret's hash.
pub async fn limit_relay(state: &AppState, hash: &[u8]) -> Result<Tries, AppError> {
    limit(state, &[("relay-by", &hex::encode(hash), 600, 0.1)]).await
}

/// One text message to this number.
pub async fn limit_code(state: &AppState, phone: &str) -> Result<Tries, AppError> {
    limit(state, &[("code-from", &place(), 10, 60.0), ("code-to", phone, 5, 1800.0)]).await
}

pub fn sends_mail(state: &AppState) -> Result<(), AppError> {
    if state.mailer.sends() {
        return Ok(());
    }
    Err(AppError::Conflict { what: "This server sends no mail. Ask whoever runs it.".into() })
}

pub fn sends_texts(state: &AppState) -> Result<(), AppError> {
    if state.sms.is_some() {
        return Ok(());
    }
    Err(AppError::Conflict { what: "This server sends no text messages. Ask whoever runs it.".into() })
}

/// One use of a mailed link, by its token as the page had it.
pub async fn use_link(state: &AppState, token: &str) -> Result<LinkToken, AppError> {
    limit(state, &[("link-from", &place(), 60, 5.0)]).await?;
    LinkToken::parse(token).ok_or_else(link_over)
}

/// Who looks at a mailed link: those about an address are for the account that asked, signed in.
pub fn reader(link: &sql::FoundLink) -> Reader {
    match (link.purpose, state::caller()) {
        (Purpose::SignUp | Purpose::Reset | Purpose::Magic, _) => Reader::Welcome,
        (_, Caller::User(opening)) if Some(opening.user) == link.user => Reader::Welcome,
        (_, Caller::User(_)) => Reader::Other,
        (_, Caller::Nobody) => Reader::SignedOut,
    }
}

/// The same words for a link that was used, has run out, or never was.
pub fn link_over() -> AppError {
    AppError::Conflict { what: "This link can't be used any more. Ask for a new one.".into() }
}

/// The same words for a wrong code, one that has run out, and one that nobody was sent.
pub fn wrong_code() -> AppError {
    AppError::invalid("code", "This code is wrong or has run out. After 5 tries, ask for a new one.")
}

/// The caller's password, typed once more: the hash that it matched, or `None` for an account without one.
pub async fn typed_password(state: &AppState, user: UserId, typed: String) -> Result<Option<String>, AppError> {
    // Of this session: one that was stolen must not keep the owner's others from the password.
    let session = match state::caller() {
        Caller::User(Opening { session: Some(session), .. }) => session.to_string(),
        _ => user.to_string(),
    };
    limit(state, &[("password-of", &session, 10, 30.0)]).await?;
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let known = sql::credential_of(&mut lane, user).await?;
    lane.commit().await?;
    if known.is_none() {
        return Ok(None);
    }
    if typed.len() > PASSWORD_MAX || !state.passwords.verify(typed, known.clone()).await? {
        return Err(AppError::invalid("password", "This is not your password."));
    }
    Ok(known)
}

/// Whose session a program calls in, and when the token that it sends ends (in seconds since 1970): a browser has a cookie in a
/// token's place, which no script can send as one, and says with each request that it is a browser. A token that was made here makes no
/// other, or one that was stolen would live for as long as its session.
pub fn of_program() -> Result<(UserId, SessionId, i64), AppError> {
    let parts = use_context::<Parts>().ok_or(AppError::Forbidden)?;
    let until = parts.extensions.get::<Until>().copied();
    let browser = ["sec-fetch-site", "sec-fetch-mode"].iter().any(|name| parts.headers.contains_key(*name));
    match state::caller() {
        Caller::User(Opening { user, session: Some(session), workspace: None, .. }) if !browser => {
            until.map(|Until(until)| (user, session, until)).ok_or(AppError::Forbidden)
        }
        Caller::User(_) => Err(AppError::Forbidden),
        Caller::Nobody => Err(AppError::Unauthenticated),
    }
}

/// For the answer to whoever has left: their cookies go, and what their browser kept of them.
pub fn forget_browser(state: &AppState) {
    for cookie in caller::gone_cookies(state.config.secure_cookies()) {
        set_cookie(&cookie.to_string());
    }
    if let Some(options) = use_context::<ResponseOptions>() {
        options.append_header(HeaderName::from_static("clear-site-data"), HeaderValue::from_static("\"storage\""));
    }
}

/// Mirrors the chosen time zone, so that the server can tell days apart before it has read anything. Without a choice a script
/// writes the browser's own there; that it is HttpOnly is what keeps the script from writing over a choice.
pub fn set_time_zone(zone: Option<&str>) {
    let life = if zone.is_some() { 31_536_000 } else { 0 };
    set_cookie(&format!("moat-tz={}; Path=/; Max-Age={life}; SameSite=Lax; HttpOnly", zone.unwrap_or_default()));
}

/// Lets somebody in who has shown who they are, and sends them on; or tells them that they wait, with no session at all.
pub async fn enter(state: &AppState, mut lane: ServiceLane, user: UserId, to: &str) -> Result<(), AppError> {
    if sql::admit(&mut lane, user, state.config.admitting().as_deref(), false).await? {
        start(state, lane, user).await?;
        leptos_axum::redirect(to);
    } else {
        lane.commit().await?;
        leptos_axum::redirect("/waiting");
    }
    Ok(())
}

/// Somebody who waits came to sign in from the page of an invitation: with its link they need not wait.
pub async fn enter_invited(lane: &mut ServiceLane, user: UserId, next: &str) -> Result<(), AppError> {
    if let Some(token) = next.strip_prefix("/invitation?t=").and_then(LinkToken::parse) {
        sql::admit_invited(lane, user, &token.hash()).await?;
    }
    Ok(())
}

/// Starts a session, commits the lane and puts the cookies on the answer.
pub async fn start(state: &AppState, mut lane: ServiceLane, user: UserId) -> Result<(), AppError> {
    let refresh = RefreshToken::fresh().map_err(internal)?;
    let device = use_context::<Parts>().and_then(|p| p.headers.get(header::USER_AGENT).cloned());
    let device: String = device.as_ref().and_then(|v| v.to_str().ok()).unwrap_or_default().chars().take(300).collect();
    let session = sql::start_session(&mut lane, user, &refresh.hash(), &device, &ip()).await?;
    let zone = sql::time_zone_of(&mut lane, user).await?;
    lane.commit().await?;
    if zone.is_some() {
        set_time_zone(zone.as_deref());
    }
    for cookie in caller::session_cookies(state, user, session, &refresh, caller::now())? {
        set_cookie(&cookie.to_string());
    }
    Ok(())
}

/// Ends the caller's session, if there is one, and takes the cookies away.
pub async fn end(state: &AppState) -> Result<(), AppError> {
    if let Caller::User(opening) = state::caller()
        && let Some(session) = opening.session
    {
        match state.lanes.user(&opening).await {
            Ok(mut lane) => {
                sql::end_session(&mut lane, session).await?;
                lane.commit().await?;
                state.hub.wake();
            }
            // It has ended already.
            Err(AppError::Unauthenticated) => {}
            Err(error) => return Err(error),
        }
    }
    for cookie in caller::gone_cookies(state.config.secure_cookies()) {
        set_cookie(&cookie.to_string());
    }
    // Whoever signs in here next may live elsewhere, and their browser could not write over it.
    set_time_zone(None);
    Ok(())
}

/// The theme is no secret and no script needs it, but the server does.
pub fn set_theme(theme: Theme) {
    set_cookie(&format!("moat-theme={}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly", theme.as_str()));
}

/// Read by the script that listens for keys: a switch in one window holds in all of them.
pub fn set_keys(keys: Keys) {
    set_cookie(&format!("moat-keys={}; Path=/; Max-Age=31536000; SameSite=Lax", keys.as_str()));
}

/// The session that the current request comes with.
pub fn here() -> Option<SessionId> {
    match state::caller() {
        Caller::User(opening) => opening.session,
        Caller::Nobody => None,
    }
}

/// Where the current request comes from.
pub fn ip() -> String {
    from().map(|ip| ip.to_string()).unwrap_or_default()
}

/// The same as what limits count by: see [`proxies::place`].
pub fn place() -> String {
    from().map(proxies::place).unwrap_or_default()
}

fn from() -> Option<IpAddr> {
    use_context::<Parts>().and_then(|p| p.extensions.get::<caller::From>().map(|from| from.0))
}

fn set_cookie(cookie: &str) {
    if let (Some(options), Ok(value)) = (use_context::<ResponseOptions>(), HeaderValue::from_str(cookie)) {
        options.append_header(header::SET_COOKIE, value);
    }
}
