//! A lane leaves nothing behind, however it ends, and is not opened for those whose time is over.

use std::time::Duration;

use moat::{
    error::AppError,
    server::lanes::{Lanes, Logins, Opening, Reason},
    types::{SessionId, UserId},
};
use sqlx::{Executor, postgres::PgConnectOptions};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    sync::watch,
};

use crate::harness::{DEADLINE, Db};

const ADA: &str = "00000000-0000-4000-8000-0000000000ad";

async fn ada(db: &Db) -> Opening {
    let mut conn = db.superuser().await;
    conn.execute("insert into app.users (id, email, tokens_valid_from) values ('00000000-0000-4000-8000-0000000000ad', 'ada@example.org', '2020-01-01')").await.unwrap();
    conn.execute("insert into app.sessions (id, user_id) values ('10000000-0000-4000-8000-0000000000ad', '00000000-0000-4000-8000-0000000000ad')").await.unwrap();
    conn.execute("insert into app.threads (user_id, client_id, title) values ('00000000-0000-4000-8000-0000000000ad', gen_random_uuid(), 'hers')").await.unwrap();
    Opening {
        user: UserId(ADA.parse().unwrap()),
        session: Some(SessionId("10000000-0000-4000-8000-0000000000ad".parse().unwrap())),
        issued_at: moat::server::caller::now(),
        ip: "192.0.2.1".into(),
        user_agent: "a test".into(),
        place: None,
        workspace: None,
    }
}

/// What the next borrower of the pool's one connection is before it opens anything: the login role, without claims.
async fn assert_nothing_is_left(lanes: &Lanes, ada: &Opening, after: &str) {
    // Somebody who may not come in gets nothing at all.
    let stranger =
        Opening { user: UserId("00000000-0000-4000-8000-00000000dead".parse().unwrap()), session: None, ..ada.clone() };
    assert_eq!(lanes.user(&stranger).await.err(), Some(AppError::Unauthenticated), "after {after}");
    // And whoever may come in finds their own claims, not those of whoever was there before.
    let mut lane = lanes.user(ada).await.unwrap();
    let row: (String, String, i64) = sqlx::query_as(
        "select current_user::text, current_setting('request.jwt.claims')::jsonb ->> 'sub', count(*) from app.threads",
    )
    .fetch_one(lane.conn())
    .await
    .unwrap();
    assert_eq!(row, ("authenticated".into(), ADA.into(), 1), "after {after}");
    lane.commit().await.unwrap();
}

#[tokio::test]
async fn nothing_is_left_to_the_next_borrower() {
    let db = Db::new().await;
    let opening = ada(&db).await;
    let lanes = db.lanes(1);
    let write = "update app.threads set title = 'changed'";

    let mut lane = lanes.user(&opening).await.unwrap();
    lane.conn().execute("update app.threads set title = 'kept'").await.unwrap();
    lane.commit().await.unwrap();
    assert_nothing_is_left(&lanes, &opening, "commit").await;

    let mut lane = lanes.user(&opening).await.unwrap();
    lane.conn().execute(write).await.unwrap();
    drop(lane);
    assert_nothing_is_left(&lanes, &opening, "rollback").await;

    let (pool, who) = (lanes.clone(), opening.clone());
    let panicked = tokio::spawn(async move {
        let mut lane = pool.user(&who).await.unwrap();
        lane.conn().execute(write).await.unwrap();
        panic!("on purpose");
    });
    assert!(panicked.await.is_err());
    assert_nothing_is_left(&lanes, &opening, "a panic").await;

    let (pool, who) = (lanes.clone(), opening.clone());
    let (began, begun) = tokio::sync::oneshot::channel();
    let cancelled = tokio::spawn(async move {
        let mut lane = pool.user(&who).await.unwrap();
        lane.conn().execute(write).await.unwrap();
        began.send(()).unwrap();
        lane.conn().execute("select pg_sleep(60)").await.unwrap();
    });
    begun.await.unwrap();
    cancelled.abort();
    assert!(cancelled.await.unwrap_err().is_cancelled());
    assert_nothing_is_left(&lanes, &opening, "a cancelled request").await;

    let mut lane = lanes.user(&opening).await.unwrap();
    lane.conn().execute(write).await.unwrap();
    lane.conn().execute("set local statement_timeout = 20").await.unwrap();
    let error: AppError = lane.conn().execute("select pg_sleep(60)").await.unwrap_err().into();
    assert_eq!(error, AppError::Unavailable);
    drop(lane);
    assert_nothing_is_left(&lanes, &opening, "a time-out").await;

    let title: String =
        sqlx::query_scalar("select title from app.threads").fetch_one(&mut db.superuser().await).await.unwrap();
    assert_eq!(title, "kept", "only what was committed is there");
}

