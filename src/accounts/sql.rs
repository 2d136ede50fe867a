use crate::{
    accounts::model::Me,
    error::AppError,
    server::lanes::{ServiceLane, UserLane},
    types::{SessionId, UserId},
};

/// What became of a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    Ok {
        user: UserId,
        session: SessionId,
    },
    /// An old token came back: its session has been ended.
    Reused,
    Nobody,
}

/// What signing in needs to know of an address.
pub struct Credential {
    pub user: UserId,
    pub phc: String,
    pub active: bool,
}

/// The caller's own row.
pub async fn me(lane: &mut UserLane) -> Result<Me, AppError> {
    let email = sqlx::query_scalar("select coalesce(email, '') from app.users where id = (select auth.uid())")
        .fetch_one(lane.conn())
        .await?;
    Ok(Me { email })
}

/// Ends the caller's session. Its streams end with the event that this writes.
pub async fn end_session(lane: &mut UserLane, session: SessionId) -> Result<(), AppError> {
    sqlx::query("update app.sessions set revoked_at = now() where id = $1").bind(session).execute(lane.conn()).await?;
    Ok(())
}

/// A new user; `None` when the address is taken.
pub async fn sign_up(lane: &mut ServiceLane, email: &str, phc: &str) -> Result<Option<UserId>, AppError> {
    Ok(sqlx::query_scalar("select app.sign_up($1, '', $2)").bind(email).bind(phc).fetch_one(lane.conn()).await?)
}

pub async fn credential(lane: &mut ServiceLane, email: &str) -> Result<Option<Credential>, AppError> {
    let (user, phc, status): (Option<UserId>, Option<String>, Option<String>) =
        sqlx::query_as("select user_id, password_phc, status from app.credential($1)")
            .bind(email)
            .fetch_one(lane.conn())
            .await?;
    Ok(user.zip(phc).map(|(user, phc)| Credential { user, phc, active: status.as_deref() == Some("active") }))
}

/// Whose an outside issuer's subject is, or becomes if `may_make`; `None` for somebody unknown.
pub async fn outside_user(
    lane: &mut ServiceLane,
    issuer: &str,
    subject: &str,
    email: Option<&str>,
    may_make: bool,
) -> Result<Option<UserId>, AppError> {
    Ok(sqlx::query_scalar("select app.outside_user($1, $2, $3, $4)")
        .bind(issuer)
        .bind(subject)
        .bind(email)
        .bind(may_make)
        .fetch_one(lane.conn())
        .await?)
}

/// A new session with its first refresh token.
pub async fn start_session(
    lane: &mut ServiceLane,
    user: UserId,
    hash: &[u8],
    device: &str,
    ip: &str,
) -> Result<SessionId, AppError> {
    Ok(sqlx::query_scalar("select app.start_session($1, $2, $3, $4)")
        .bind(user)
        .bind(hash)
        .bind(device)
        .bind(ip)
        .fetch_one(lane.conn())
        .await?)
}

/// Spends a refresh token for its child. Both are given as hashes.
pub async fn rotate_session(
    lane: &mut ServiceLane,
    parent: &[u8],
    child: &[u8],
    ip: &str,
) -> Result<Rotation, AppError> {
    let (outcome, user, session): (String, Option<UserId>, Option<SessionId>) =
        sqlx::query_as("select outcome, user_id, session_id from app.rotate_session($1, $2, $3)")
            .bind(parent)
            .bind(child)
            .bind(ip)
            .fetch_one(lane.conn())
            .await?;
    Ok(match (outcome.as_str(), user, session) {
        ("ok", Some(user), Some(session)) => Rotation::Ok { user, session },
        ("reused", ..) => Rotation::Reused,
        _ => Rotation::Nobody,
    })
}

/// One try of `key`, `burst` at once and then one each `every` seconds; `TooMany` when there is none left.
pub async fn take_token(lane: &mut ServiceLane, key: &str, burst: i32, every: f64) -> Result<(), AppError> {
    let wait: f64 = sqlx::query_scalar("select app.take_token($1, $2, make_interval(secs => $3))")
        .bind(key)
        .bind(burst)
        .bind(every)
        .fetch_one(lane.conn())
        .await?;
    if wait > 0.0 {
        return Err(AppError::TooMany { retry_after: wait.ceil() as u64 });
    }
    Ok(())
}

/// Forgets rate limits that no longer limit, and refresh tokens that were spent long ago.
pub async fn sweep(lane: &mut ServiceLane) -> Result<(), AppError> {
    sqlx::query("select app.sweep_accounts()").execute(lane.conn()).await?;
    Ok(())
}
