//! Who is asking: read from the request before anything else sees it. Tokens are also rotated here, before a page begins to
//! stream, because its headers are gone by then.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};

use super::{
    issuers::{Outsider, Refused},
    keys::{RefreshToken, RelayToken, VisitorToken},
    lanes::{Opening, Reason},
    proxies, session,
    state::AppState,
};
use crate::{
    accounts,
    error::AppError,
    types::{PlaceId, SessionId, UserId, WorkspaceId},
};

/// The caller of a request.
#[derive(Clone, Debug)]
pub enum Caller {
    Nobody,
    /// With a token that has been verified; whether its session still lives is decided when a lane opens.
    User(Opening),
}

/// A customer's token, as its hash. Whether there is such a visitor is decided when a lane opens.
#[derive(Clone, Debug)]
pub struct Visiting(pub Vec<u8>);

/// The secret of a program that brings customers' words, as its hash. Whether there is such a program is decided when a lane opens.
#[derive(Clone, Debug)]
pub struct Relaying(pub Vec<u8>);

/// Where a request comes from, as far as it can be believed: see [`proxies`].
#[derive(Clone, Copy, Debug)]
pub struct From(pub IpAddr);

/// When the bearer token of a request ends, in seconds since 1970. What outlives the request has to end then as well.
#[derive(Clone, Copy, Debug)]
pub struct Until(pub i64);

/// For a call of a server function: where it acts.
pub const PLACE: &str = "x-moat-place";

/// What is no id at all: a place that nobody has.
const NOBODYS: PlaceId = PlaceId(uuid::Uuid::nil());

/// Seconds before its end at which an access token is renewed, so that it does not lapse on its way.
const RENEW_BEFORE: i64 = 30;
/// How long the browser keeps the cookies: as long as an idle session lives.
const COOKIE_DAYS: i64 = 30;

/// The names of the two cookies. `__Host-` makes the browser refuse them from a sibling domain.
pub struct CookieNames {
    pub access: &'static str,
    pub refresh: &'static str,
}

pub fn cookie_names(secure: bool) -> CookieNames {
    if secure {
        CookieNames { access: "__Host-moat-access", refresh: "__Host-moat-refresh" }
    } else {
        CookieNames { access: "moat-access", refresh: "moat-refresh" }
    }
}

/// Finds out who asks and puts a [`Caller`] into the request. A bearer token that is no good ends the request here; a
/// cookie that is no good is taken away.
pub async fn identify(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let ip = proxies::client(peer(&request), request.headers(), &state.config.proxies);
    request.extensions_mut().insert(From(ip));
    let headers = request.headers();
    let user_agent = user_agent(headers);
    let place = place(request.uri().path(), headers);
    let opening = move |user, session, issued_at, workspace| {
        Caller::User(Opening { user, session, issued_at, ip: ip.to_string(), user_agent, place, workspace })
    };
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default();
        // Whoever comes with this is nobody else, whatever cookies there are.
        if let Some(token) = VisitorToken::parse(token.trim()) {
            request.extensions_mut().insert(Caller::Nobody);
            request.extensions_mut().insert(Visiting(token.hash()));
            return next.run(request).await;
        }
        if let Some(token) = RelayToken::parse(token.trim()) {
            request.extensions_mut().insert(Caller::Nobody);
            request.extensions_mut().insert(Relaying(token.hash()));
            return next.run(request).await;
        }
        return match bearer(&state, token.trim()).await {
            Ok(bearer) => {
                let Bearer { user, session, workspace, issued_at, until } = bearer;
                request.extensions_mut().insert(opening(user, session, issued_at, workspace));
                request.extensions_mut().insert(Until(until));
                next.run(request).await
            }
            Err(error) => error.into_response(),
        };
    }
    let somebody = move |user, session, issued_at| opening(user, Some(session), issued_at, None);

    let secure = state.config.secure_cookies();
    let names = cookie_names(secure);
    let jar = CookieJar::from_headers(headers);
    let access = jar.get(names.access).and_then(|c| state.tokens.verify(c.value()).ok());
    // A program's token is no cookie: who has put it there?
    if let Some(claims) = access.filter(|c| c.exp - now() > RENEW_BEFORE && c.org_id.is_none()) {
        request.extensions_mut().insert(somebody(claims.sub, claims.sid, claims.iat));
        return next.run(request).await;
    }
    let Some(cookie) = jar.get(names.refresh) else {
        request.extensions_mut().insert(Caller::Nobody);
        return next.run(request).await;
    };
    let renewed = match RefreshToken::parse(cookie.value()) {
        Some(parent) => rotate(&state, &parent, ip).await,
        None => Ok(None),
    };
    match renewed {
        Ok(Some((user, session, child))) => {
            let issued_at = now();
            let cookies = session_cookies(&state, user, session, &child, issued_at);
            request.extensions_mut().insert(somebody(user, session, issued_at));
            with_cookies(next.run(request).await, cookies)
        }
        Ok(None) => {
            request.extensions_mut().insert(Caller::Nobody);
            with_cookies(next.run(request).await, Ok(gone_cookies(secure)))
        }
        // The database is away: the tokens stay, and the same request works when it is back.
        Err(error) => error.into_response(),
    }
}

