use leptos::prelude::*;

use super::model::Me;
use crate::{error::AppError, ui::theme::Theme};

/// Makes an account and signs it in.
#[server]
pub async fn sign_up(email: String, password: String) -> Result<(), AppError> {
    use super::{model, sql};
    use crate::server::{lanes::Reason, session, state};
    let (state, email) = (state::current()?, model::email(&email)?);
    session::may_sign_up(&state.config, &email)?;
    model::new_password(&password)?;
    session::limit(&state, &[("sign-up", &session::ip(), 30, 10.0)]).await?;
    let phc = state.passwords.hash(password).await?;
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let Some(user) = sql::sign_up(&mut lane, &email, &phc).await? else {
        return Err(AppError::invalid("email", "This address has an account already. Sign in instead."));
    };
    session::start(&state, lane, user).await?;
    leptos_axum::redirect("/chat");
    Ok(())
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
    let from = session::ip();
    // For the account from one address, and loosely from all: somebody who guesses must not lock its owner out.
    let guessed = format!("{email} {from}");
    session::limit(
        &state,
        &[("sign-in-from", &from, 60, 5.0), ("sign-in-as", &guessed, 10, 30.0), ("sign-in-at", &email, 100, 10.0)],
    )
    .await?;
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let known = sql::credential(&mut lane, &email).await?;
    // No lane is held while the password is hashed: that takes long, and connections are few.
    lane.commit().await?;
    let right = state.passwords.verify(password, known.as_ref().map(|k| k.phc.clone())).await?;
    let Some(known) = known.filter(|k| right && k.active) else {
        return Err(session::wrong_sign_in());
    };
    let lane = state.lanes.service(Reason::SignIn).await?;
    session::start(&state, lane, known.user).await?;
    leptos_axum::redirect(model::next_page(next.as_deref()));
    Ok(())
}

/// Ends this session here and in every window that it has open. Doing it twice is fine.
#[server]
pub async fn sign_out() -> Result<(), AppError> {
    use crate::server::{session, state};
    session::end(&state::current()?).await?;
    leptos_axum::redirect("/sign-in");
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
