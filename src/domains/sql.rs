use super::model::{DomainOffer, DomainRow, value};
use crate::{
    error::AppError,
    server::lanes::{ServiceLane, UserLane},
    types::{DomainId, PlaceId},
};

/// What DNS is asked about.
pub struct Asked {
    pub id: DomainId,
    pub domain: String,
    pub token: String,
}

/// The domains of the lane's workspace.
pub async fn all(lane: &mut UserLane) -> Result<Vec<DomainRow>, AppError> {
    type Row = (DomainId, String, String, bool, Option<i64>, Option<i32>);
    let rows: Vec<Row> = sqlx::query_as(
        "select d.id, d.domain, d.token, d.verified_at is not null, extract(epoch from now() - d.checked_at)::bigint,
                case when d.failing_since is not null
                     then greatest(ceil(extract(epoch from d.failing_since + interval '7 days' - now()) / 86400), 1)::int end
           from app.workspace_domains d order by d.domain, d.id",
    )
    .fetch_all(lane.conn())
    .await?;
    let row = |(id, domain, token, proven, checked, days): Row| {
        let value = value(&token);
        DomainRow { id, domain, value, proven, checked, days }
    };
    Ok(rows.into_iter().map(row).collect())
}

/// A domain that is not proven yet; false where it is in the list already.
pub async fn add(lane: &mut UserLane, domain: &str) -> Result<bool, AppError> {
    let done = sqlx::query(
        "insert into app.workspace_domains (domain) values ($1) on conflict (workspace_id, domain) do nothing",
    )
    .bind(domain)
    .execute(lane.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn remove(lane: &mut UserLane, id: DomainId) -> Result<(), AppError> {
    let done = sqlx::query("delete from app.workspace_domains where id = $1").bind(id).execute(lane.conn()).await?;
    if done.rows_affected() == 0 { Err(AppError::NotFound) } else { Ok(()) }
}

pub async fn asked(lane: &mut UserLane, id: DomainId) -> Result<Asked, AppError> {
    let (id, domain, token) = sqlx::query_as("select id, domain, token from app.workspace_domains where id = $1")
        .bind(id)
        .fetch_one(lane.conn())
        .await?;
    Ok(Asked { id, domain, token })
}

/// One whose proof is a day old; it is due again in an hour, unless DNS answers before.
pub async fn take(lane: &mut ServiceLane) -> Result<Option<Asked>, AppError> {
    let (id, domain, token): (Option<DomainId>, Option<String>, Option<String>) =
        sqlx::query_as("select id, domain, token from app.take_domain()").fetch_one(lane.conn()).await?;
    Ok(match (id, domain, token) {
        (Some(id), Some(domain), Some(token)) => Some(Asked { id, domain, token }),
        _ => None,
    })
}

/// What DNS answered: `proven`, `missing`, `lost`, `taken` or `gone`.
pub async fn checked(lane: &mut ServiceLane, asked: &Asked, found: bool) -> Result<String, AppError> {
    Ok(sqlx::query_scalar("select app.domain_checked($1, $2, $3)")
        .bind(asked.id)
        .bind(&asked.token)
        .bind(found)
        .fetch_one(lane.conn())
        .await?)
}

/// The workspaces that the caller's address lets them into.
pub async fn offers(lane: &mut UserLane) -> Result<Vec<DomainOffer>, AppError> {
    let rows: Vec<(DomainId, String, String)> =
        sqlx::query_as("select id, workspace, domain from app.my_offers()").fetch_all(lane.conn()).await?;
    Ok(rows.into_iter().map(|(id, workspace, domain)| DomainOffer { id, workspace, domain }).collect())
}

/// Takes such an offer, or, without an id, whichever there is; gives the caller's place there.
pub async fn join(lane: &mut UserLane, id: Option<DomainId>) -> Result<Option<PlaceId>, AppError> {
    Ok(sqlx::query_scalar("select app.join_by_domain($1)").bind(id).fetch_one(lane.conn()).await?)
}
