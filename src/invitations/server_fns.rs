use leptos::prelude::*;

use super::model::{InvitationRow, Invited, Offer};
use crate::{
    error::AppError,
    types::{InvitationId, MemberRole, ProjectId, ProjectRole},
};

/// Invites a list of addresses into the request's workspace, or, without a role, as guests into some of its projects alone.
/// Says for each what came of it.
#[server]
pub async fn invite(
    emails: String,
    role: Option<MemberRole>,
    #[server(default)] projects: Vec<ProjectId>,
    #[server(default)] project_role: Option<ProjectRole>,
) -> Result<Vec<Invited>, AppError> {
    use super::model::{LIST_MAX, Outcome, addresses};
    use crate::server::{lanes, mailer, session, state};
    let state = state::current()?;
    let list = addresses(&emails);
    if list.is_empty() {
        return Err(AppError::invalid("emails", "Write at least one address."));
    }
    if list.len() > LIST_MAX {
        return Err(AppError::invalid("emails", "Invite 100 addresses at once at most."));
    }
    if role.is_none() && projects.is_empty() {
        return Err(AppError::invalid("role", "A guest is invited into a project. Choose one."));
    }
    let mut lane = lanes::changing().await?;
    // The policies hold it too, in words that are for nobody's eyes.
    if !crate::workspaces::sql::workspace(&mut lane).await?.role.manages() {
        return Err(AppError::Forbidden);
    }
    let project_role = project_role.unwrap_or(ProjectRole::Viewer);
    let mut told = Vec::with_capacity(list.len());
    for typed in list {
        let outcome = match mailer::address(&typed) {
            Ok(email) => {
                let asked = (role, projects.as_slice(), project_role);
                match session::limit_invitation(&state, lane.user(), &email).await {
                    Err(AppError::TooMany { .. }) => Outcome::Later,
                    Err(error) => return Err(error),
                    Ok(_) => super::offer::make(&state, &mut lane, &email, asked).await?,
                }
            }
            Err(_) => Outcome::Wrong,
        };
        told.push(Invited { email: typed, outcome });
    }
    lane.commit().await?;
    state.mailer.wake();
    Ok(told)
}

/// The invitations that nobody has accepted yet.
#[server]
pub async fn list_invitations() -> Result<Vec<InvitationRow>, AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::workspace().await?;
    let rows = sql::open(&mut lane).await?;
    lane.commit().await?;
    Ok(rows)
}

/// A new link for an invitation; the one before ends.
#[server]
pub async fn resend_invitation(invitation: InvitationId) -> Result<Vec<Invited>, AppError> {
    use crate::server::{lanes, state};
    let state = state::current()?;
    let mut lane = lanes::changing().await?;
    let told = super::offer::again(&state, &mut lane, invitation).await?;
    lane.commit().await?;
    state.mailer.wake();
    Ok(vec![told])
}

#[server]
pub async fn set_invited_role(invitation: InvitationId, role: MemberRole) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    sql::set_role(&mut lane, invitation, role).await?;
    lane.commit().await
}

#[server]
pub async fn revoke_invitation(invitation: InvitationId) -> Result<(), AppError> {
    use super::sql;
    use crate::server::lanes;
    let mut lane = lanes::changing().await?;
    sql::revoke(&mut lane, invitation).await?;
    lane.commit().await
}

/// What the link of an invitation leads to, for the page that shows its button.
#[server]
pub async fn read_invitation(token: String) -> Result<Offer, AppError> {
    super::offer::read(&token).await
}

/// Joins by a link, as whoever is signed in.
#[server]
pub async fn accept_invitation(token: String) -> Result<(), AppError> {
    use super::{offer, sql};
    use crate::server::{lanes, session, state};
    let token = session::use_link(&state::current()?, &token).await?;
    let mut lane = lanes::user().await?;
    let joined = sql::accept(&mut lane, &token.hash()).await?;
    lane.commit().await?;
    leptos_axum::redirect(&offer::way_in(joined)?);
    Ok(())
}

/// Joins by a link with a new account for the invited address, and signs in.
#[server]
pub async fn accept_as_new(token: String, password: String) -> Result<(), AppError> {
    use super::{offer, sql};
    use crate::{
        accounts::model::new_password,
        server::{lanes::Reason, session, state},
    };
    let state = state::current()?;
    new_password(&password)?;
    let token = session::use_link(&state, &token).await?;
    let phc = state.passwords.hash(password).await?;
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let (joined, user) = sql::accept_as_new(&mut lane, &token.hash(), &phc).await?;
    let way = offer::way_in(joined)?;
    session::start(&state, lane, user.ok_or_else(session::link_over)?).await?;
    leptos_axum::redirect(&way);
    Ok(())
}
