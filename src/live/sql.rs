use crate::{
    error::AppError,
    server::lanes::{ServiceLane, UserLane},
    types::TopicId,
};

/// A row of the feed; `payload` is the event's JSON without its kind.
#[derive(Clone, Debug)]
pub struct FeedRow {
    /// Its place among everybody's events: for the server alone.
    pub pos: i64,
    pub topic: TopicId,
    /// Its place in its topic.
    pub tpos: i64,
    pub kind: String,
    pub payload: serde_json::Value,
}

/// Where the events of a topic end, and up to where they have been forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub topic: TopicId,
    pub pos: i64,
    pub floor: i64,
}

/// Of the caller's own topic, or of the desk of the lane's workspace. `NotFound` for the desk of one that they are no member of.
/// Read this before the rows that a page shows: what commits in between is then told again, not lost.
pub async fn cursor(lane: &mut UserLane, desk: bool) -> Result<Cursor, AppError> {
    let (topic, pos, floor): (Option<TopicId>, i64, i64) =
        sqlx::query_as("select topic, pos, floor from app.my_cursor($1)").bind(desk).fetch_one(lane.conn()).await?;
    Ok(Cursor { topic: topic.ok_or(AppError::NotFound)?, pos, floor })
}

/// The end of everybody's events, where a process begins to listen.
pub async fn end(lane: &mut ServiceLane) -> Result<i64, AppError> {
    Ok(sqlx::query_scalar("select app.feed_end()").fetch_one(lane.conn()).await?)
}

/// Events of the same topics, `after` excluded and `upto` included.
pub async fn mine(
    lane: &mut UserLane,
    desk: bool,
    after: i64,
    upto: i64,
    limit: i32,
) -> Result<Vec<(i64, String, serde_json::Value)>, AppError> {
    Ok(sqlx::query_as("select pos, kind, payload from app.my_feed($1, $2, $3, $4)")
        .bind(desk)
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
    let rows: Vec<(i64, TopicId, i64, String, serde_json::Value)> =
        sqlx::query_as("select pos, topic, tpos, kind, payload from app.read_feed($1, $2)")
            .bind(after)
            .bind(limit)
            .fetch_all(lane.conn())
            .await?;
    let row = |(pos, topic, tpos, kind, payload)| FeedRow { pos, topic, tpos, kind, payload };
    Ok(rows.into_iter().map(row).collect())
}

/// Forgets events older than this many seconds.
pub async fn prune(lane: &mut ServiceLane, keep: f64) -> Result<(), AppError> {
    sqlx::query("select app.prune_feed(make_interval(secs => $1))").bind(keep).execute(lane.conn()).await?;
    Ok(())
}
