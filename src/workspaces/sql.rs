use super::model::{
    Belonging, MEMBERS_PAGE, MemberPage, MemberRow, Place, Sort, Wanted, Workspace, bad_cursor, cursor, place_of,
};
use crate::{
    error::AppError,
    live,
    server::lanes::{ServiceLane, UserLane},
    types::{Colour, MemberId, MemberRole, PlaceId, ProjectRole, UserStatus},
};

/// Everything that the caller belongs to: their own workspace first, then by name.
pub async fn places(lane: &mut UserLane) -> Result<Vec<Place>, AppError> {
    type Row = (PlaceId, String, Option<MemberRole>, Option<String>, Option<ProjectRole>, bool, bool);
    let rows: Vec<Row> = sqlx::query_as(
        "select m.place, m.workspace, case when m.project is null then m.role end, m.project,
                case when m.project is not null then m.role end, m.personal, m.deleted_at is not null
           from app.my_memberships() m order by m.personal desc, m.deleted_at is not null, lower(m.workspace), m.project, m.place",
    )
    .fetch_all(lane.conn())
    .await?;
    let place = |(id, workspace, role, project, guest, personal, deleted): Row| {
        let is = match (role, project, guest) {
            (Some(role), ..) => Belonging::Member(role),
            (None, Some(project), Some(role)) => Belonging::Guest(project, role),
            _ => return None,
        };
        Some(Place { id, workspace, is, personal, deleted })
    };
    Ok(rows.into_iter().filter_map(place).collect())
}

/// A new workspace; the caller's place in it.
pub async fn make(lane: &mut UserLane, name: &str) -> Result<PlaceId, AppError> {
    Ok(sqlx::query_scalar("select app.make_workspace($1)").bind(name).fetch_one(lane.conn()).await?)
}

/// The caller's own place beside somebody else's in one workspace.
pub async fn place_beside(lane: &mut UserLane, place: PlaceId) -> Result<Option<PlaceId>, AppError> {
    Ok(sqlx::query_scalar("select app.place_beside($1)").bind(place).fetch_one(lane.conn()).await?)
}

/// `Forbidden` for whoever does not manage the lane's workspace. The policies hold it too, in words that are for nobody's eyes.
pub async fn managed(lane: &mut UserLane) -> Result<(), AppError> {
    if workspace(lane).await?.role.manages() { Ok(()) } else { Err(AppError::Forbidden) }
}

/// The workspace that the lane is in.
pub async fn workspace(lane: &mut UserLane) -> Result<Workspace, AppError> {
    let (name, description, company, colour, personal, role) = sqlx::query_as(
        "select w.name, w.description, w.company, w.colour, w.personal_of is not null, m.role
           from app.workspaces w join app.workspace_members m on m.workspace_id = w.id and m.user_id = (select auth.uid())",
    )
    .fetch_one(lane.conn())
    .await?;
    Ok(Workspace { name, description, company, colour, personal, role })
}

/// How many people are in the lane's workspace.
pub async fn size(lane: &mut UserLane) -> Result<i64, AppError> {
    Ok(sqlx::query_scalar("select count(*) from app.workspace_members").fetch_one(lane.conn()).await?)
}

pub async fn change(
    lane: &mut UserLane,
    name: &str,
    description: &str,
    company: &str,
    colour: Colour,
) -> Result<(), AppError> {
    let done = sqlx::query("update app.workspaces set name = $1, description = $2, company = $3, colour = $4")
        .bind(name)
        .bind(description)
        .bind(company)
        .bind(colour)
        .execute(lane.conn())
        .await?;
    if done.rows_affected() == 0 { Err(AppError::Forbidden) } else { Ok(()) }
}

/// Takes a workspace away from everybody in it, or gives it back; its owners may.
pub async fn delete(lane: &mut UserLane, place: PlaceId, gone: bool) -> Result<(), AppError> {
    sqlx::query("select app.delete_workspace($1, $2)").bind(place).bind(gone).execute(lane.conn()).await?;
    Ok(())
}

