use super::model::{LOOKS, Standing};
use crate::{
    error::AppError,
    server::lanes::UserLane,
    types::{MemberRole, PlaceId, ProjectId, ProjectRole, Subject, UserId, UserStatus},
    workspaces::model::{cursor, place_of},
};

/// Whether somebody sees anything of a subject: asked in their own lane, of every table that a part of it is in. `$2` are the
/// answers of a thread, whose text so far names no thread.
pub const fn question(subject: Subject) -> &'static str {
    match subject {
        Subject::Thread => {
            "select exists (select from app.threads t where t.id = $1::uuid)
                 or exists (select from app.messages m where m.thread_id = $1::uuid)
                 or exists (select from app.generations g where g.thread_id = $1::uuid)
                 or exists (select from app.branches b where b.thread_id = $1::uuid)
                 or exists (select from app.thumbs b where b.thread_id = $1::uuid)
                 or exists (select from app.generation_chunks c where c.generation_id = any($2))"
        }
        Subject::Project => {
            "select exists (select from app.projects p where p.id = $1::uuid)
                 or exists (select from app.project_members m where m.project_id = $1::uuid)
                 or exists (select from app.invitation_projects i where i.project_id = $1::uuid)
                 or exists (select from app.audit_events e where e.project_id = $1::uuid)
                 or exists (select from app.audit_people e where e.project_id = $1::uuid)"
        }
        // Its number alone would be another workspace's event as well.
        Subject::Event => {
            "select exists (select from app.audit_events e
                             where e.workspace_id = (select (auth.jwt() ->> 'org_id')::uuid) and e.seq = $1::bigint)
                 or exists (select from app.audit_people p
                             where p.workspace_id = (select (auth.jwt() ->> 'org_id')::uuid) and p.seq = $1::bigint)"
        }
    }
}

/// What a subject is called, and the project that it is of or in. `NotFound` where the lane's caller does not see it.
pub async fn called(lane: &mut UserLane, subject: Subject, id: &str) -> Result<(String, Option<ProjectId>), AppError> {
    let query = match subject {
        Subject::Thread => {
            "select t.title, null::uuid from app.threads t where t.id = $1::uuid and t.deleted_at is null"
        }
        Subject::Project => "select p.name, p.id from app.projects p where p.id = $1::uuid",
        Subject::Event => "select 'Event ' || e.seq, e.project_id from app.audit_events e where e.seq = $1::bigint",
    };
    Ok(sqlx::query_as(query).bind(id).fetch_one(lane.conn()).await?)
}

/// The answers of a thread.
pub async fn answers(lane: &mut UserLane, id: &str) -> Result<Vec<uuid::Uuid>, AppError> {
    Ok(sqlx::query_scalar("select g.id from app.generations g where g.thread_id = $1::uuid")
        .bind(id)
        .fetch_all(lane.conn())
        .await?)
}

/// Whether the lane's caller may know everybody in its workspace.
pub async fn knows_all(lane: &mut UserLane) -> Result<bool, AppError> {
    Ok(sqlx::query_scalar("select app.managed_org() is not null").fetch_one(lane.conn()).await?)
}

/// Somebody in one place.
pub struct Person {
    pub user: UserId,
    pub place: PlaceId,
    pub name: String,
    pub email: String,
    pub standing: Standing,
}

/// A page of the people around the lane's caller, how many of all the caller may know (on the first page), and where the next page
/// begins.
pub async fn around(
    lane: &mut UserLane,
    project: Option<ProjectId>,
    zone: &str,
    after: Option<&str>,
) -> Result<(Vec<Person>, Option<i64>, Option<String>), AppError> {
    #[derive(sqlx::FromRow)]
    struct Found {
        person: UserId,
        place: PlaceId,
        name: String,
        email: String,
        status: UserStatus,
        role: Option<MemberRole>,
        since: Option<String>,
        project_role: Option<ProjectRole>,
        project_since: Option<String>,
        key: String,
        tie: PlaceId,
        many: Option<i64>,
    }
    let (key, tie) = place_of::<PlaceId>(after)?;
    let me = lane.user();
    let mut rows: Vec<Found> = sqlx::query_as(
        "select p.person, p.place, p.name, p.email, p.status, p.role, to_char(p.since at time zone z.zone, 'FMDD Mon YYYY') as since,
                p.project_role, to_char(p.project_since at time zone z.zone, 'FMDD Mon YYYY') as project_since, p.key, p.tie, p.many
           from (select app.zone($1) as zone) z cross join app.people_around($2, $3, $4, $5) p order by p.key, p.tie",
    )
    .bind(zone)
    .bind(project)
    .bind(key)
    .bind(tie)
    .bind(LOOKS as i32 + 1)
    .fetch_all(lane.conn())
    .await?;
    let more = rows.len() > LOOKS;
    rows.truncate(LOOKS);
    let next = rows.last().filter(|_| more).map(|row| cursor(&row.key, row.tie));
    let many = rows.first().and_then(|row| row.many);
    let people = rows.into_iter().map(|row| Person {
        user: row.person,
        place: row.place,
        name: row.name,
        email: row.email,
        standing: Standing {
            me: row.person == me,
            status: row.status,
            role: row.role.zip(row.since),
            in_project: row.project_role.zip(row.project_since),
        },
    });
    Ok((people.collect(), many, next))
}
