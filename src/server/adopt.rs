//! `moat adopt`: takes over the threads and messages of a Supabase-style schema. It runs as the owner of our schema, in one
//! transaction, with FORCE lifted from the tables that it writes to: all of it happens, or nothing.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use aws_lc_rs::digest;
use futures::TryStreamExt;
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions, types::time::OffsetDateTime};
use uuid::Uuid;

use super::mailer::address;
use crate::threads::{model::KEPT_MAX, title::auto_title};

/// Messages that are written at once.
const BATCH: usize = 2000;
/// For a chat in which nobody said anything.
const UNTITLED: &str = "Untitled";

/// How it is done.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// Whose tokens the people of the old schema have.
    pub issuer: Option<String>,
    /// Give chats to an account that has the address already. Only whoever runs the server can know that it is theirs.
    pub by_address: bool,
    /// Say what would be done, and undo it.
    pub dry_run: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    #[error("The old schema can't be read: {0}")]
    Old(sqlx::Error),
    #[error(
        "This login may not read all rows of the old tables. Give --from with the address of their owner, or of a role that row security does not bind."
    )]
    MayNotRead,
    #[error("There is no {0} in that database.")]
    Missing(String),
    #[error("Nothing was taken over: {0}")]
    Ours(#[from] sqlx::Error),
}

/// What became of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub dry_run: bool,
    pub people_made: u64,
    pub people_known: u64,
    /// Of those who were made: another account has their address.
    pub addresses_taken: u64,
    pub threads: u64,
    pub messages: u64,
    /// Taken over by an earlier run; what was said or deleted here since stays so.
    pub threads_known: u64,
    pub ownerless: u64,
    /// The owner's account was erased here.
    pub owner_gone: u64,
    pub threadless: u64,
    /// With their thread.
    pub messages_dropped: u64,
    pub other_roles: BTreeMap<String, u64>,
    pub without_text: u64,
    pub with_nul: u64,
    pub cut: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kept, dropped) = if self.dry_run { ("Would keep", "Would drop") } else { ("Kept", "Dropped") };
        writeln!(f, "{kept}:")?;
        for (n, what) in [
            (self.people_made, "people, as new accounts"),
            (self.addresses_taken, "of them without their address, which another account has"),
            (self.people_known, "people who have an account here"),
            (self.threads, "chats"),
            (self.messages, "messages"),
            (self.with_nul, "of them without a character that can't be stored (NUL)"),
            (self.cut, "of them cut to 1 MB"),
            (self.threads_known, "chats that were taken over before, and left as they are"),
        ] {
            writeln!(f, "{n:>8}  {what}")?;
        }
        writeln!(f, "{dropped}:")?;
        for (n, what) in [
            (self.ownerless, "chats without an owner"),
            (self.owner_gone, "chats of people whose account was erased here"),
            (self.messages_dropped, "messages of these chats"),
            (self.threadless, "messages without a chat"),
            (self.without_text, "messages without a text"),
        ] {
            writeln!(f, "{n:>8}  {what}")?;
        }
        for (role, n) in &self.other_roles {
            writeln!(f, "{n:>8}  messages of the role {role:?}")?;
        }
        Ok(())
    }
}

/// Takes over what `from` has. Repeating it changes nothing.
pub async fn adopt(owner: &PgConnectOptions, from: &PgConnectOptions, how: &How) -> Result<Report, AdoptError> {
    let mut old = Old::open(from).await?;
    let mut ours = PgConnection::connect_with(owner).await?;
    let mut tx = ours.begin().await?;
    tx.execute(LIFT).await?;
    let mut report = Report { dry_run: how.dry_run, ..Report::default() };
    let people = adopt_people(&mut tx, old.people().await?, how, &mut report).await?;
    adopt_threads(&mut tx, &mut old, &people, &mut report).await?;
    tx.execute(LOWER).await?;
    if how.dry_run {
        tx.rollback().await?;
    } else {
        tx.commit().await?;
    }
    ours.close().await?;
    Ok(report)
}

