use crate::{
    accounts::model::{Account, AccountRow, Me, SessionRow},
    error::AppError,
    server::lanes::{ServiceLane, UserLane},
    types::{AskId, LinkState, Purpose, SessionId, UserId, UserStatus, WorkspaceId},
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
    pub status: UserStatus,
}

/// The caller's own row.
pub async fn me(lane: &mut UserLane) -> Result<Me, AppError> {
    let (email, name) =
        sqlx::query_as("select coalesce(email, phone, ''), display_name from app.users where id = (select auth.uid())")
            .fetch_one(lane.conn())
            .await?;
    Ok(Me { email, name })
}

/// The workspace that the lane is in.
pub async fn workspace(lane: &mut UserLane) -> Result<WorkspaceId, AppError> {
    Ok(sqlx::query_scalar("select (auth.jwt() ->> 'org_id')::uuid").fetch_one(lane.conn()).await?)
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
    let (user, phc, status): (Option<UserId>, Option<String>, Option<UserStatus>) =
        sqlx::query_as("select user_id, password_phc, status from app.credential($1)")
            .bind(email)
            .fetch_one(lane.conn())
            .await?;
    Ok(user.zip(phc).zip(status).map(|((user, phc), status)| Credential { user, phc, status }))
}

/// Whether somebody who has shown who they are gets in. `domains`: the server's own, where domains decide; then who is new or
/// waits gets in by their address, or waits. `vouched`: an outside issuer says that the address is theirs.
pub async fn admit(
    lane: &mut ServiceLane,
    user: UserId,
    domains: Option<&[String]>,
    vouched: bool,
) -> Result<bool, AppError> {
    Ok(sqlx::query_scalar("select app.admit($1, $2, $3)")
        .bind(user)
        .bind(domains)
        .bind(vouched)
        .fetch_one(lane.conn())
        .await?)
}