#[tokio::test]
async fn a_setting_that_was_made_to_outlive_its_lane_does_not_carry_rights_over() {
    let db = Db::new().await;
    let opening = ada(&db).await;
    let lanes = db.lanes(1);
    let mut lane = lanes.user(&opening).await.unwrap();
    lane.conn().execute("select set_config('role', 'authenticated', false), set_config('request.jwt.claims', '{\"sub\": \"00000000-0000-4000-8000-0000000000ad\"}', false)").await.unwrap();
    lane.commit().await.unwrap();
    // The connection is another role now, which may not open lanes: it is closed, not handed on.
    let stranger = Opening {
        user: UserId("00000000-0000-4000-8000-00000000dead".parse().unwrap()),
        session: None,
        ..opening.clone()
    };
    assert!(lanes.user(&stranger).await.is_err());
    assert_nothing_is_left(&lanes, &opening, "a setting for the session").await;
}

#[tokio::test]
async fn a_user_lane_cannot_become_another_lane() {
    let db = Db::new().await;
    let opening = ada(&db).await;
    let lanes = db.lanes(2);
    for role in ["service", "moat_definer", "moat_owner", "postgres"] {
        let mut lane = lanes.user(&opening).await.unwrap();
        let error = lane.conn().execute(sqlx::AssertSqlSafe(format!("set local role {role}"))).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42501"), "{role}");
    }
    for role in ["authenticated", "moat_definer", "moat_owner"] {
        let mut lane = lanes.service(Reason::Live).await.unwrap();
        let error = lane.conn().execute(sqlx::AssertSqlSafe(format!("set local role {role}"))).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42501"), "{role}");
    }
}

#[tokio::test]
async fn a_lane_opens_only_while_user_session_and_token_are_good() {
    let db = Db::new().await;
    let opening = ada(&db).await;
    let lanes = db.lanes(2);
    let mut conn = db.superuser().await;
    assert!(lanes.user(&opening).await.is_ok());
    for (spoil, mend) in [
        ("update app.users set status = 'banned'", "update app.users set status = 'active'"),
        ("update app.users set status = 'waitlist'", "update app.users set status = 'active'"),
        (
            "update app.users set tokens_valid_from = now() + interval '1 hour'",
            "update app.users set tokens_valid_from = '2020-01-01'",
        ),
        ("update app.sessions set expires_at = now()", "update app.sessions set expires_at = now() + interval '1 day'"),
    ] {
        conn.execute(spoil).await.unwrap();
        assert_eq!(lanes.user(&opening).await.err(), Some(AppError::Unauthenticated), "{spoil}");
        conn.execute(mend).await.unwrap();
        assert!(lanes.user(&opening).await.is_ok(), "{mend}");
    }
    let other = Opening {
        session: Some(SessionId("10000000-0000-4000-8000-00000000dead".parse().unwrap())),
        ..opening.clone()
    };
    assert_eq!(lanes.user(&other).await.err(), Some(AppError::Unauthenticated));
    // The writer of an answer goes on when its user signs out, and stops when the account is closed.
    conn.execute("update app.sessions set revoked_at = now()").await.unwrap();
    assert_eq!(lanes.user(&opening).await.err(), Some(AppError::Unauthenticated));
    assert!(lanes.service(Reason::Generation(opening.user)).await.is_ok());
    conn.execute("update app.users set status = 'banned'").await.unwrap();
    assert_eq!(lanes.service(Reason::Generation(opening.user)).await.err(), Some(AppError::Forbidden));
    // A revoked session stays revoked, even for its owner's own statement.
    conn.execute("update app.sessions set revoked_at = null").await.unwrap();
    let revoked: bool =
        sqlx::query_scalar("select revoked_at is not null from app.sessions").fetch_one(&mut conn).await.unwrap();
    assert!(revoked);
}

#[tokio::test]
async fn a_connection_that_died_in_the_pool_is_replaced() {
    let db = Db::new().await;
    let opening = ada(&db).await;
    let lanes = db.lanes(1);
    lanes.user(&opening).await.unwrap().commit().await.unwrap();
    let mut conn = db.superuser().await;
    conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'moat_user' and datname = current_database()").await.unwrap();
    let lane = tokio::time::timeout(Duration::from_secs(30), lanes.user(&opening)).await.unwrap();
    assert!(lane.is_ok());
}