/// Alone, without a limit on time, with row security lifted for the owner, and without telling open windows of each row.
const LIFT: &str = "
    select pg_advisory_xact_lock(7005132);
    set local statement_timeout = 0;
    alter table app.users no force row level security;
    alter table app.identities no force row level security;
    alter table app.adopted no force row level security;
    alter table app.threads no force row level security;
    alter table app.messages no force row level security;
    do $$
    declare t record;
    begin
      for t in select tgrelid::regclass as name, tgname from pg_trigger
                where tgrelid in ('app.threads'::regclass, 'app.messages'::regclass) and not tgisinternal and tgname like 'tell%' loop
        execute format('alter table %s disable trigger %I', t.name, t.tgname);
      end loop;
    end $$;";

const LOWER: &str = "
    do $$
    declare t record;
    begin
      for t in select tgrelid::regclass as name, tgname from pg_trigger
                where tgrelid in ('app.threads'::regclass, 'app.messages'::regclass) and not tgisinternal and tgname like 'tell%' loop
        execute format('alter table %s enable trigger %I', t.name, t.tgname);
      end loop;
    end $$;
    alter table app.users force row level security;
    alter table app.identities force row level security;
    alter table app.adopted force row level security;
    alter table app.threads force row level security;
    alter table app.messages force row level security;";

/// Somebody of the old schema.
struct Person {
    subject: String,
    id: Uuid,
    email: Option<String>,
    banned: bool,
    created_at: OffsetDateTime,
}

/// The old database, read at one moment.
struct Old(PgConnection);

impl Old {
    async fn open(from: &PgConnectOptions) -> Result<Self, AdoptError> {
        let mut conn = PgConnection::connect_with(from).await.map_err(old_error)?;
        // Rows that a policy would hide must not be taken for rows that are not there.
        conn.execute("set row_security = off; set timezone = 'UTC'; set statement_timeout = 0; begin isolation level repeatable read, read only")
            .await
            .map_err(old_error)?;
        let missing: Option<String> = sqlx::query_scalar(
            "select format('public.%s.%s', t, c)
               from (values ('threads', 'id'), ('threads', 'user_id'), ('threads', 'created_at'), ('messages', 'id'),
                            ('messages', 'thread_id'), ('messages', 'role'), ('messages', 'content'), ('messages', 'created_at')) w(t, c)
              where not exists (select from pg_attribute a
                                 where a.attrelid = to_regclass('public.' || t) and a.attname = c and not a.attisdropped)
              limit 1",
        )
        .fetch_optional(&mut conn)
        .await
        .map_err(old_error)?;
        match missing {
            Some(missing) => Err(AdoptError::Missing(missing)),
            None => Ok(Self(conn)),
        }
    }

    /// Who owns threads: the people of `auth.users`, or whoever the threads name where there is no such table.
    async fn people(&mut self) -> Result<Vec<Person>, AdoptError> {
        type Row = (String, Option<String>, bool, bool, Option<OffsetDateTime>);
        let with_users: bool = sqlx::query_scalar("select to_regclass('auth.users') is not null")
            .fetch_one(&mut self.0)
            .await
            .map_err(old_error)?;
        let query = if with_users {
            // By way of JSON, since versions of that schema differ in their columns.
            "select u.id::text, u.j ->> 'email',
                    (case when u.j ? 'email_confirmed_at' then u.j ->> 'email_confirmed_at' else u.j ->> 'confirmed_at' end) is not null,
                    coalesce((u.j ->> 'banned_until')::timestamptz > now(), false), (u.j ->> 'created_at')::timestamptz
               from (select x.id, to_jsonb(x) as j from auth.users x) u where u.j ->> 'deleted_at' is null"
        } else {
            "select t.user_id::text, null, false, false, min(t.created_at)::timestamptz
               from public.threads t where t.user_id is not null group by t.user_id"
        };
        let rows: Vec<Row> = sqlx::query_as(query).fetch_all(&mut self.0).await.map_err(old_error)?;
        let person = |(subject, typed, confirmed, banned, created_at): Row| Person {
            id: our_id("user", &subject),
            subject,
            // Anybody can write somebody else's address: one that was never confirmed is left behind.
            email: typed.filter(|_| confirmed).and_then(|typed| address(&typed).ok()),
            banned,
            created_at: created_at.unwrap_or_else(OffsetDateTime::now_utc),
        };
        Ok(rows.into_iter().map(person).collect())
    }
}