/// Ends the waiting of somebody who has the link of an invitation for their address.
pub async fn admit_invited(lane: &mut ServiceLane, user: UserId, token: &[u8]) -> Result<(), AppError> {
    sqlx::query("select app.admit_invited($1, $2)").bind(user).bind(token).execute(lane.conn()).await?;
    Ok(())
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

/// Gives a try back that turned out to be no guess.
pub async fn give_token(lane: &mut ServiceLane, key: &str, every: f64) -> Result<(), AppError> {
    sqlx::query("select app.give_token($1, make_interval(secs => $2))")
        .bind(key)
        .bind(every)
        .execute(lane.conn())
        .await?;
    Ok(())
}

/// Whether the holder of an address has signed in from this place before.
pub async fn signed_in_from(lane: &mut ServiceLane, email: &str, place: &str) -> Result<bool, AppError> {
    Ok(sqlx::query_scalar("select app.signed_in_from($1, $2)").bind(email).bind(place).fetch_one(lane.conn()).await?)
}

/// Whether a hash is still the one of somebody's password; if so, it stays that until the lane ends.
pub async fn hold_password(lane: &mut ServiceLane, user: UserId, phc: &str) -> Result<bool, AppError> {
    Ok(sqlx::query_scalar("select app.hold_password($1, $2)").bind(user).bind(phc).fetch_one(lane.conn()).await?)
}

/// Forgets rate limits that no longer limit, refresh tokens that were spent long ago, and sessions that ended long ago.
pub async fn sweep(lane: &mut ServiceLane) -> Result<(), AppError> {
    sqlx::query("select app.sweep_accounts(), app.sweep_mail(), app.sweep_codes()").execute(lane.conn()).await?;
    Ok(())
}

/// Deletes one account that is to be erased; false when there was none. Years of chats may take a while.
pub async fn erase_next(lane: &mut ServiceLane) -> Result<bool, AppError> {
    sqlx::query("select set_config('statement_timeout', '30min', true)").execute(lane.conn()).await?;
    Ok(sqlx::query_scalar("select app.erase_next()").fetch_one(lane.conn()).await?)
}

/// A mail for whoever has an address: `sign-up` (with the password's hash), `reset` or `magic`.
pub async fn ask_mail(lane: &mut ServiceLane, kind: &str, address: &str, phc: Option<&str>) -> Result<(), AppError> {
    sqlx::query("select app.ask_mail($1, $2, $3)").bind(kind).bind(address).bind(phc).execute(lane.conn()).await?;
    Ok(())
}

/// A mail that proves the caller's address (`confirm`) or the one they want (`change`).
pub async fn ask_my_mail(lane: &mut UserLane, kind: &str, address: &str) -> Result<(), AppError> {
    sqlx::query("select app.ask_my_mail($1, $2)").bind(kind).bind(address).execute(lane.conn()).await?;
    Ok(())
}

/// A row that is to be sent, taken for half a minute or longer.
pub struct Taken {
    pub id: uuid::Uuid,
    pub kind: String,
    pub address: String,
    pub tries: i32,
}

pub async fn take_outgoing(lane: &mut ServiceLane) -> Result<Option<Taken>, AppError> {
    let (id, kind, address, tries): (Option<uuid::Uuid>, Option<String>, Option<String>, Option<i32>) =
        sqlx::query_as("select id, kind, address, tries from app.take_outgoing()").fetch_one(lane.conn()).await?;
    Ok(match (id, kind, address, tries) {
        (Some(id), Some(kind), Some(address), Some(tries)) => Some(Taken { id, kind, address, tries }),
        _ => None,
    })
}

/// What the mail is to say; its link's token is given as its hash.
pub async fn prepare_mail(lane: &mut ServiceLane, id: uuid::Uuid, token: &[u8]) -> Result<String, AppError> {
    Ok(sqlx::query_scalar("select app.prepare_mail($1, $2)").bind(id).bind(token).fetch_one(lane.conn()).await?)
}

/// Whether the code is to be sent.
pub async fn prepare_code(lane: &mut ServiceLane, id: uuid::Uuid, code: &[u8]) -> Result<bool, AppError> {
    Ok(sqlx::query_scalar("select app.prepare_code($1, $2)").bind(id).bind(code).fetch_one(lane.conn()).await?)
}

pub async fn outgoing_done(lane: &mut ServiceLane, id: uuid::Uuid) -> Result<(), AppError> {
    sqlx::query("select app.outgoing_done($1)").bind(id).execute(lane.conn()).await?;
    Ok(())
}

/// A mailed link, as it was found.
pub struct FoundLink {
    pub purpose: Purpose,
    pub state: LinkState,
    pub address: String,
    /// The password's hash that a sign-up waits with.
    pub phc: Option<String>,
    /// `None` for a sign-up: there is nobody yet.
    pub user: Option<UserId>,
    /// Using it is the first proof that the account's address is anybody's.
    pub first: bool,
}

pub async fn read_token(lane: &mut ServiceLane, token: &[u8]) -> Result<Option<FoundLink>, AppError> {
    type Row = (Option<Purpose>, Option<LinkState>, Option<String>, Option<String>, Option<UserId>, Option<bool>);
    let (purpose, state, address, phc, user, first): Row =
        sqlx::query_as("select purpose, state, address, phc, user_id, first from app.read_token($1)")
            .bind(token)
            .fetch_one(lane.conn())
            .await?;
    Ok(match (purpose, state, address) {
        (Some(purpose), Some(state), Some(address)) => {
            Some(FoundLink { purpose, state, address, phc, user, first: first.unwrap_or_default() })
        }
        _ => None,
    })
}

/// `ok` with the new user, `over` or `taken`.
pub async fn finish_sign_up(lane: &mut ServiceLane, token: &[u8]) -> Result<(String, Option<UserId>), AppError> {
    Ok(sqlx::query_as("select outcome, user_id from app.finish_sign_up($1)").bind(token).fetch_one(lane.conn()).await?)
}

/// Somebody whom a mailed link lets in.
pub struct LetIn {
    pub user: UserId,
    /// It was the first proof of the address: everything else that led into the account is gone.
    pub first: bool,
}

pub async fn finish_magic(lane: &mut ServiceLane, token: &[u8]) -> Result<Option<LetIn>, AppError> {
    let (user, first): (Option<UserId>, Option<bool>) =
        sqlx::query_as("select user_id, first from app.finish_magic($1)").bind(token).fetch_one(lane.conn()).await?;
    Ok(user.map(|user| LetIn { user, first: first.unwrap_or_default() }))
}

pub async fn finish_reset(lane: &mut ServiceLane, token: &[u8], phc: &str) -> Result<Option<LetIn>, AppError> {
    let (user, first): (Option<UserId>, Option<bool>) =
        sqlx::query_as("select user_id, first from app.finish_reset($1, $2)")
            .bind(token)
            .bind(phc)
            .fetch_one(lane.conn())
            .await?;
    Ok(user.map(|user| LetIn { user, first: first.unwrap_or_default() }))
}

/// `confirmed`, `changed`, `over` or `taken`. Somebody else's link is `over`.
pub async fn finish_my_address(lane: &mut UserLane, token: &[u8]) -> Result<String, AppError> {
    Ok(sqlx::query_scalar("select app.finish_my_address($1)").bind(token).fetch_one(lane.conn()).await?)
}

pub async fn ask_code(lane: &mut ServiceLane, ask: AskId, phone: &str) -> Result<(), AppError> {
    sqlx::query("select app.ask_code($1, $2)").bind(ask).bind(phone).execute(lane.conn()).await?;
    Ok(())
}

/// Whom a code signs in. `None`: wrong, or over.
pub async fn finish_code(lane: &mut ServiceLane, ask: AskId, code: &[u8]) -> Result<Option<UserId>, AppError> {
    Ok(sqlx::query_scalar("select app.finish_code($1, $2)").bind(ask).bind(code).fetch_one(lane.conn()).await?)
}

pub async fn ask_my_code(lane: &mut UserLane, ask: AskId, phone: &str) -> Result<(), AppError> {
    sqlx::query("select app.ask_my_code($1, $2)").bind(ask).bind(phone).execute(lane.conn()).await?;
    Ok(())
}

/// `ok`, `wrong` or `taken`.
pub async fn link_phone(lane: &mut UserLane, ask: AskId, code: &[u8]) -> Result<String, AppError> {
    Ok(sqlx::query_scalar("select app.link_phone($1, $2)").bind(ask).bind(code).fetch_one(lane.conn()).await?)
}

/// False: the number is the only way in.
pub async fn unlink_phone(lane: &mut UserLane) -> Result<bool, AppError> {
    Ok(sqlx::query_scalar("select app.unlink_phone()").fetch_one(lane.conn()).await?)
}

/// The hash of somebody's password, to compare a typed one with; `None` when there is none.
pub async fn credential_of(lane: &mut ServiceLane, user: UserId) -> Result<Option<String>, AppError> {
    Ok(sqlx::query_scalar("select app.credential_of($1)").bind(user).fetch_one(lane.conn()).await?)
}

/// What a new session's browser is to remember.
pub async fn time_zone_of(lane: &mut ServiceLane, user: UserId) -> Result<Option<String>, AppError> {
    Ok(sqlx::query_scalar("select app.time_zone_of($1)").bind(user).fetch_one(lane.conn()).await?)
}

/// `was` is the hash that the typed password matched. False: it is another one by now.
pub async fn change_password(lane: &mut UserLane, was: Option<&str>, phc: &str) -> Result<bool, AppError> {
    Ok(sqlx::query_scalar("select app.change_password($1, $2)").bind(was).bind(phc).fetch_one(lane.conn()).await?)
}

pub async fn close_account(lane: &mut UserLane, was: Option<&str>) -> Result<bool, AppError> {
    Ok(sqlx::query_scalar("select app.close_account($1)").bind(was).fetch_one(lane.conn()).await?)
}

pub async fn erase_account(lane: &mut UserLane, was: Option<&str>) -> Result<bool, AppError> {
    Ok(sqlx::query_scalar("select app.erase_account($1)").bind(was).fetch_one(lane.conn()).await?)
}

/// The caller's account.
pub async fn account(lane: &mut UserLane) -> Result<Account, AppError> {
    let (email, confirmed, phone, name, language, time_zone, has_password) = sqlx::query_as(
        "select email, email_verified_at is not null, phone, display_name, language, time_zone, app.has_password()
           from app.users where id = (select auth.uid())",
    )
    .fetch_one(lane.conn())
    .await?;
    Ok(Account { email, confirmed, phone, name, language, time_zone, has_password })
}

pub async fn save_profile(
    lane: &mut UserLane,
    name: &str,
    language: &str,
    time_zone: Option<&str>,
) -> Result<(), AppError> {
    sqlx::query("update app.users set display_name = $1, language = $2, time_zone = $3 where id = (select auth.uid())")
        .bind(name)
        .bind(language)
        .bind(time_zone)
        .execute(lane.conn())
        .await?;
    Ok(())
}

/// The caller's sessions that can still be used, the latest first.
pub async fn sessions(lane: &mut UserLane, here: Option<SessionId>) -> Result<Vec<SessionRow>, AppError> {
    let rows: Vec<(SessionId, String, String, i64, String)> = sqlx::query_as(
        "select s.id, s.device, s.ip, extract(epoch from now() - s.last_seen_at)::bigint,
                to_char(s.last_seen_at at time zone coalesce(u.time_zone, 'UTC'), 'YYYY-MM-DD HH24:MI')
           from app.sessions s join app.users u on u.id = s.user_id
          where s.revoked_at is null and s.expires_at > now()
          order by s.last_seen_at desc limit 200",
    )
    .fetch_all(lane.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|(id, device, ip, ago, at)| SessionRow { id, device, ip, ago, at, here: here == Some(id) })
        .collect())
}

