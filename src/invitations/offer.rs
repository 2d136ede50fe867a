//! Making invitations and reading them: what the doors have in common. Server only.

use super::{
    model::{Invited, Offer, Outcome, Reader},
    sql::{self, Joined},
};
use crate::{
    error::AppError,
    server::{
        caller::Caller,
        db_error::internal,
        keys::LinkToken,
        lanes::{Reason, UserLane},
        session,
        state::{self, AppState},
    },
    types::{InvitationId, MemberRole, ProjectId, ProjectRole},
};

/// Invites one address: as what, into which projects, and as what there.
pub async fn make(
    state: &AppState,
    lane: &mut UserLane,
    email: &str,
    (role, projects, project_role): (Option<MemberRole>, &[ProjectId], ProjectRole),
) -> Result<Outcome, AppError> {
    if sql::is_member(lane, email).await? {
        return Ok(Outcome::Member);
    }
    let link = link(state)?;
    let hash = link.as_ref().map(LinkToken::hash);
    let Some(id) = sql::make(lane, email, role, hash.as_deref()).await? else { return Ok(Outcome::Open) };
    if !projects.is_empty() && !sql::put_projects(lane, id, projects, project_role).await? {
        return Err(AppError::NotFound);
    }
    send(state, lane, id, link).await
}

/// Invites an address anew.
pub async fn again(state: &AppState, lane: &mut UserLane, id: InvitationId) -> Result<Invited, AppError> {
    let link = link(state)?;
    let hash = link.as_ref().map(LinkToken::hash);
    let email = sql::renew(lane, id, hash.as_deref()).await?;
    session::limit_invitation(state, lane.user(), &email).await?;
    Ok(Invited { email, outcome: send(state, lane, id, link).await? })
}

/// A token, where no mail makes one of its own.
fn link(state: &AppState) -> Result<Option<LinkToken>, AppError> {
    if state.mailer.sends() { Ok(None) } else { LinkToken::fresh().map(Some).map_err(internal) }
}

async fn send(
    state: &AppState,
    lane: &mut UserLane,
    id: InvitationId,
    link: Option<LinkToken>,
) -> Result<Outcome, AppError> {
    match link {
        Some(token) => Ok(Outcome::Link(format!("{}/invitation?t={}", state.config.origin(), token.as_str()))),
        None => {
            sql::mail(lane, id).await?;
            Ok(Outcome::Mailed)
        }
    }
}

/// What a link leads to, and for whom.
pub async fn read(token: &str) -> Result<Offer, AppError> {
    let token = LinkToken::parse(token).ok_or(AppError::NotFound)?;
    let state = state::current()?;
    let me = match state::caller() {
        Caller::User(opening) => match state.lanes.user(&opening).await {
            Ok(mut lane) => Some((opening.user, crate::accounts::sql::me(&mut lane).await?.email)),
            Err(AppError::Unauthenticated) => None,
            Err(error) => return Err(error),
        },
        Caller::Nobody => None,
    };
    let mut lane = state.lanes.service(Reason::SignIn).await?;
    let found = sql::read(&mut lane, &token.hash(), me.as_ref().map(|(user, _)| *user)).await?;
    lane.commit().await?;
    let found = found.ok_or(AppError::NotFound)?;
    let reader = match me {
        Some((_, email)) if email == found.email => Reader::Invited,
        Some((_, email)) => Reader::Other(email),
        None if found.has_account => Reader::HasAccount,
        None => Reader::New,
    };
    let sql::Found { state, workspace, projects, role, inviter, email, place, .. } = found;
    Ok(Offer { workspace, projects, role, inviter, email, state, reader, place })
}

/// Where somebody goes who has joined.
pub fn way_in(joined: Joined) -> Result<String, AppError> {
    match (joined.outcome.as_str(), joined.place) {
        ("joined", Some(place)) => Ok(if joined.guest { format!("/p/{place}") } else { format!("/w/{place}") }),
        // Its projects were deleted meanwhile.
        ("joined", None) => Ok("/workspaces".to_owned()),
        ("other", _) => Err(AppError::Conflict { what: "This invitation is for another address than yours.".into() }),
        ("taken", _) => Err(AppError::Conflict {
            what: "This address has an account by now. Sign in to it, and open the link again.".into(),
        }),
        _ => Err(session::link_over()),
    }
}
