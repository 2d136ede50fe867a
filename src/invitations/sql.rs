use super::model::{InvitationRow, OPEN_MAX, OfferState};
use crate::{
    error::AppError,
    server::lanes::{ServiceLane, UserLane},
    types::{InvitationId, MemberRole, PlaceId, ProjectId, ProjectRole, UserId},
};

/// Whether the lane's workspace has a member with this address.
pub async fn is_member(lane: &mut UserLane, email: &str) -> Result<bool, AppError> {
    Ok(sqlx::query_scalar("select exists (select from app.workspace_members m where m.email = $1)")
        .bind(email)
        .fetch_one(lane.conn())
        .await?)
}

/// A new invitation; `None` where one for this address is open.
pub async fn make(
    lane: &mut UserLane,
    email: &str,
    role: Option<MemberRole>,
    token: Option<&[u8]>,
) -> Result<Option<InvitationId>, AppError> {
    Ok(sqlx::query_scalar(
        "insert into app.invitations (email, role, token_hash) values ($1, $2, $3)
         on conflict (workspace_id, email) where accepted_at is null do nothing returning id",
    )
    .bind(email)
    .bind(role)
    .bind(token)
    .fetch_optional(lane.conn())
    .await?)
}

/// Which projects an invitation leads into; false where one of them is none of the caller's.
pub async fn put_projects(
    lane: &mut UserLane,
    id: InvitationId,
    projects: &[ProjectId],
    role: ProjectRole,
) -> Result<bool, AppError> {
    let done = sqlx::query(
        "insert into app.invitation_projects (invitation_id, project_id, role)
         select $1, p.id, $3 from app.projects p where p.id = any($2)",
    )
    .bind(id)
    .bind(projects)
    .bind(role)
    .execute(lane.conn())
    .await?;
    Ok(done.rows_affected() == projects.len() as u64)
}

/// Queues the mail of an invitation.
pub async fn mail(lane: &mut UserLane, id: InvitationId) -> Result<(), AppError> {
    sqlx::query("select app.mail_invitation($1)").bind(id).execute(lane.conn()).await?;
    Ok(())
}

/// Another 7 days, and, where no mail carries it, another token. Gives the address.
pub async fn renew(lane: &mut UserLane, id: InvitationId, token: Option<&[u8]>) -> Result<String, AppError> {
    Ok(sqlx::query_scalar("select app.renew_invitation($1, $2)").bind(id).bind(token).fetch_one(lane.conn()).await?)
}

pub async fn set_role(lane: &mut UserLane, id: InvitationId, role: MemberRole) -> Result<(), AppError> {
    let done = sqlx::query("update app.invitations set role = $2 where id = $1 and accepted_at is null")
        .bind(id)
        .bind(role)
        .execute(lane.conn())
        .await?;
    if done.rows_affected() == 0 { Err(AppError::NotFound) } else { Ok(()) }
}

/// Takes an invitation back; its link leads nowhere from then on.
pub async fn revoke(lane: &mut UserLane, id: InvitationId) -> Result<(), AppError> {
    let done = sqlx::query("delete from app.invitations where id = $1 and accepted_at is null")
        .bind(id)
        .execute(lane.conn())
        .await?;
    if done.rows_affected() == 0 { Err(AppError::NotFound) } else { Ok(()) }
}

/// Those that nobody has accepted yet, the newest first.
pub async fn open(lane: &mut UserLane) -> Result<Vec<InvitationRow>, AppError> {
    type Row = (InvitationId, String, Option<MemberRole>, Vec<String>, Option<i32>);
    let rows: Vec<Row> = sqlx::query_as(
        "select i.id, i.email, i.role,
                coalesce((select array_agg(p.name order by p.sort_name) from app.invitation_projects g
                            join app.projects p on p.id = g.project_id where g.invitation_id = i.id), '{}'),
                case when i.expires_at > now() then ceil(extract(epoch from i.expires_at - now()) / 86400)::int end
           from app.invitations i where i.accepted_at is null order by i.created_at desc, i.id limit $1",
    )
    .bind(OPEN_MAX)
    .fetch_all(lane.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|(id, email, role, projects, days)| InvitationRow { id, email, role, projects, days })
        .collect())
}

/// What a link leads to.
pub struct Found {
    pub state: OfferState,
    pub workspace: String,
    pub projects: Vec<String>,
    pub role: Option<MemberRole>,
    pub inviter: Option<String>,
    pub email: String,
    pub has_account: bool,
    /// Of the user who looks.
    pub place: Option<PlaceId>,
}

pub async fn read(lane: &mut ServiceLane, token: &[u8], user: Option<UserId>) -> Result<Option<Found>, AppError> {
    type Row = (
        Option<String>,
        Option<String>,
        Option<Vec<String>>,
        Option<MemberRole>,
        Option<String>,
        Option<String>,
        Option<bool>,
        Option<PlaceId>,
    );
    let (state, workspace, projects, role, inviter, email, has_account, place): Row = sqlx::query_as(
        "select state, workspace, projects, role, inviter, email, has_account, place from app.read_invitation($1, $2)",
    )
    .bind(token)
    .bind(user)
    .fetch_one(lane.conn())
    .await?;
    let state = match state.as_deref() {
        Some("good") => OfferState::Good,
        Some("used") => OfferState::Used,
        Some("expired") => OfferState::Expired,
        _ => return Ok(None),
    };
    let (Some(workspace), Some(email)) = (workspace, email) else { return Ok(None) };
    let (projects, has_account) = (projects.unwrap_or_default(), has_account.unwrap_or_default());
    Ok(Some(Found { state, workspace, projects, role, inviter, email, has_account, place }))
}

/// What came of accepting: `joined` with where, `other` for another address than the caller's, `taken`, or `over`.
pub struct Joined {
    pub outcome: String,
    pub place: Option<PlaceId>,
    pub guest: bool,
}

pub async fn accept(lane: &mut UserLane, token: &[u8]) -> Result<Joined, AppError> {
    let (outcome, place, guest): (String, Option<PlaceId>, Option<bool>) =
        sqlx::query_as("select outcome, place, guest from app.accept_invitation($1)")
            .bind(token)
            .fetch_one(lane.conn())
            .await?;
    Ok(Joined { outcome, place, guest: guest.unwrap_or_default() })
}

/// The same with a new account, which is given.
pub async fn accept_as_new(
    lane: &mut ServiceLane,
    token: &[u8],
    phc: &str,
) -> Result<(Joined, Option<UserId>), AppError> {
    let (outcome, user, place, guest): (String, Option<UserId>, Option<PlaceId>, Option<bool>) =
        sqlx::query_as("select outcome, user_id, place, guest from app.accept_as_new($1, $2)")
            .bind(token)
            .bind(phc)
            .fetch_one(lane.conn())
            .await?;
    Ok((Joined { outcome, place, guest: guest.unwrap_or_default() }, user))
}
