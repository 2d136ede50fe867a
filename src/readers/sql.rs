use super::model::{LOOKS, Standing};
use crate::{
    error::AppError,
    server::lanes::UserLane,
    types::{MemberRole, PlaceId, ProjectId, ProjectRole, Subject, UserId, UserStatus},
    workspaces::model::{cursor, place_of},
};

/// Whether somebody sees anything of a subject: asked in their own lane, of every table that a part of it is in.
pub const fn question(subject: Subject) -> &'static str {
    match subject {
        Subject::Thread => {
            "select exists (select from app.threads t where t.id = $1::uuid)
                 or exists (select from app.messages m where m.thread_id = $1::uuid)
                 or exists (select from app.generations g where g.thread_id = $1::uuid)"
        }
        Subject::Project => {
            "select exists (select from app.projects p where p.id = $1::uuid)
                 or exists (select from app.project_members m where m.project_id = $1::uuid)"
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

/// Somebody in one place.
pub struct Person {
    pub user: UserId,
    pub place: PlaceId,
    pub name: String,
    pub email: String,
    pub standing: Standing,
}

/// A page of the people around the lane's caller, how many there are in all, and where the next page begins.
pub async fn around(
    lane: &mut UserLane,
    project: Option<ProjectId>,
    zone: &str,
    after: Option<&str>,
) -> Result<(Vec<Person>, i64, Option<String>), AppError> {
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
        many: i64,
    }
    let (key, place) = place_of::<PlaceId>(after)?;
    let me = lane.user();
    let mut rows: Vec<Found> = sqlx::query_as(
        "select p.person, p.place, p.name, p.email, p.status, p.role, to_char(p.since at time zone z.zone, 'FMDD Mon YYYY') as since,
                p.project_role, to_char(p.project_since at time zone z.zone, 'FMDD Mon YYYY') as project_since, p.key, p.many
           from (select app.zone($1) as zone) z cross join app.people_around($2, $3, $4, $5) p order by p.key, p.place",
    )
    .bind(zone)
    .bind(project)
    .bind(key)
    .bind(place)
    .bind(LOOKS as i32 + 1)
    .fetch_all(lane.conn())
    .await?;
    let more = rows.len() > LOOKS;
    rows.truncate(LOOKS);
    let next = rows.last().filter(|_| more).map(|row| cursor(&row.key, row.place));
    let many = rows.first().map_or(0, |row| row.many);
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