fn old_error(error: sqlx::Error) -> AdoptError {
    let refused = error.as_database_error().and_then(|db| db.code()).is_some_and(|code| code == "42501");
    if refused { AdoptError::MayNotRead } else { AdoptError::Old(error) }
}

/// An id that is a uuid stays; another one gets one, the same each time.
fn our_id(kind: &str, old: &str) -> Uuid {
    old.parse().unwrap_or_else(|_| {
        let hash = digest::digest(&digest::SHA256, format!("{kind} {old}").as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_ref()[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    })
}

/// Makes or finds everybody's account. Gives our user by the old id; none for somebody whose account was erased here.
async fn adopt_people(
    conn: &mut PgConnection,
    people: Vec<Person>,
    how: &How,
    report: &mut Report,
) -> Result<HashMap<String, Option<Uuid>>, sqlx::Error> {
    let ids: Vec<Uuid> = people.iter().map(|p| p.id).collect();
    let subjects: Vec<&str> = people.iter().map(|p| p.subject.as_str()).collect();
    let emails: Vec<&str> = people.iter().filter_map(|p| p.email.as_deref()).collect();
    let here: HashSet<Uuid> =
        set(sqlx::query_scalar("select id from app.users where id = any($1)").bind(&ids).fetch_all(&mut *conn).await?);
    let before: HashSet<Uuid> = adopted(conn, "user", &ids).await?;
    let mut by_address: HashMap<String, Uuid> =
        sqlx::query_as::<_, (String, Uuid)>("select email, id from app.users where email = any($1)")
            .bind(&emails)
            .fetch_all(&mut *conn)
            .await?
            .into_iter()
            .collect();
    let by_token: HashMap<String, Uuid> = sqlx::query_as::<_, (String, Uuid)>(
        "select subject, user_id from app.identities where issuer = $1 and subject = any($2)",
    )
    .bind(&how.issuer)
    .bind(&subjects)
    .fetch_all(&mut *conn)
    .await?
    .into_iter()
    .collect();

    let mut known = HashMap::new();
    let mut fresh: Vec<(Uuid, Option<String>, &str, OffsetDateTime)> = Vec::new();
    for person in &people {
        let address = person.email.as_ref();
        let ours = if let Some(user) = by_token.get(&person.subject) {
            Some(*user)
        } else if here.contains(&person.id) {
            Some(person.id)
        } else if let Some(user) = address.and_then(|a| by_address.get(a)).filter(|_| how.by_address) {
            Some(*user)
        } else if before.contains(&person.id) {
            known.insert(person.subject.clone(), None);
            continue;
        } else {
            None
        };
        if ours.is_some() {
            report.people_known += 1;
        } else {
            report.people_made += 1;
            let free = address.filter(|a| !by_address.contains_key(*a)).cloned();
            report.addresses_taken += u64::from(address.is_some() && free.is_none());
            if let Some(address) = &free {
                by_address.insert(address.clone(), person.id);
            }
            fresh.push((person.id, free, if person.banned { "banned" } else { "active" }, person.created_at));
        }
        known.insert(person.subject.clone(), Some(ours.unwrap_or(person.id)));
    }
    for some in fresh.chunks(BATCH) {
        sqlx::query(
            "insert into app.users (id, email, status, created_at, tokens_valid_from)
             select x.id, x.email, x.status, x.created_at, to_timestamp(0)
               from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) as x(id, email, status, created_at)",
        )
        .bind(some.iter().map(|p| p.0).collect::<Vec<_>>())
        .bind(some.iter().map(|p| p.1.clone()).collect::<Vec<_>>())
        .bind(some.iter().map(|p| p.2).collect::<Vec<_>>())
        .bind(some.iter().map(|p| p.3).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
    }
    remember(conn, "user", &ids).await?;
    if let Some(issuer) = &how.issuer {
        let (subjects, users): (Vec<&str>, Vec<Uuid>) =
            known.iter().filter_map(|(subject, user)| Some((subject.as_str(), (*user)?))).unzip();
        sqlx::query(
            "insert into app.identities (issuer, subject, user_id)
             select $1, x.subject, x.user_id from unnest($2::text[], $3::uuid[]) as x(subject, user_id) on conflict do nothing",
        )
        .bind(issuer)
        .bind(subjects)
        .bind(users)
        .execute(&mut *conn)
        .await?;
    }
    Ok(known)
}

/// A chat on its way, with the messages that were kept so far.
struct Thread {
    id: Uuid,
    user: Uuid,
    created_at: OffsetDateTime,
}

struct Message {
    id: Uuid,
    role: String,
    text: String,
    created_at: OffsetDateTime,
}

async fn adopt_threads(
    conn: &mut PgConnection,
    old: &mut Old,
    people: &HashMap<String, Option<Uuid>>,
    report: &mut Report,
) -> Result<(), AdoptError> {
    let rows: Vec<(String, Option<String>, OffsetDateTime)> = sqlx::query_as(
        "select t.id::text, t.user_id::text, coalesce(t.created_at::timestamptz, now()) from public.threads t",
    )
    .fetch_all(&mut old.0)
    .await
    .map_err(old_error)?;
    let ids: Vec<Uuid> = rows.iter().map(|row| our_id("thread", &row.0)).collect();
    let before = adopted(conn, "thread", &ids).await?;
    let mut taken: HashMap<String, Thread> = HashMap::new();
    let (mut left, mut dropped) = (HashSet::new(), HashSet::new());
    for ((old_id, owner, created_at), id) in rows.into_iter().zip(ids) {
        if before.contains(&id) {
            report.threads_known += 1;
            left.insert(old_id);
            continue;
        }
        match owner.and_then(|owner| people.get(&owner)) {
            Some(Some(user)) => drop(taken.insert(old_id, Thread { id, user: *user, created_at })),
            Some(None) => {
                report.owner_gone += 1;
                dropped.insert(old_id);
            }
            None => {
                report.ownerless += 1;
                dropped.insert(old_id);
            }
        }
    }
    let taken_ids: Vec<Uuid> = taken.values().map(|thread| thread.id).collect();
    remember(conn, "thread", &taken_ids).await?;

    type Row = (String, Option<String>, Option<String>, Option<String>, Option<OffsetDateTime>);
    let mut rows = sqlx::query_as::<_, Row>(
        "select m.id::text, m.thread_id::text, m.role::text, to_json(m.content)::text, m.created_at::timestamptz
           from public.messages m order by m.thread_id, m.created_at, m.id",
    )
    .fetch(&mut old.0);
    let mut ready: Vec<(Thread, Vec<Message>)> = Vec::new();
    let mut waiting = 0;
    // The messages of a thread come one after the other.
    let mut current: Option<(String, Thread, Vec<Message>)> = None;
    while let Some((id, thread, role, content, created_at)) = rows.try_next().await.map_err(old_error)? {
        let Some(thread) = thread else {
            report.threadless += 1;
            continue;
        };
        if current.as_ref().is_none_or(|(now, ..)| *now != thread) {
            if let Some((_, thread, messages)) = current.take() {
                waiting += messages.len();
                ready.push((thread, messages));
            }
            if waiting >= BATCH {
                write(conn, std::mem::take(&mut ready), report).await?;
                waiting = 0;
            }
            match taken.remove(&thread) {
                Some(found) => current = Some((thread, found, Vec::new())),
                None if left.contains(&thread) => continue,
                None if dropped.contains(&thread) => {
                    report.messages_dropped += 1;
                    continue;
                }
                None => {
                    report.threadless += 1;
                    continue;
                }
            }
        }
        let Some((_, thread, messages)) = current.as_mut() else { continue };
        let role = role.unwrap_or_default();
        if role != "user" && role != "assistant" {
            *report.other_roles.entry(role).or_default() += 1;
            continue;
        }
        match content.as_deref().and_then(text) {
            Some(Text { text, nul, cut }) => {
                report.with_nul += u64::from(nul);
                report.cut += u64::from(cut);
                let created_at = created_at.unwrap_or(thread.created_at);
                messages.push(Message { id: our_id("message", &id), role, text, created_at });
            }
            None => report.without_text += 1,
        }
    }
    drop(rows);
    ready.extend(current.map(|(_, thread, messages)| (thread, messages)));
    ready.extend(taken.into_values().map(|thread| (thread, Vec::new())));
    write(conn, ready, report).await?;
    Ok(())
}

/// Chats with their messages, as our tree: each message hangs on the one before.
async fn write(
    conn: &mut PgConnection,
    chats: Vec<(Thread, Vec<Message>)>,
    report: &mut Report,
) -> Result<(), sqlx::Error> {
    for some in chats.chunks(BATCH) {
        let title = |messages: &[Message]| {
            let first = messages.iter().find(|m| m.role == "user").or(messages.first());
            first.map(|m| auto_title(&m.text)).filter(|t| !t.is_empty()).unwrap_or_else(|| UNTITLED.into())
        };
        sqlx::query(
            "insert into app.threads (id, user_id, client_id, title, last_seq, created_at, active_at)
             select x.id, x.user_id, x.id, x.title, x.last_seq, x.created_at, x.active_at
               from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[])
                 as x(id, user_id, title, last_seq, created_at, active_at)",
        )
        .bind(some.iter().map(|(t, _)| t.id).collect::<Vec<_>>())
        .bind(some.iter().map(|(t, _)| t.user).collect::<Vec<_>>())
        .bind(some.iter().map(|(_, m)| title(m)).collect::<Vec<_>>())
        .bind(some.iter().map(|(_, m)| m.len() as i64).collect::<Vec<_>>())
        .bind(some.iter().map(|(t, _)| t.created_at).collect::<Vec<_>>())
        .bind(some.iter().map(|(t, m)| m.last().map_or(t.created_at, |m| m.created_at)).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
        report.threads += some.len() as u64;
    }
    let all: Vec<(&Thread, i64, Option<Uuid>, &Message)> = chats
        .iter()
        .flat_map(|(thread, messages)| {
            let parents = std::iter::once(None).chain(messages.iter().map(|m| Some(m.id)));
            messages.iter().zip(parents).zip(1..).map(move |((m, parent), seq)| (thread, seq, parent, m))
        })
        .collect();
    for some in all.chunks(BATCH) {
        sqlx::query(
            "insert into app.messages (id, thread_id, user_id, seq, parent_id, client_id, role, content, created_at)
             select x.id, x.thread_id, x.user_id, x.seq, x.parent_id, case when x.role = 'user' then x.id end, x.role,
                    jsonb_build_object('text', x.text), x.created_at
               from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::uuid[], $6::text[], $7::text[], $8::timestamptz[])
                 as x(id, thread_id, user_id, seq, parent_id, role, text, created_at)",
        )
        .bind(some.iter().map(|(_, _, _, m)| m.id).collect::<Vec<_>>())
        .bind(some.iter().map(|(t, ..)| t.id).collect::<Vec<_>>())
        .bind(some.iter().map(|(t, ..)| t.user).collect::<Vec<_>>())
        .bind(some.iter().map(|(_, seq, ..)| *seq).collect::<Vec<_>>())
        .bind(some.iter().map(|(_, _, parent, _)| *parent).collect::<Vec<_>>())
        .bind(some.iter().map(|(_, _, _, m)| m.role.as_str()).collect::<Vec<_>>())
        .bind(some.iter().map(|(_, _, _, m)| m.text.as_str()).collect::<Vec<_>>())
        .bind(some.iter().map(|(_, _, _, m)| m.created_at).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
        report.messages += some.len() as u64;
    }
    Ok(())
}

async fn adopted(conn: &mut PgConnection, kind: &str, ids: &[Uuid]) -> Result<HashSet<Uuid>, sqlx::Error> {
    Ok(set(sqlx::query_scalar("select id from app.adopted where kind = $1 and id = any($2)")
        .bind(kind)
        .bind(ids)
        .fetch_all(conn)
        .await?))
}

async fn remember(conn: &mut PgConnection, kind: &str, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query("insert into app.adopted (kind, id) select $1, x from unnest($2::uuid[]) x on conflict do nothing")
        .bind(kind)
        .bind(ids)
        .execute(conn)
        .await?;
    Ok(())
}

fn set(ids: Vec<Uuid>) -> HashSet<Uuid> {
    ids.into_iter().collect()
}

struct Text {
    text: String,
    nul: bool,
    cut: bool,
}

/// A message's text from its content in JSON; `None` where there is none.
fn text(json: &str) -> Option<Text> {
    let mut text = said(&serde_json::from_str(json).ok()?)?.replace("\r\n", "\n");
    let nul = text.contains('\0');
    text.retain(|c| c != '\0');
    let cut = text.len() > KEPT_MAX;
    text.truncate(text.floor_char_boundary(KEPT_MAX));
    (!text.trim().is_empty()).then_some(Text { text, nul, cut })
}

/// The usual shapes: a text, something that has one, a list of parts of which some are text.
fn said(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Vec<String> = parts.iter().filter_map(said).collect();
            (!texts.is_empty()).then(|| texts.join("\n\n"))
        }
        Value::Object(fields) => {
            let kind = fields.get("type").and_then(Value::as_str);
            if kind.is_some_and(|kind| !kind.ends_with("text") && kind != "message") {
                return None;
            }
            ["text", "content", "parts", "value"].iter().find_map(|name| fields.get(*name)).and_then(said)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_shapes_of_a_content_become_a_text() {
        for (json, expected) in [
            (r#""hello""#, Some("hello")),
            (r#"{"text": "hello"}"#, Some("hello")),
            (r#"{"role": "user", "content": "hello"}"#, Some("hello")),
            (r#"{"type": "text", "text": {"value": "hello"}}"#, Some("hello")),
            (
                r#"[{"type": "text", "text": "a"}, {"type": "image", "text": "alt"}, {"type": "text", "text": "b"}]"#,
                Some("a\n\nb"),
            ),
            (r#"{"parts": ["a\r\nb"]}"#, Some("a\nb")),
            (r#""a\u0000b""#, Some("ab")),
            (r#"[{"type": "tool_use", "name": "x"}]"#, None),
            (r#""\u0000 ""#, None),
            ("[]", None),
            ("{}", None),
            ("7", None),
            ("null", None),
            ("not json", None),
        ] {
            assert_eq!(text(json).map(|t| t.text).as_deref(), expected, "{json}");
        }
        let long = text(&format!("\"{}\"", "é".repeat(KEPT_MAX))).unwrap();
        assert!(long.cut && long.text.len() == KEPT_MAX);
    }

    #[test]
    fn an_id_that_is_no_uuid_gets_one_and_always_the_same() {
        let id = "20000000-0000-4000-8000-000000000001";
        assert_eq!(our_id("thread", id).to_string(), id);
        assert_eq!(our_id("thread", "7"), our_id("thread", "7"));
        assert_ne!(our_id("thread", "7"), our_id("message", "7"));
    }
}
