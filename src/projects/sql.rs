use super::model::{PEOPLE_MAX, PROJECTS_PAGE, PersonRow, Project, ProjectPage, ProjectRow};
use crate::{
    error::AppError,
    server::lanes::UserLane,
    types::{ClientId, MemberId, PlaceId, ProjectId, ProjectRole},
    workspaces::model::{cursor, place_of},
};

/// A page of the projects that the caller is shown here, by name: the archived ones or the others, or what a search found.
pub async fn list(
    lane: &mut UserLane,
    search: &str,
    archived: bool,
    after: Option<&str>,
) -> Result<ProjectPage, AppError> {
    let (key, id) = place_of::<ProjectId>(after)?;
    let mut rows: Vec<(ProjectId, String, bool, String)> = if search.is_empty() {
        sqlx::query_as(
            "select p.id, p.name, p.archived_at is not null, p.sort_name from app.projects p
              where (p.archived_at is not null) = $1 and ($2::text is null or (p.sort_name, p.id) > ($2, $3))
              order by p.sort_name, p.id limit $4",
        )
        .bind(archived)
        .bind(key)
        .bind(id)
        .bind(PROJECTS_PAGE as i64 + 1)
        .fetch_all(lane.conn())
        .await?
    } else {
        sqlx::query_as(
            "select p.id, p.name, p.archived_at is not null, p.sort_name from app.search_projects($1, $2) s(id)
               join app.projects p on p.id = s.id order by p.sort_name, p.id",
        )
        .bind(search)
        .bind(PROJECTS_PAGE as i32)
        .fetch_all(lane.conn())
        .await?
    };
    let more = rows.len() > PROJECTS_PAGE;
    rows.truncate(PROJECTS_PAGE);
    let next = rows.last().filter(|_| more).map(|row| cursor(&row.3, row.0));
    let rows = rows.into_iter().map(|(id, name, archived, _)| ProjectRow { id, name, archived }).collect();
    Ok(ProjectPage { rows, next })
}

pub async fn project(lane: &mut UserLane, id: ProjectId) -> Result<Project, AppError> {
    let (id, name, description, archived, managed, owned) = sqlx::query_as(
        "select p.id, p.name, p.description, p.archived_at is not null, p.id = any(coalesce(app.managed_projects(), '{}')),
                app.managed_org() is not null
                  or exists (select from app.project_members m
                              where m.project_id = p.id and m.user_id = (select auth.uid()) and m.role = 'owner')
           from app.projects p where p.id = $1",
    )
    .bind(id)
    .fetch_one(lane.conn())
    .await?;
    Ok(Project { id, name, description, archived, managed, owned })
}

/// The project that a guest's place is in.
pub async fn of_place(lane: &mut UserLane, place: PlaceId) -> Result<ProjectId, AppError> {
    Ok(sqlx::query_scalar("select m.project_id from app.project_members m where m.id = $1")
        .bind(place)
        .fetch_one(lane.conn())
        .await?)
}

/// A new project in the lane's workspace; the same client id once more adds nothing.
pub async fn make(lane: &mut UserLane, client: ClientId, name: &str) -> Result<(), AppError> {
    sqlx::query("insert into app.projects (client_id, name) values ($1, $2) on conflict do nothing")
        .bind(client)
        .bind(name)
        .execute(lane.conn())
        .await?;
    Ok(())
}

pub async fn change(lane: &mut UserLane, id: ProjectId, name: &str, description: &str) -> Result<(), AppError> {
    let done = sqlx::query("update app.projects set name = $2, description = $3 where id = $1")
        .bind(id)
        .bind(name)
        .bind(description)
        .execute(lane.conn())
        .await?;
    told(lane, id, done.rows_affected()).await
}

/// Puts a project away, or takes it out again.
pub async fn archive(lane: &mut UserLane, id: ProjectId, archived: bool) -> Result<(), AppError> {
    let done = sqlx::query("update app.projects set archived_at = case when $2 then now() end where id = $1")
        .bind(id)
        .bind(archived)
        .execute(lane.conn())
        .await?;
    told(lane, id, done.rows_affected()).await
}

pub async fn delete(lane: &mut UserLane, id: ProjectId) -> Result<(), AppError> {
    let done = sqlx::query("delete from app.projects where id = $1").bind(id).execute(lane.conn()).await?;
    told(lane, id, done.rows_affected()).await
}

/// Why nothing was done to a project: whoever sees it may not, and to everybody else there is no such project.
async fn told(lane: &mut UserLane, id: ProjectId, done: u64) -> Result<(), AppError> {
    if done > 0 {
        return Ok(());
    }
    let seen: bool = sqlx::query_scalar("select exists (select from app.projects p where p.id = $1)")
        .bind(id)
        .fetch_one(lane.conn())
        .await?;
    Err(if seen { AppError::Forbidden } else { AppError::NotFound })
}

/// Who is in a project, by name.
pub async fn people(lane: &mut UserLane, id: ProjectId) -> Result<Vec<PersonRow>, AppError> {
    let rows: Vec<(MemberId, String, String, ProjectRole, bool)> = sqlx::query_as(
        "select m.id, m.name, m.email, m.role, m.user_id = (select auth.uid()) from app.project_members m
          where m.project_id = $1 order by lower(coalesce(nullif(m.name, ''), m.email)), m.id limit $2",
    )
    .bind(id)
    .bind(PEOPLE_MAX)
    .fetch_all(lane.conn())
    .await?;
    Ok(rows.into_iter().map(|(id, name, email, role, me)| PersonRow { id, name, email, role, me }).collect())
}

/// Puts a member of the workspace into a project. False: they are in it. `None`: the workspace has no member of this address.
pub async fn put(lane: &mut UserLane, id: ProjectId, email: &str, role: ProjectRole) -> Result<Option<bool>, AppError> {
    Ok(sqlx::query_scalar("select app.put_in_project($1, m.id, $3) from app.workspace_members m where m.email = $2")
        .bind(id)
        .bind(email)
        .bind(role)
        .fetch_optional(lane.conn())
        .await?)
}

pub async fn set_role(lane: &mut UserLane, member: MemberId, role: ProjectRole) -> Result<(), AppError> {
    let done = sqlx::query("update app.project_members set role = $2 where id = $1")
        .bind(member)
        .bind(role)
        .execute(lane.conn())
        .await?;
    refused(lane, member, done.rows_affected()).await
}

/// Takes somebody out of a project; whether it was the lane's caller.
pub async fn remove(lane: &mut UserLane, member: MemberId) -> Result<bool, AppError> {
    let gone =
        sqlx::query_scalar("delete from app.project_members where id = $1 returning user_id = (select auth.uid())")
            .bind(member)
            .fetch_optional(lane.conn())
            .await?;
    match gone {
        Some(me) => Ok(me),
        None => refused(lane, member, 0).await.map(|()| false),
    }
}

async fn refused(lane: &mut UserLane, member: MemberId, done: u64) -> Result<(), AppError> {
    if done > 0 {
        return Ok(());
    }
    let seen: bool = sqlx::query_scalar("select exists (select from app.project_members m where m.id = $1)")
        .bind(member)
        .fetch_one(lane.conn())
        .await?;
    Err(if seen { AppError::Forbidden } else { AppError::NotFound })
}