/// A page of the members. The cursor is what the last line is sorted by, and its id.
pub async fn members(lane: &mut UserLane, wanted: &Wanted) -> Result<MemberPage, AppError> {
    // Before the rows: what commits in between is told again.
    let pos = match live::sql::cursor(lane, true).await {
        Ok(cursor) => Some(cursor.pos),
        Err(AppError::NotFound) => None,
        Err(error) => return Err(error),
    };
    let (key, id) = place_of::<MemberId>(wanted.after.as_deref())?;
    let time = |key: &Option<String>| {
        // Microseconds since 1970, within what a timestamp holds.
        let known = |k: &String| k.parse::<i64>().ok().filter(|t| t.unsigned_abs() < 10_000_000_000_000_000);
        key.as_ref().map(|k| known(k).ok_or_else(bad_cursor)).transpose()
    };
    let query = match wanted.sort {
        Sort::Name => sqlx::query_as(
            "select m.id, m.name, m.email, m.role, m.status, extract(epoch from now() - m.seen_at)::bigint,
                    m.user_id = (select auth.uid()), m.sort_name
               from app.workspace_members m
              where ($1 = '' or strpos(m.sort_name, lower($1)) > 0 or strpos(m.email, lower($1)) > 0)
                and ($2 = '' or m.role = $2) and ($3 = '' or m.status = $3)
                and ($4::text is null or (m.sort_name, m.id) > ($4, $5))
              order by m.sort_name, m.id limit $6",
        )
        .bind(&wanted.search),
        Sort::Joined => sqlx::query_as(
            "select m.id, m.name, m.email, m.role, m.status, extract(epoch from now() - m.seen_at)::bigint,
                    m.user_id = (select auth.uid()), (extract(epoch from m.created_at) * 1000000)::bigint::text
               from app.workspace_members m
              where ($1 = '' or strpos(m.sort_name, lower($1)) > 0 or strpos(m.email, lower($1)) > 0)
                and ($2 = '' or m.role = $2) and ($3 = '' or m.status = $3)
                and ($4::bigint is null or (m.created_at, m.id) < ('epoch'::timestamptz + $4 * interval '1 microsecond', $5))
              order by m.created_at desc, m.id desc limit $6",
        )
        .bind(&wanted.search),
        Sort::Seen => sqlx::query_as(
            "select m.id, m.name, m.email, m.role, m.status, extract(epoch from now() - m.seen_at)::bigint,
                    m.user_id = (select auth.uid()), (extract(epoch from m.seen_at) * 1000000)::bigint::text
               from app.workspace_members m
              where ($1 = '' or strpos(m.sort_name, lower($1)) > 0 or strpos(m.email, lower($1)) > 0)
                and ($2 = '' or m.role = $2) and ($3 = '' or m.status = $3)
                and ($4::bigint is null or (m.seen_at, m.id) < ('epoch'::timestamptz + $4 * interval '1 microsecond', $5))
              order by m.seen_at desc, m.id desc limit $6",
        )
        .bind(&wanted.search),
    };
    let query =
        query.bind(wanted.role.map_or("", MemberRole::as_str)).bind(wanted.status.map_or("", UserStatus::as_str));
    let query = match wanted.sort {
        Sort::Name => query.bind(key),
        Sort::Joined | Sort::Seen => query.bind(time(&key)?),
    };
    type Row = (MemberId, String, String, MemberRole, UserStatus, i64, bool, String);
    let mut rows: Vec<Row> = query.bind(id).bind(MEMBERS_PAGE as i64 + 1).fetch_all(lane.conn()).await?;
    let more = rows.len() > MEMBERS_PAGE;
    rows.truncate(MEMBERS_PAGE);
    let next = rows.last().filter(|_| more).map(|row| cursor(&row.7, row.0));
    let rows = rows
        .into_iter()
        .map(|(id, name, email, role, status, seen, me, _)| MemberRow { id, name, email, role, status, seen, me })
        .collect();
    Ok(MemberPage { pos, rows, next })
}

/// Gives a member another role.
pub async fn set_role(lane: &mut UserLane, member: MemberId, role: MemberRole) -> Result<(), AppError> {
    let done = sqlx::query("update app.workspace_members set role = $2 where id = $1")
        .bind(member)
        .bind(role)
        .execute(lane.conn())
        .await?;
    if done.rows_affected() == 0 { Err(refused(lane, member).await?) } else { Ok(()) }
}

/// Takes the caller out of the workspace and of its projects.
pub async fn leave(lane: &mut UserLane) -> Result<(), AppError> {
    hold_acting(lane).await?;
    sqlx::query("delete from app.workspace_members where user_id = (select auth.uid())").execute(lane.conn()).await?;
    Ok(())
}

/// In a workspace that the caller holds: what its members do at this moment is waited for, and what they go on with waits, so that
/// nobody delays their own removal by going on.
async fn hold_acting(lane: &mut UserLane) -> Result<(), AppError> {
    sqlx::query("select app.hold_acting()").execute(lane.conn()).await?;
    Ok(())
}

/// Takes a member out of the workspace and of its projects.
pub async fn remove(lane: &mut UserLane, member: MemberId) -> Result<(), AppError> {
    hold_acting(lane).await?;
    let done = sqlx::query("delete from app.workspace_members where id = $1").bind(member).execute(lane.conn()).await?;
    if done.rows_affected() == 0 { Err(refused(lane, member).await?) } else { Ok(()) }
}

/// Why nothing was done to a member: whoever sees them may not, and to everybody else there is no such member.
async fn refused(lane: &mut UserLane, member: MemberId) -> Result<AppError, AppError> {
    let seen: bool = sqlx::query_scalar("select exists (select from app.workspace_members m where m.id = $1)")
        .bind(member)
        .fetch_one(lane.conn())
        .await?;
    Ok(if seen { AppError::Forbidden } else { AppError::NotFound })
}

/// Deletes for good what nobody has taken back for a month; gives how many workspaces.
pub async fn sweep(lane: &mut ServiceLane) -> Result<i32, AppError> {
    sqlx::query("select set_config('statement_timeout', '30min', true)").execute(lane.conn()).await?;
    Ok(sqlx::query_scalar("select app.sweep_workspaces()").fetch_one(lane.conn()).await?)
}