#[tokio::test]
async fn somebody_elses_living_session_opens_no_lane() {
    let db = Db::new().await;
    let opening = ada(&db).await;
    let mut conn = db.superuser().await;
    conn.execute("insert into app.users (id, email, tokens_valid_from) values ('00000000-0000-4000-8000-0000000000bb', 'bob@example.org', '2020-01-01')").await.unwrap();
    conn.execute("insert into app.sessions (id, user_id) values ('10000000-0000-4000-8000-0000000000bb', '00000000-0000-4000-8000-0000000000bb')").await.unwrap();
    let lanes = db.lanes(1);
    let bobs = SessionId("10000000-0000-4000-8000-0000000000bb".parse().unwrap());
    let mixed = Opening { session: Some(bobs), ..opening.clone() };
    assert_eq!(lanes.user(&mixed).await.err(), Some(AppError::Unauthenticated));
    assert!(lanes.user(&opening).await.is_ok());
}

#[tokio::test]
async fn a_lock_that_somebody_holds_for_too_long_is_no_fault_of_ours() {
    let db = Db::new().await;
    let opening = ada(&db).await;
    let lanes = db.lanes(1);
    let mut holder = db.superuser().await;
    holder.execute("begin; select from app.threads for update").await.unwrap();
    let mut lane = lanes.user(&opening).await.unwrap();
    lane.conn().execute("set local lock_timeout = 20").await.unwrap();
    let error: AppError = lane.conn().execute("update app.threads set title = 'mine'").await.unwrap_err().into();
    assert_eq!(error, AppError::Unavailable);
}

/// The database as a host that can go away without a word: while it is away, nothing passes in either direction.
async fn host(db: &Db) -> (PgConnectOptions, watch::Sender<bool>) {
    async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut away: watch::Receiver<bool>) {
        let mut piece = [0; 8192];
        while let Ok(n @ 1..) = from.read(&mut piece).await {
            if away.wait_for(|away| !away).await.is_err() || to.write_all(&piece[..n]).await.is_err() {
                return;
            }
        }
        drop(to.shutdown().await);
    }
    let behind = db.options("moat_user");
    let socket = behind.get_socket().unwrap().join(format!(".s.PGSQL.{}", behind.get_port()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(listener.local_addr().unwrap().port())
        .username("moat_user")
        .database(behind.get_database().unwrap());
    let (away, watched) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = UnixStream::connect(&socket).await.unwrap().into_split();
            tokio::spawn(pass(from_client, to_server, watched.clone()));
            tokio::spawn(pass(from_server, to_client, watched.clone()));
        }
    });
    (options, away)
}

#[tokio::test]
async fn a_lane_is_not_waited_for_when_the_databases_host_has_gone_without_a_word() {
    let db = Db::new().await;
    let opening = ada(&db).await;
    let (options, away) = host(&db).await;
    let lanes = Lanes::new(Logins { user: options.clone(), service: options.clone(), visitor: options }, 2);
    // Both connections are made, and given back.
    let both = tokio::join!(lanes.user(&opening), lanes.user(&opening));
    tokio::join!(both.0.unwrap().commit(), both.1.unwrap().commit()).0.unwrap();
    away.send(true).unwrap();
    let opened = tokio::time::timeout(DEADLINE, lanes.user(&opening)).await.expect("an end of waiting");
    assert_eq!(opened.err(), Some(AppError::Unavailable));
    assert!(!tokio::time::timeout(DEADLINE, lanes.ready()).await.expect("an end of waiting"));
    away.send(false).unwrap();
    lanes.user(&opening).await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_has_grown_old_while_nobody_used_it_is_closed_and_made_anew() {
    let db = Db::new().await;
    let opening = ada(&db).await;
    let lifetime = Duration::from_millis(300);
    let lanes = Lanes::with_lifetime(db.logins(), 2, lifetime);
    let pid = async |lane: &mut moat::server::lanes::UserLane| -> i32 {
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(lane.conn()).await.unwrap()
    };
    let (one, two) = tokio::join!(lanes.user(&opening), lanes.user(&opening));
    let (mut one, mut two) = (one.unwrap(), two.unwrap());
    let old = [pid(&mut one).await, pid(&mut two).await];
    one.commit().await.unwrap();
    two.commit().await.unwrap();
    tokio::time::sleep(lifetime).await;
    let mut lane = lanes.user(&opening).await.unwrap();
    assert!(!old.contains(&pid(&mut lane).await));
    let mut conn = db.superuser().await;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let left: i64 = sqlx::query_scalar("select count(*) from pg_stat_activity where pid = any($1)")
            .bind(old)
            .fetch_one(&mut conn)
            .await
            .unwrap();
        if left == 0 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "an old connection is kept");
    }
}

#[tokio::test]
async fn the_embedded_database_listens_on_no_port() {
    let db = Db::new().await;
    let shown: String = sqlx::query_scalar("show listen_addresses").fetch_one(&mut db.superuser().await).await.unwrap();
    assert_eq!(shown, "");
}
