//! Sessions as the browser has them: cookies on an answer, and the limits on getting one.

use axum::http::{HeaderValue, header, request::Parts};
use leptos::prelude::use_context;
use leptos_axum::ResponseOptions;

use super::{
    caller::{self, Caller},
    config::{Config, Signup},
    db_error::internal,
    keys::RefreshToken,
    lanes::{Reason, ServiceLane},
    state::{self, AppState},
};
use crate::{accounts::sql, error::AppError, types::UserId, ui::theme::Theme};

/// Whether the settings let this address sign up.
pub fn may_sign_up(config: &Config, email: &str) -> Result<(), AppError> {
    let domain = email.rsplit('@').next().unwrap_or_default();
    match config.signup {
        Signup::Open => Ok(()),
        Signup::Domain if config.signup_domains.iter().any(|d| d.trim().eq_ignore_ascii_case(domain)) => Ok(()),
        Signup::Domain => Err(AppError::invalid("email", "Only addresses of this server's own domains may sign up.")),
        Signup::Invite => Err(AppError::invalid("email", "Signing up here needs an invitation.")),
    }
}

/// The same words for an unknown address, a wrong password and a closed account.
pub fn wrong_sign_in() -> AppError {
    AppError::invalid("password", "The address or the password is wrong.")
}

/// Takes one try from each limit: what for, of whom, how many at once, seconds for the next one.
pub async fn limit(state: &AppState, limits: &[(&str, &str, i32, f64)]) -> Result<(), AppError> {
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    for (what, who, burst, every) in limits {
        sql::take_token(&mut lane, &format!("{what}:{who}"), *burst, *every).await?;
    }
    lane.commit().await
}

/// Starts a session, commits the lane and puts the cookies on the answer.
pub async fn start(state: &AppState, mut lane: ServiceLane, user: UserId) -> Result<(), AppError> {
    let refresh = RefreshToken::fresh().map_err(internal)?;
    let device = use_context::<Parts>().and_then(|p| p.headers.get(header::USER_AGENT).cloned());
    let device: String = device.as_ref().and_then(|v| v.to_str().ok()).unwrap_or_default().chars().take(300).collect();
    let session = sql::start_session(&mut lane, user, &refresh.hash(), &device, &ip()).await?;
    lane.commit().await?;
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
    Ok(())
}

/// The theme is no secret and no script needs it, but the server does.
pub fn set_theme(theme: Theme) {
    set_cookie(&format!("moat-theme={}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly", theme.as_str()));
}

/// Where the current request comes from.
pub fn ip() -> String {
    use_context::<Parts>()
        .and_then(|p| p.extensions.get::<caller::From>().map(|from| from.0.to_string()))
        .unwrap_or_default()
}

fn set_cookie(cookie: &str) {
    if let (Some(options), Ok(value)) = (use_context::<ResponseOptions>(), HeaderValue::from_str(cookie)) {
        options.append_header(header::SET_COOKIE, value);
    }
}
