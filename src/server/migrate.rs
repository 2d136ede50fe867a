//! The schema, and the login roles that the lanes connect as.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, migrate::Migrator, postgres::PgConnectOptions};

use super::{lanes::Logins, pool};

/// Everything under `migrations/`, part of the binary.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("The schema could not be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("The login roles could not be made: {0}")]
    Sql(#[from] sqlx::Error),
}

/// A lane's login: the role's name and password as the settings have them, the lane's role, what it may call.
struct Login<'a> {
    options: &'a PgConnectOptions,
    password: Option<&'a str>,
    lane: &'static str,
    opens: &'static str,
}

/// The passwords of the logins, needed only where their roles do not exist yet.
#[derive(Clone, Debug, Default)]
pub struct Passwords {
    pub user: Option<String>,
    pub service: Option<String>,
    pub visitor: Option<String>,
}

/// Applies what is missing, as the owner, and makes or repairs the login roles. Repeating it changes nothing.
pub async fn migrate(owner: &PgConnectOptions, logins: &Logins, passwords: &Passwords) -> Result<(), MigrateError> {
    let mut conn = pool::connect(owner).await?;
    MIGRATIONS.run(&mut conn).await?;
    // Grants to one role from two starting processes fail with "tuple concurrently updated".
    conn.execute("select pg_advisory_lock(7005131)").await?;
    for login in [
        Login {
            options: &logins.user,
            password: passwords.user.as_deref(),
            lane: "authenticated",
            opens: "gate.open(uuid, uuid, timestamptz, uuid), gate.open(text, uuid, uuid, timestamptz, uuid),
                    gate.look(uuid, uuid, timestamptz, text, uuid, uuid), gate.open_org(text, uuid, uuid, timestamptz, uuid, uuid)",
        },
        Login {
            options: &logins.service,
            password: passwords.service.as_deref(),
            lane: "service",
            opens: "gate.open_service(text, uuid)",
        },
        Login {
            options: &logins.visitor,
            password: passwords.visitor.as_deref(),
            lane: "visitor",
            opens: "gate.open_visitor(bytea), gate.read_desk(text, text), gate.read_help(text, uuid), gate.make_visitor(text, bytea), gate.open_relay(bytea, text, text, text)",
        },
    ] {
        ensure_login(&mut conn, &login).await?;
    }
    conn.close().await?;
    Ok(())
}

async fn ensure_login(conn: &mut PgConnection, login: &Login<'_>) -> Result<(), sqlx::Error> {
    let name = login.options.get_username();
    let role = quoted(name, '"');
    let there: bool = sqlx::query_scalar("select exists (select from pg_roles where rolname = $1)")
        .bind(name)
        .fetch_one(&mut *conn)
        .await?;
    if !there {
        let password = login.password.map_or(String::new(), |p| format!(" password {}", quoted(p, '\'')));
        conn.execute(AssertSqlSafe(format!("create role {role} login noinherit{password}"))).await?;
    }
    let member: bool = sqlx::query_scalar(
        "select exists (select from pg_auth_members m join pg_roles r on r.oid = m.roleid join pg_roles u on u.oid = m.member
                        where r.rolname = $1 and u.rolname = $2)",
    )
    .bind(login.lane)
    .bind(name)
    .fetch_one(&mut *conn)
    .await?;
    if !member {
        conn.execute(AssertSqlSafe(format!("grant {} to {role}", login.lane))).await?;
    }
    conn.execute(AssertSqlSafe(format!("grant usage on schema gate to {role}"))).await?;
    // The function belongs to moat_definer, whom nobody stays a member of.
    conn.execute(AssertSqlSafe(format!(
        "begin; grant moat_definer to current_user; set local role moat_definer; grant execute on function {} to {role}; reset role; revoke moat_definer from current_user; commit",
        login.opens
    )))
    .await?;
    Ok(())
}

/// Quoted for SQL: no statement that makes a role takes parameters.
fn quoted(text: &str, mark: char) -> String {
    format!("{mark}{}{mark}", text.replace(mark, &format!("{mark}{mark}")))
}