/// Whose a bearer token is, whoever made it.
struct Bearer {
    user: UserId,
    /// Ours alone.
    session: Option<SessionId>,
    workspace: Option<WorkspaceId>,
    /// Seconds since 1970, as `until`.
    issued_at: i64,
    until: i64,
}

async fn bearer(state: &AppState, token: &str) -> Result<Bearer, AppError> {
    match state.issuers.verify(token).await {
        Some(Ok(outsider)) => {
            let user = mapped(state, &outsider).await?.ok_or(AppError::Unauthenticated)?;
            let (issued_at, until) = (outsider.issued_at, outsider.expires_at);
            Ok(Bearer { user, session: None, workspace: None, issued_at, until })
        }
        // The token may be good: whoever holds it should try again and not throw it away.
        Some(Err(Refused::NoKeys)) => Err(AppError::Unavailable),
        Some(Err(error)) => {
            tracing::debug!(%error, "an issuer's token refused");
            Err(AppError::Unauthenticated)
        }
        None => match state.tokens.verify(token) {
            Ok(claims) => Ok(Bearer {
                user: claims.sub,
                session: Some(claims.sid),
                workspace: claims.org_id,
                issued_at: claims.iat,
                until: claims.exp,
            }),
            Err(error) => {
                tracing::debug!(%error, "bearer token refused");
                Err(AppError::Unauthenticated)
            }
        },
    }
}

/// Our user behind somebody else's subject; a new one where the settings let them sign up.
async fn mapped(state: &AppState, outsider: &Outsider) -> Result<Option<UserId>, AppError> {
    let email = outsider.email.as_deref();
    let admitting = state.config.admitting();
    // Whoever waits does so with an address that they can be found by.
    let may_make = session::may_sign_up(&state.config).is_ok() && (admitting.is_none() || email.is_some());
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let user = accounts::sql::outside_user(&mut lane, &outsider.issuer, &outsider.subject, email, may_make).await?;
    if let (Some(user), Some(domains)) = (user, admitting) {
        // Whether they get in is for the lane to say.
        accounts::sql::admit(&mut lane, user, Some(&domains), email.is_some()).await?;
    }
    lane.commit().await?;
    Ok(user)
}

async fn rotate(
    state: &AppState,
    parent: &RefreshToken,
    ip: IpAddr,
) -> Result<Option<(UserId, SessionId, RefreshToken)>, AppError> {
    let child = state.keys.child(parent);
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let outcome = accounts::sql::rotate_session(&mut lane, &parent.hash(), &child.hash(), &ip.to_string()).await?;
    lane.commit().await?;
    match outcome {
        accounts::sql::Rotation::Ok { user, session } => Ok(Some((user, session, child))),
        accounts::sql::Rotation::Reused => {
            tracing::warn!(%ip, "a used refresh token came back: its session is ended");
            state.hub.wake();
            Ok(None)
        }
        accounts::sql::Rotation::Nobody => Ok(None),
    }
}

/// The two cookies of a session.
pub fn session_cookies(
    state: &AppState,
    user: UserId,
    session: SessionId,
    refresh: &RefreshToken,
    issued_at: i64,
) -> Result<Vec<Cookie<'static>>, AppError> {
    let secure = state.config.secure_cookies();
    let names = cookie_names(secure);
    let access = state.tokens.mint(user, session, issued_at).map_err(super::db_error::internal)?;
    Ok(vec![cookie(names.access, access, secure), cookie(names.refresh, refresh.as_str().to_owned(), secure)])
}

/// What takes both cookies away.
pub fn gone_cookies(secure: bool) -> Vec<Cookie<'static>> {
    let names = cookie_names(secure);
    [names.access, names.refresh]
        .into_iter()
        .map(|name| {
            let mut gone = cookie(name, String::new(), secure);
            gone.make_removal();
            gone
        })
        .collect()
}

fn cookie(name: &'static str, value: String, secure: bool) -> Cookie<'static> {
    Cookie::build((name, value))
        .path("/")
        .http_only(true)
        .secure(secure)
        .same_site(SameSite::Lax)
        .max_age(time::Duration::days(COOKIE_DAYS))
        .build()
}

fn with_cookies(mut response: Response, cookies: Result<Vec<Cookie<'static>>, AppError>) -> Response {
    match cookies {
        Ok(cookies) => {
            for cookie in cookies {
                // A sign-in or a sign-out further in has the last word on its own cookies.
                let name = format!("{}=", cookie.name());
                if response
                    .headers()
                    .get_all(header::SET_COOKIE)
                    .iter()
                    .any(|v| v.as_bytes().starts_with(name.as_bytes()))
                {
                    continue;
                }
                if let Ok(value) = cookie.to_string().parse() {
                    response.headers_mut().append(header::SET_COOKIE, value);
                }
            }
            response
        }
        Err(error) => error.into_response(),
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// The address of the other end of the connection.
fn peer(request: &Request) -> IpAddr {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip())
}

/// Where a request acts: what its page's address says, or, of a call that stands on no page, a header.
fn place(path: &str, headers: &HeaderMap) -> Option<PlaceId> {
    let mut parts = path.split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some("w" | "p"), Some(place)) => Some(place.parse().unwrap_or(NOBODYS)),
        _ => Some(headers.get(PLACE)?.to_str().ok().and_then(|place| place.parse().ok()).unwrap_or(NOBODYS)),
    }
}

fn user_agent(headers: &HeaderMap) -> String {
    headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default().chars().take(300).collect()
}
