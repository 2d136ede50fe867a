use crate::{
    error::AppError,
    server::lanes::{ServiceLane, UserLane},
    types::UserId,
};

/// A row of the feed; `payload` is the event's JSON without its kind.
#[derive(Clone, Debug)]
pub struct FeedRow {
    pub pos: i64,
    pub user: UserId,
    pub kind: String,
    pub payload: serde_json::Value,
}

/// Where the feed ends, and up to where it has been forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub pos: i64,
    pub floor: i64,
}

/// Read this before the rows that a page shows: what commits in between is then told again, not lost.
pub async fn cursor(lane: &mut UserLane) -> Result<Cursor, AppError> {
    let (pos, floor) = sqlx::query_as("select pos, floor from app.feed_cursor()").fetch_one(lane.conn()).await?;
    Ok(Cursor { pos, floor })
}

/// The same for the process that listens for everybody.
pub async fn cursor_of_process(lane: &mut ServiceLane) -> Result<Cursor, AppError> {
    let (pos, floor) = sqlx::query_as("select pos, floor from app.feed_cursor()").fetch_one(lane.conn()).await?;
    Ok(Cursor { pos, floor })
}

/// The caller's own events, `after` excluded and `upto` included.
pub async fn mine(
    lane: &mut UserLane,
    after: i64,
    upto: i64,
    limit: i32,
) -> Result<Vec<(i64, String, serde_json::Value)>, AppError> {
    Ok(sqlx::query_as("select pos, kind, payload from app.my_feed($1, $2, $3)")
        .bind(after)
        .bind(upto)
        .bind(limit)
        .fetch_all(lane.conn())
        .await?)
}

/// Moves up to `limit` rows of the outbox into the feed; gives how many.
pub async fn sequence(lane: &mut ServiceLane, limit: i32) -> Result<i32, AppError> {
    Ok(sqlx::query_scalar("select app.sequence_feed($1)").bind(limit).fetch_one(lane.conn()).await?)
}

/// Everybody's events after a place, in order.
pub async fn read(lane: &mut ServiceLane, after: i64, limit: i32) -> Result<Vec<FeedRow>, AppError> {
    let rows: Vec<(i64, UserId, String, serde_json::Value)> =
        sqlx::query_as("select pos, user_id, kind, payload from app.read_feed($1, $2)")
            .bind(after)
            .bind(limit)
            .fetch_all(lane.conn())
            .await?;
    Ok(rows.into_iter().map(|(pos, user, kind, payload)| FeedRow { pos, user, kind, payload }).collect())
}

/// Forgets events older than this many seconds.
pub async fn prune(lane: &mut ServiceLane, keep: f64) -> Result<(), AppError> {
    sqlx::query("select app.prune_feed(make_interval(secs => $1))").bind(keep).execute(lane.conn()).await?;
    Ok(())
}