/// Ends one of the caller's sessions; `NotFound` when there is none such that goes on.
pub async fn revoke(lane: &mut UserLane, session: SessionId) -> Result<(), AppError> {
    let ended = sqlx::query("update app.sessions set revoked_at = now() where id = $1 and revoked_at is null")
        .bind(session)
        .execute(lane.conn())
        .await?;
    if ended.rows_affected() == 0 { Err(AppError::NotFound) } else { Ok(()) }
}

/// Ends all of them but this one.
pub async fn revoke_others(lane: &mut UserLane, here: Option<SessionId>) -> Result<(), AppError> {
    sqlx::query("update app.sessions set revoked_at = now() where revoked_at is null and id is distinct from $1")
        .bind(here)
        .execute(lane.conn())
        .await?;
    Ok(())
}

/// Accounts whose address or name has these letters, the newest first. For super users.
pub async fn find_accounts(
    lane: &mut UserLane,
    query: &str,
    status: Option<UserStatus>,
    limit: i32,
) -> Result<Vec<AccountRow>, AppError> {
    let rows: Vec<(UserId, String, String, UserStatus, bool)> =
        sqlx::query_as("select id, email, name, status, superuser from app.find_accounts($1, $2, $3)")
            .bind(query)
            .bind(status.map_or("", UserStatus::as_str))
            .bind(limit)
            .fetch_all(lane.conn())
            .await?;
    Ok(rows
        .into_iter()
        .map(|(id, email, name, status, superuser)| AccountRow { id, email, name, status, superuser })
        .collect())
}

/// Gives an account another status. For super users.
pub async fn set_account_status(lane: &mut UserLane, user: UserId, status: UserStatus) -> Result<(), AppError> {
    sqlx::query("select app.set_account_status($1, $2)").bind(user).bind(status).execute(lane.conn()).await?;
    Ok(())
}

/// What the command line says about an account; false where nobody has this address.
pub async fn operate(
    lane: &mut ServiceLane,
    email: &str,
    status: Option<UserStatus>,
    superuser: Option<bool>,
) -> Result<bool, AppError> {
    Ok(sqlx::query_scalar("select app.operate($1, $2, $3)")
        .bind(email)
        .bind(status)
        .bind(superuser)
        .fetch_one(lane.conn())
        .await?)
}
