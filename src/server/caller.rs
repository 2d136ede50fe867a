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
    keys::RefreshToken,
    lanes::{Opening, Reason},
    state::AppState,
};
use crate::{
    accounts,
    error::AppError,
    types::{SessionId, UserId},
};

/// The caller of a request.
#[derive(Clone, Debug)]
pub enum Caller {
    Nobody,
    /// With a token that has been verified; whether its session still lives is decided when a lane opens.
    User(Opening),
}

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
    let headers = request.headers();
    let (ip, user_agent) = (peer(&request), user_agent(headers));
    let somebody = move |user, session, issued_at| {
        Caller::User(Opening { user, session: Some(session), issued_at, ip: ip.to_string(), user_agent })
    };
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let claims = value.to_str().ok().and_then(|v| v.strip_prefix("Bearer ")).map(|t| state.tokens.verify(t.trim()));
        return match claims {
            Some(Ok(claims)) => {
                request.extensions_mut().insert(somebody(claims.sub, claims.sid, claims.iat));
                next.run(request).await
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "bearer token refused");
                AppError::Unauthenticated.into_response()
            }
            None => AppError::Unauthenticated.into_response(),
        };
    }

    let secure = state.config.secure_cookies();
    let names = cookie_names(secure);
    let jar = CookieJar::from_headers(headers);
    let access = jar.get(names.access).and_then(|c| state.tokens.verify(c.value()).ok());
    if let Some(claims) = access.filter(|c| c.exp - now() > RENEW_BEFORE) {
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

/// The address of the other end of the connection. Forwarded headers are anybody's to write, so they don't count.
fn peer(request: &Request) -> IpAddr {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip())
}

fn user_agent(headers: &HeaderMap) -> String {
    headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default().chars().take(300).collect()
}
