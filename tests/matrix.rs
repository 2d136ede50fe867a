//! Every policy, allowed and denied, by rows. And the tests themselves are put to the test: each policy is dropped, and its
//! allow case has to turn red; each is widened to `true`, and its deny case has to turn red.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::{harness::Db, tenants};

/// In place of the names, in the order of their appearance in the story: A is who acts, B is somebody else.
const A: &str = "00000000-0000-4000-8000-00000000000a";
const B: &str = "00000000-0000-4000-8000-00000000000b";

/// Two people with the same things: a session, two threads (one with an answer under way, one with an empty answer that
/// nobody writes), and what hangs on them. An id is the owner's last letter behind a number.
const WORLD: &str = "
    insert into app.users (id, email) values ('00000000-0000-4000-8000-00000000000a', 'a@example.org'), ('00000000-0000-4000-8000-00000000000b', 'b@example.org');
    insert into app.identities (issuer, subject, user_id) select 'issuer', 'of ' || email, id from app.users;
    insert into app.quotas (user_id, day, answers) select id, '2000-01-01', 3 from app.users;
    insert into app.credentials (user_id, password_phc) select id, 'phc of ' || email from app.users;
    insert into app.sessions (id, user_id) select ('10000000' || right(id::text, 28))::uuid, id from app.users;
    insert into app.refresh_tokens (hash, session_id, user_id) select ('hash of ' || email)::bytea, ('10000000' || right(id::text, 28))::uuid, id from app.users;
    insert into app.refresh_tokens (hash, session_id, user_id, used_at) select 'old', id, user_id, now() - interval '40 days' from app.sessions limit 1;
    insert into app.rate_limits (key, free_at) values ('old', now() - interval '2 days');
    insert into app.outgoing (id, kind, address, user_id, due_at) select ('8' || right(id::text, 35))::uuid, 'confirm', email, id, now() - interval '1 hour' from app.users where email = 'a@example.org';
    insert into app.mail_tokens (hash, purpose, user_id, address, expires_at) select ('magic of ' || email)::bytea, 'magic', id, email, now() + interval '1 hour' from app.users;
    insert into app.mail_tokens (hash, purpose, address, phc, expires_at) values ('old', 'sign-up', 'c@example.org', 'phc', now() - interval '40 days');
    insert into app.codes (id, phone, user_id, hash) select ('9' || right(id::text, 35))::uuid, '+4930123456', id, 'code' from app.users;
    insert into app.codes (id, phone, hash, expires_at) values (gen_random_uuid(), '+4930123457', 'code', now() - interval '1 day');
    insert into app.threads (id, user_id, client_id, title, last_seq) select (n || '0000000' || right(id::text, 28))::uuid, id, gen_random_uuid(), 'of ' || email, 2
      from app.users, (values (2), (3)) t(n);
    insert into app.messages (id, thread_id, user_id, seq, client_id, role, content)
      select ('4' || substr(t.id::text, 2))::uuid, t.id, t.user_id, 1, gen_random_uuid(), 'user', '{\"text\": \"said\"}' from app.threads t where t.id::text like '2%';
    insert into app.messages (id, thread_id, user_id, seq, parent_id, role, content)
      select ('5' || substr(m.id::text, 2))::uuid, m.thread_id, m.user_id, 2, m.id, 'assistant', '{\"text\": \"\"}' from app.messages m;
    insert into app.messages (id, thread_id, user_id, seq, role, content)
      select ('6' || substr(t.id::text, 2))::uuid, t.id, t.user_id, 1, 'assistant', '{\"text\": \"\"}' from app.threads t where t.id::text like '3%';
    insert into app.generations (id, user_id, thread_id, message_id, lease_until)
      select ('7' || substr(m.id::text, 2))::uuid, m.user_id, m.thread_id, m.id, now() - interval '1 hour' from app.messages m where m.id::text like '5%';
    insert into app.generation_chunks (generation_id, user_id, n, text) select g.id, g.user_id, 0, 'piece' from app.generations g;
    insert into app.branches (message_id, thread_id, user_id, leaf_id) select m.parent_id, m.thread_id, m.user_id, m.id from app.messages m where m.id::text like '5%';
    insert into app.thumbs (message_id, thread_id, user_id, up) select m.id, m.thread_id, m.user_id, true from app.messages m where m.id::text like '5%';
    insert into app.folders (id, user_id, name) select ('8' || substr(id::text, 2))::uuid, id, 'a folder' from app.users;
    insert into app.threads (id, user_id, client_id, title, temporary, active_at) select ('f' || substr(id::text, 2))::uuid, id, gen_random_uuid(), '', true, now() - interval '2 days' from app.users where email = 'b@example.org';
    insert into app.imports (id, user_id, name) select ('8' || substr(id::text, 2))::uuid, id, 'a file' from app.users;
    delete from app.outbox;
    insert into app.outbox (topic, kind, payload) select id, 'thread.changed', '{}' from app.users;
    update app.feed_head set pos = 2;
    insert into app.feed_topics (topic, pos) select id, 1 from app.users;
    insert into app.feed (pos, topic, tpos, kind, payload, created_at) select row_number() over (order by id), id, 1, 'thread.changed', '{}', now() - interval '1 day' from app.users;
    insert into app.users (id, status, erased_at) values ('00000000-0000-4000-8000-00000000000c', 'archived', now());
    insert into app.sessions (user_id, expires_at) values ('00000000-0000-4000-8000-00000000000c', now() - interval '40 days');
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A's own lane.
    User,
    /// A in the workspace that is theirs, in B's, and in one that they are no member of: see `tenants`.
    Owner,
    Member,
    Guest,
    /// A lane for this reason, for A where the reason is for somebody.
    Job(&'static str),
    /// A customer of A's desk, with a talk.
    Visitor,
    /// What the login role calls before it is anybody. The function runs with its own rights, so who calls is of no matter.
    Opening,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Rows(u64),
    Refused(String),
}

fn refused() -> Outcome {
    Outcome::Refused("42501".into())
}

pub struct Case {
    policy: &'static str,
    actor: Actor,
    /// Who tries what is denied, where it is not the same.
    denied: Actor,
    /// What A may do, and how many rows that is.
    allow: (&'static str, u64),
    /// What A may not do to B: no row, or a refusal. None for the policies of moat_definer, which show everything to a
    /// role that nobody can become; who may become it is a check of its own.
    deny: Option<(&'static str, Option<u64>)>,
}

pub const fn case(
    policy: &'static str,
    actor: Actor,
    allow: (&'static str, u64),
    deny: (&'static str, Option<u64>),
) -> Case {
    Case { policy, actor, denied: actor, allow, deny: Some(deny) }
}

/// One whose denial is tried by somebody else.
pub const fn case_as(
    policy: &'static str,
    (actor, allowed, rows): (Actor, &'static str, u64),
    (denied, statement, left): (Actor, &'static str, Option<u64>),
) -> Case {
    Case { policy, actor, denied, allow: (allowed, rows), deny: Some((statement, left)) }
}

pub const fn definer(policy: &'static str, actor: Actor, allow: &'static str) -> Case {
    Case { policy, actor, denied: actor, allow: (allow, 1), deny: None }
}

use Actor::{Guest, Job, Member, Opening, Owner, User, Visitor};

/// A's import of one conversation with one message.
const IMPORTED: &str = "with came as materialized (select app.import_thread('80000000-0000-4000-8000-00000000000a', gen_random_uuid(), null, 'x', now(), now(), '[{\"client\": \"90000000-0000-4000-8000-000000000000\", \"parent\": null, \"role\": \"assistant\", \"text\": \"x\", \"at\": 1}]') as came) select from came where (came).created";

const WRITER: Actor = Job("generation");

/// An update or delete without any condition: the policy alone decides which rows it reaches, and the read policies have no
/// part in it. Where the count is A's own, a wider policy shows as more.
static CASES: &[Case] = &[
    case(
        "folders.select_own",
        User,
        ("select from app.folders where user_id = '00000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.folders where user_id = '00000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "folders.insert_own",
        User,
        ("insert into app.folders (name) values ('x')", 1),
        ("insert into app.folders (user_id, name) values ('00000000-0000-4000-8000-00000000000b', 'x')", None),
    ),
    case(
        "folders.update_own",
        User,
        ("update app.folders set name = 'x'", 1),
        ("update app.folders set name = 'x'", Some(1)),
    ),
    case("folders.delete_own", User, ("delete from app.folders", 1), ("delete from app.folders", Some(1))),
    definer("threads.select_definer", User, "select from app.search_threads('example', 1)"),
    definer("messages.select_definer", User, "select from app.search_threads('said', 10)"),
    definer(
        "threads.update_definer",
        WRITER,
        "with ended as materialized (select app.finish_generation(id, 'done', '')::text as done from app.generations) select from ended where app.probe('select count(*)::text from app.threads where unread', done) = '1'",
    ),
    case(
        "imports.select_own",
        User,
        ("select from app.imports where user_id = '00000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.imports where user_id = '00000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "imports.insert_own",
        User,
        ("insert into app.imports (name) values ('x')", 1),
        ("insert into app.imports (user_id, name) values ('00000000-0000-4000-8000-00000000000b', 'x')", None),
    ),
    definer("imports.select_definer", User, IMPORTED),
    definer("imports.update_definer", User, IMPORTED),
    definer("threads.insert_definer", User, IMPORTED),
    definer("messages.insert_definer", User, IMPORTED),
    definer("threads.delete_definer", Job("sweep"), "select where app.sweep_threads() = 1"),
    case(
        "users.select_own",
        User,
        ("select from app.users where id = '00000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.users where id = '00000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "users.update_own",
        User,
        ("update app.users set display_name = 'x'", 1),
        ("update app.users set display_name = 'x'", Some(1)),
    ),
    case(
        "sessions.select_own",
        User,
        ("select from app.sessions where user_id = '00000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.sessions where user_id = '00000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "sessions.update_own",
        User,
        ("update app.sessions set revoked_at = now()", 1),
        ("update app.sessions set revoked_at = now()", Some(1)),
    ),
    case(
        "threads.select_own",
        User,
        ("select from app.threads where id = '20000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.threads where id = '20000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "threads.insert_own",
        User,
        ("insert into app.threads (client_id) values ('90000000-0000-4000-8000-000000000000')", 1),
        (
            "insert into app.threads (user_id, client_id) values ('00000000-0000-4000-8000-00000000000b', '90000000-0000-4000-8000-000000000000')",
            None,
        ),
    ),
    case(
        "threads.update_own",
        User,
        ("update app.threads set title = 'x'", 2),
        ("update app.threads set title = 'x'", Some(2)),
    ),
    case("threads.delete_own", User, ("delete from app.threads", 2), ("delete from app.threads", Some(2))),
    case(
        "messages.select_own",
        User,
        ("select from app.messages where thread_id = '20000000-0000-4000-8000-00000000000a'", 2),
        ("select from app.messages where thread_id = '20000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "messages.insert_own",
        User,
        (
            "insert into app.messages (thread_id, seq, client_id, role, content) values ('30000000-0000-4000-8000-00000000000a', 2, '90000000-0000-4000-8000-000000000000', 'user', '{\"text\": \"x\"}')",
            1,
        ),
        (
            "insert into app.messages (thread_id, user_id, seq, client_id, role, content) values ('30000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-00000000000b', 2, '90000000-0000-4000-8000-000000000000', 'user', '{\"text\": \"x\"}')",
            None,
        ),
    ),
    case(
        "messages.insert_own",
        User,
        (
            "insert into app.messages (thread_id, seq, role, content) values ('30000000-0000-4000-8000-00000000000a', 2, 'assistant', '{\"text\": \"\"}')",
            1,
        ),
        (
            "insert into app.messages (thread_id, seq, role, content) values ('30000000-0000-4000-8000-00000000000a', 2, 'assistant', '{\"text\": \"words in its mouth\"}')",
            None,
        ),
    ),
    case(
        "messages.select_generation",
        WRITER,
        ("select from app.messages where user_id = '00000000-0000-4000-8000-00000000000a'", 3),
        ("select from app.messages where user_id = '00000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "messages.update_generation",
        WRITER,
        ("update app.messages set content = '{\"text\": \"x\"}'", 2),
        ("update app.messages set content = '{\"text\": \"x\"}'", Some(2)),
    ),
    case(
        "generations.select_own",
        User,
        ("select from app.generations where user_id = '00000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.generations where user_id = '00000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "generations.insert_own",
        User,
        (
            "insert into app.generations (thread_id, message_id) values ('30000000-0000-4000-8000-00000000000a', '60000000-0000-4000-8000-00000000000a')",
            1,
        ),
        (
            "insert into app.generations (user_id, thread_id, message_id) values ('00000000-0000-4000-8000-00000000000b', '30000000-0000-4000-8000-00000000000b', '60000000-0000-4000-8000-00000000000b')",
            None,
        ),
    ),
    case(
        "generations.update_own",
        User,
        ("update app.generations set stop_asked_at = now()", 1),
        ("update app.generations set stop_asked_at = now()", Some(1)),
    ),
    case(
        "generations.select_generation",
        WRITER,
        ("select from app.generations where user_id = '00000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.generations where user_id = '00000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "generations.update_generation",
        WRITER,
        ("update app.generations set lease_until = now()", 1),
        ("update app.generations set lease_until = now()", Some(1)),
    ),
    case(
        "generation_chunks.select_own",
        User,
        ("select from app.generation_chunks where user_id = '00000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.generation_chunks where user_id = '00000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "generation_chunks.select_generation",
        WRITER,
        ("select from app.generation_chunks where user_id = '00000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.generation_chunks where user_id = '00000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "generation_chunks.insert_generation",
        WRITER,
        (
            "insert into app.generation_chunks (generation_id, user_id, n, text) values ('70000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000a', 1, 'x')",
            1,
        ),
        (
            "insert into app.generation_chunks (generation_id, user_id, n, text) values ('70000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-00000000000b', 1, 'x')",
            None,
        ),
    ),
    case(
        "generation_chunks.delete_generation",
        WRITER,
        ("delete from app.generation_chunks", 1),
        ("delete from app.generation_chunks", Some(1)),
    ),
    case(
        "branches.select_own",
        User,
        ("select from app.branches where user_id = '00000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.branches where user_id = '00000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "branches.insert_own",
        User,
        (
            "insert into app.branches (message_id, thread_id, leaf_id) values ('50000000-0000-4000-8000-00000000000a', '20000000-0000-4000-8000-00000000000a', '50000000-0000-4000-8000-00000000000a')",
            1,
        ),
        (
            "insert into app.branches (message_id, thread_id, user_id, leaf_id) values ('50000000-0000-4000-8000-00000000000b', '20000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-00000000000b', '50000000-0000-4000-8000-00000000000b')",
            None,
        ),
    ),
    case(
        "branches.update_own",
        User,
        ("update app.branches set leaf_id = '50000000-0000-4000-8000-00000000000a'", 1),
        ("update app.branches set leaf_id = '50000000-0000-4000-8000-00000000000a'", Some(1)),
    ),
    case(
        "thumbs.select_own",
        User,
        ("select from app.thumbs where user_id = '00000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.thumbs where user_id = '00000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "thumbs.insert_own",
        User,
        (
            "insert into app.thumbs (message_id, thread_id, up) values ('60000000-0000-4000-8000-00000000000a', '30000000-0000-4000-8000-00000000000a', true)",
            1,
        ),
        (
            "insert into app.thumbs (message_id, thread_id, user_id, up) values ('60000000-0000-4000-8000-00000000000b', '30000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-00000000000b', true)",
            None,
        ),
    ),
    case(
        "thumbs.update_own",
        User,
        ("update app.thumbs set up = false", 1),
        ("update app.thumbs set up = false", Some(1)),
    ),
    case("thumbs.delete_own", User, ("delete from app.thumbs", 1), ("delete from app.thumbs", Some(1))),
    case(
        "messages.update_own",
        User,
        ("update app.messages set content = '{\"text\": \"\"}', deleted_at = now()", 3),
        ("update app.messages set content = '{\"text\": \"\"}', deleted_at = now()", Some(3)),
    ),
    case(
        "messages.update_own",
        User,
        ("update app.messages set content = '{\"text\": \"\"}', deleted_at = now() where role = 'user'", 1),
        (
            "update app.messages set content = '{\"text\": \"other words\"}', deleted_at = now() where role = 'user'",
            None,
        ),
    ),
    definer(
        "users.select_definer",
        Opening,
        "select where gate.open('00000000-0000-4000-8000-00000000000a', '10000000-0000-4000-8000-00000000000a', now() + interval '1 second', null) = 'authenticated'",
    ),
    definer("users.insert_definer", Job("sign_in"), "select where app.sign_up('c@example.org', '', 'phc') is not null"),
    definer(
        "users.update_definer",
        Job("sign_in"),
        "with used as materialized (select user_id as who from app.finish_magic('magic of a@example.org')) select from used where app.probe('select count(*)::text from app.users where email_verified_at is not null and email = ''a@example.org''', who::text) = '1'",
    ),
    definer(
        "users.delete_definer",
        Job("sweep"),
        "with gone as materialized (select app.erase_next()::text as done) select from gone where app.probe('select count(*)::text from app.users where erased_at is not null', done) = '0'",
    ),
    definer(
        "credentials.delete_definer",
        Job("sign_in"),
        "with used as materialized (select app.finish_magic('magic of a@example.org')::text as done) select from used where app.probe('select count(*)::text from app.credentials', done) = '1'",
    ),
    definer(
        "sessions.delete_definer",
        Job("sweep"),
        "with swept as materialized (select app.sweep_accounts()::text as done) select from swept where app.probe('select count(*)::text from app.sessions', done) = '2'",
    ),
    definer("credentials.update_definer", User, "select where app.change_password('phc of a@example.org', 'new')"),
    definer("outgoing.select_definer", Job("mail"), "select from app.take_outgoing() where kind = 'confirm'"),
    definer("outgoing.update_definer", Job("mail"), "select from app.take_outgoing() where kind = 'confirm'"),
    definer("outgoing.insert_definer", User, "select where app.ask_my_mail('change', 'new@example.org')::text = ''"),
    definer(
        "outgoing.delete_definer",
        Job("mail"),
        "with done as materialized (select app.outgoing_done('80000000-0000-4000-8000-00000000000a')::text as done) select from done where app.probe('select count(*)::text from app.outgoing', done) = '0'",
    ),
    definer(
        "mail_tokens.select_definer",
        Job("sign_in"),
        "select from app.read_token('magic of a@example.org') where state = 'good'",
    ),
    definer(
        "mail_tokens.insert_definer",
        Job("mail"),
        "select where app.prepare_mail('80000000-0000-4000-8000-00000000000a', 'fresh') = 'confirm'",
    ),
    definer(
        "mail_tokens.update_definer",
        Job("sign_in"),
        "select from app.finish_magic('magic of b@example.org') where user_id is not null",
    ),
    definer(
        "mail_tokens.delete_definer",
        Job("sweep"),
        "with swept as materialized (select app.sweep_mail()::text as done) select from swept where app.probe('select count(*)::text from app.mail_tokens', done) = '2'",
    ),
    definer(
        "codes.select_definer",
        User,
        "select where app.link_phone('90000000-0000-4000-8000-00000000000a', 'code') = 'ok'",
    ),
    definer(
        "codes.insert_definer",
        Job("mail"),
        "with asked as materialized (select app.probe('insert into app.outgoing (id, kind, address, user_id) values (''81000000-0000-4000-8000-00000000000a'', ''code'', ''+4930123458'', ''00000000-0000-4000-8000-00000000000a'') returning kind', '') as kind) select from asked where kind = 'code' and app.prepare_code('81000000-0000-4000-8000-00000000000a', 'h')",
    ),
    definer(
        "codes.update_definer",
        User,
        "with tried as materialized (select app.link_phone('90000000-0000-4000-8000-00000000000a', 'wrong') as outcome) select from tried where outcome = 'wrong' and app.probe('select max(tries)::text from app.codes', outcome) = '1'",
    ),
    definer(
        "codes.delete_definer",
        Job("sweep"),
        "with swept as materialized (select app.sweep_codes()::text as done) select from swept where app.probe('select count(*)::text from app.codes', done) = '2'",
    ),
    definer(
        "credentials.select_definer",
        Job("sign_in"),
        "select from app.credential('b@example.org') where password_phc = 'phc of b@example.org'",
    ),
    definer(
        "credentials.insert_definer",
        Job("sign_in"),
        "select where app.sign_up('c@example.org', '', 'phc') is not null",
    ),
    definer(
        "sessions.select_definer",
        Opening,
        "select where gate.open('00000000-0000-4000-8000-00000000000a', '10000000-0000-4000-8000-00000000000a', now() + interval '1 second', null) = 'authenticated'",
    ),
    definer(
        "sessions.insert_definer",
        Job("sign_in"),
        "select where app.start_session('00000000-0000-4000-8000-00000000000a', 'h', '', '') is not null",
    ),
    definer(
        "sessions.update_definer",
        Job("sign_in"),
        "with spent as materialized (select outcome from app.rotate_session('hash of a@example.org', 'child', 'an address')) select from spent where outcome = 'ok' and app.probe('select ip from app.sessions where ip <> ''''', outcome) = 'an address'",
    ),
    definer(
        "refresh_tokens.select_definer",
        Job("sign_in"),
        "select from app.rotate_session('hash of a@example.org', 'child', '') where outcome = 'ok'",
    ),
    definer(
        "refresh_tokens.insert_definer",
        Job("sign_in"),
        "select where app.start_session('00000000-0000-4000-8000-00000000000a', 'h', '', '') is not null",
    ),
    definer(
        "refresh_tokens.update_definer",
        Job("sign_in"),
        "with spent as materialized (select outcome from app.rotate_session('hash of a@example.org', 'child', '')) select from spent where outcome = 'ok' and app.probe('select count(*)::text from app.refresh_tokens where used_at is not null', outcome) = '2'",
    ),
    definer("rate_limits.select_definer", Job("sign_in"), "select where app.take_token('k', 1, '1 hour') = 0"),
    definer("rate_limits.insert_definer", Job("sign_in"), "select where app.take_token('k', 1, '1 hour') = 0"),
    definer(
        "rate_limits.update_definer",
        Job("sign_in"),
        "with once as materialized (select app.take_token('k', 1, '1 hour') as first) select from once where first = 0 and app.probe('select (free_at > now() + interval ''59 minutes'')::text from app.rate_limits where key = ''k''', first::text) = 'true'",
    ),
    definer(
        "refresh_tokens.delete_definer",
        Job("sweep"),
        "with swept as materialized (select app.sweep_accounts()::text as done) select from swept where app.probe('select count(*)::text from app.refresh_tokens where used_at is not null', done) = '0'",
    ),
    definer(
        "rate_limits.delete_definer",
        Job("sweep"),
        "with swept as materialized (select app.sweep_accounts()::text as done) select from swept where app.probe('select count(*)::text from app.rate_limits', done) = '0'",
    ),
    definer("outbox.select_definer", Job("live"), "select where app.sequence_feed(10) = 2"),
    definer(
        "outbox.insert_definer",
        User,
        "update app.threads set title = 'x' where id = '20000000-0000-4000-8000-00000000000a'",
    ),
    definer("outbox.delete_definer", Job("live"), "select where app.sequence_feed(10) = 2"),
    definer("feed.select_definer", Job("live"), "select where (select count(*) from app.read_feed(0, 10)) = 2"),
    definer("feed.insert_definer", Job("live"), "select where app.sequence_feed(10) = 2"),
    definer(
        "feed.delete_definer",
        Job("sweep"),
        "with pruned as materialized (select app.prune_feed('1 hour')::text as done) select from pruned where app.probe('select count(*)::text from app.feed', done) = '0'",
    ),
    definer("feed_topics.select_definer", User, "select from app.my_cursor(false) where pos = 1"),
    definer(
        "feed_topics.insert_definer",
        Job("live"),
        "with moved as materialized (select app.sequence_feed(10) as n) select from moved where n = 2",
    ),
    definer(
        "feed_topics.update_definer",
        Job("live"),
        "with moved as materialized (select app.sequence_feed(10) as n) select from moved where n = 2 and app.probe('select string_agg(pos::text, '','') from app.feed_topics', n::text) = '2,2'",
    ),
    definer("feed_head.select_definer", Job("live"), "select where app.feed_end() = 2"),
    definer(
        "feed_head.update_definer",
        Job("live"),
        "with moved as materialized (select app.sequence_feed(10) as n) select from moved where n = 2 and app.probe('select pos::text from app.feed_head', n::text) = '4'",
    ),
    definer(
        "identities.select_definer",
        Job("sign_in"),
        "select where app.outside_user('issuer', 'of b@example.org', null, false) = '00000000-0000-4000-8000-00000000000b'",
    ),
    definer(
        "identities.insert_definer",
        Job("sign_in"),
        "select where app.outside_user('issuer', 'somebody new', null, true) is not null",
    ),
    definer("quotas.select_definer", User, "select where app.spend_generation(1) = 0"),
    definer("quotas.insert_definer", User, "select where app.spend_generation(1) = 0"),
    definer("quotas.update_definer", User, "select where app.spend_generation(1) = 0"),
    definer(
        "generations.select_definer",
        Job("sweep"),
        "select where (select count(*) from app.lapsed_generations()) = 2",
    ),
];

/// A function of the test alone, to look behind the wall in the middle of a statement; `after` makes it wait for what
/// has to run first.
const PROBE: &str = "create function app.probe(q text, after text) returns text language plpgsql volatile security definer as $$ declare r text; begin execute q into r; return r; end $$;
    grant execute on function app.probe(text, text) to service, authenticated, visitor;
    -- What a question of the superuser's answers after a statement of the caller's, and after its triggers.
    create function app.after(statement text, q text) returns text language plpgsql volatile as $$ begin execute statement; return app.probe(q, ''); end $$;
    grant execute on function app.after(text, text) to authenticated;";

fn all_cases() -> impl Iterator<Item = &'static Case> {
    CASES.iter().chain(tenants::CASES)
}

async fn world(db: &Db) -> PgConnection {
    let mut conn = db.superuser().await;
    conn.execute(WORLD).await.unwrap();
    conn.execute(tenants::WORLD).await.unwrap();
    conn.execute(PROBE).await.unwrap();
    conn
}

/// Runs one statement as the actor, after `first` as the superuser, and undoes both.
async fn run(conn: &mut PgConnection, actor: Actor, statement: &str, first: Option<&str>) -> Outcome {
    let mut tx = conn.begin().await.unwrap();
    if let Some(first) = first {
        tx.execute(AssertSqlSafe(first.to_owned())).await.unwrap_or_else(|e| panic!("{first}: {e}"));
    }
    let (claims, role) = match actor {
        User => (format!(r#"{{"sub": "{A}", "role": "authenticated"}}"#), Some("authenticated")),
        Owner | Member | Guest => {
            let workspace = match actor {
                Owner => "aa000000-0000-4000-8000-00000000000a",
                Member => "aa000000-0000-4000-8000-00000000000b",
                _ => "aa000000-0000-4000-8000-00000000000d",
            };
            (format!(r#"{{"sub": "{A}", "role": "authenticated", "org_id": "{workspace}"}}"#), Some("authenticated"))
        }
        Job("generation") => {
            (format!(r#"{{"sub": "{A}", "role": "service", "reason": "generation"}}"#), Some("service"))
        }
        Job(reason) => (format!(r#"{{"role": "service", "reason": "{reason}"}}"#), Some("service")),
        Visitor => (
            r#"{"role": "visitor", "visitor": "b4000000-0000-4000-8000-00000000000a", "org_id": "aa000000-0000-4000-8000-00000000000a"}"#.to_owned(),
            Some("visitor"),
        ),
        Opening => (String::new(), None),
    };
    sqlx::query("select set_config('request.jwt.claims', $1, true)").bind(claims).execute(&mut *tx).await.unwrap();
    if let Some(role) = role {
        tx.execute(AssertSqlSafe(format!("set local role {role}"))).await.unwrap();
    }
    let outcome = match tx.execute(AssertSqlSafe(statement.to_owned())).await {
        Ok(done) => Outcome::Rows(done.rows_affected()),
        Err(sqlx::Error::Database(error)) => Outcome::Refused(error.code().unwrap_or_default().into_owned()),
        Err(other) => panic!("{statement}: {other}"),
    };
    tx.rollback().await.unwrap();
    outcome
}

#[tokio::test]
async fn every_policy_allows_what_it_is_for_and_nothing_of_somebody_else() {
    let db = Db::new().await;
    let mut conn = world(&db).await;
    for case in all_cases() {
        let (statement, rows) = case.allow;
        assert_eq!(
            run(&mut conn, case.actor, statement, None).await,
            Outcome::Rows(rows),
            "{}: {statement}",
            case.policy
        );
        if let Some((statement, rows)) = case.deny {
            let expected = rows.map_or_else(refused, Outcome::Rows);
            assert_eq!(run(&mut conn, case.denied, statement, None).await, expected, "{}: {statement}", case.policy);
        }
    }
}

#[tokio::test]
async fn an_allow_case_turns_red_when_its_policy_is_dropped_and_a_deny_case_when_it_is_widened() {
    let mut noticed: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    let db = Db::new().await;
    let mut conn = world(&db).await;
    for case in all_cases() {
        let (table, policy) = case.policy.split_once('.').unwrap();
        let (statement, rows) = case.allow;
        let drop = format!("drop policy {policy} on app.{table}");
        assert_ne!(
            run(&mut conn, case.actor, statement, Some(&drop)).await,
            Outcome::Rows(rows),
            "{} is needed by nothing that is tested",
            case.policy
        );
        if let Some((statement, rows)) = case.deny {
            let expected = rows.map_or_else(refused, Outcome::Rows);
            let (verb, checks): (String, bool) = sqlx::query_as(
                "select cmd, with_check is not null from pg_policies where schemaname = 'app' and tablename = $1 and policyname = $2",
            )
            .bind(table)
            .bind(policy)
            .fetch_one(&mut conn)
            .await
            .unwrap();
            let clauses: &[&str] = match (verb.as_str(), checks) {
                ("INSERT", _) => &["with check (true)"],
                ("UPDATE", true) => &["using (true)", "with check (true)"],
                _ => &["using (true)"],
            };
            for clause in clauses {
                let widen = format!("alter policy {policy} on app.{table} {clause}");
                let seen = run(&mut conn, case.denied, statement, Some(&widen)).await != expected;
                *noticed.entry((case.policy, *clause)).or_default() |= seen;
            }
        }
    }
    for ((policy, clause), seen) in noticed {
        assert!(seen, "{policy} could be widened to {clause} and nothing would notice");
    }
}

#[tokio::test]
async fn there_is_a_case_for_every_policy() {
    let db = Db::new().await;
    let mut conn = db.superuser().await;
    let policies: BTreeSet<String> = sqlx::query_scalar("select tablename || '.' || policyname from pg_policies")
        .fetch_all(&mut conn)
        .await
        .unwrap()
        .into_iter()
        .collect();
    let cases: BTreeSet<String> = all_cases().map(|c| c.policy.to_owned()).collect();
    assert_eq!(policies, cases);
}

#[tokio::test]
async fn what_a_table_refuses_is_refused_to_every_request_role() {
    let db = Db::new().await;
    let mut conn = world(&db).await;
    let tables = sqlx::query("select c.relname, coalesce(obj_description(c.oid), '') as note from pg_class c where c.relnamespace = 'app'::regnamespace and c.relkind = 'r'")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert!(tables.len() >= 11);
    for table in tables {
        let (name, note): (String, String) = (table.get(0), table.get(1));
        let written: BTreeSet<&str> =
            note.split_once("refused: ").map(|(_, verbs)| verbs.split(", ").collect()).unwrap_or_default();
        for (verb, statement) in [
            ("select", format!("select from app.{name}")),
            ("insert", format!("insert into app.{name} default values")),
            ("update", format!("update app.{name} set {} = null", column(&mut conn, &name).await)),
            ("delete", format!("delete from app.{name}")),
        ] {
            let policy: bool = sqlx::query_scalar("select exists (select from pg_policies where tablename = $1 and cmd = upper($2) and 'authenticated' = any(roles))")
                .bind(&name)
                .bind(verb)
                .fetch_one(&mut conn)
                .await
                .unwrap();
            assert_eq!(policy, !written.contains(verb), "{name}: {verb} needs a policy or a written refusal");
            if !policy {
                assert_eq!(run(&mut conn, User, &statement, None).await, refused(), "{statement}");
            }
            let visited: bool = sqlx::query_scalar("select exists (select from pg_policies where tablename = $1 and cmd = upper($2) and 'visitor' = any(roles))")
                .bind(&name)
                .bind(verb)
                .fetch_one(&mut conn)
                .await
                .unwrap();
            for role in ["anon", "visitor"] {
                if visited && role == "visitor" {
                    continue;
                }
                let first = format!("grant usage on schema app to {role}; set local role {role}");
                assert_eq!(run(&mut conn, Opening, &statement, Some(&first)).await, refused(), "{role}: {statement}");
            }
            for login in ["moat_user", "moat_service", "moat_visitor"] {
                let mut outside = db.connect(login).await;
                let error = outside.execute(AssertSqlSafe(statement.clone())).await.unwrap_err();
                assert_eq!(
                    error.as_database_error().unwrap().code().as_deref(),
                    Some("42501"),
                    "{login} outside a lane: {statement}"
                );
            }
        }
    }
}

async fn column(conn: &mut PgConnection, table: &str) -> String {
    sqlx::query_scalar(
        "select attname::text from pg_attribute where attrelid = ('app.' || $1)::regclass and attnum = 2",
    )
    .bind(table)
    .fetch_one(conn)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_row_cannot_be_hung_under_somebody_elses_nor_moved_to_them() {
    let db = Db::new().await;
    let mut conn = world(&db).await;
    let under = |thread: &str| {
        format!(
            "insert into app.messages (thread_id, seq, client_id, role, content) values ('{thread}', 9, gen_random_uuid(), 'user', '{{\"text\": \"x\"}}')"
        )
    };
    let foreign = run(&mut conn, User, &under("20000000-0000-4000-8000-00000000000b"), None).await;
    let nothing = run(&mut conn, User, &under("29999999-0000-4000-8000-00000000000b"), None).await;
    assert_eq!(foreign, Outcome::Refused("23503".into()));
    assert_eq!(foreign, nothing, "the answer tells that the thread exists");
    for table in ["threads", "messages", "generations", "sessions"] {
        let moved = run(&mut conn, User, &format!("update app.{table} set user_id = '{B}'"), None).await;
        assert_eq!(moved, refused(), "{table}");
    }
    // An id that somebody else uses is free for A: no constraint tells of it.
    let taken = run(
        &mut conn,
        User,
        "insert into app.threads (id, client_id) values ('20000000-0000-4000-8000-00000000000b', gen_random_uuid())",
        None,
    )
    .await;
    assert_eq!(taken, Outcome::Rows(1));
}

#[tokio::test]
async fn a_lane_for_one_reason_cannot_do_the_work_of_another() {
    let db = Db::new().await;
    let mut conn = world(&db).await;
    for (reason, statement) in [
        ("live", "select app.sign_up('c@example.org', '', 'phc')"),
        ("live", "select * from app.credential('a@example.org')"),
        ("sweep", "select app.start_session('00000000-0000-4000-8000-00000000000b', 'h', '', '')"),
        ("generation", "select * from app.rotate_session('hash of a@example.org', 'c', '')"),
        ("generation", "select * from app.read_feed(0, 10)"),
        ("sign_in", "select app.sequence_feed(10)"),
        ("sign_in", "select app.prune_feed('1 hour')"),
        ("sign_in", "select * from app.lapsed_generations()"),
        ("sign_in", "select * from app.take_outgoing()"),
        ("sign_in", "select app.prepare_mail('80000000-0000-4000-8000-00000000000a', 'h')"),
        ("sign_in", "select app.prepare_code('80000000-0000-4000-8000-00000000000a', 'h')"),
        ("sign_in", "select app.outgoing_done('80000000-0000-4000-8000-00000000000a')"),
        ("sign_in", "select app.sweep_mail()"),
        ("sign_in", "select app.sweep_codes()"),
        ("sign_in", "select app.erase_next()"),
        ("mail", "select app.ask_mail('reset', 'a@example.org', null)"),
        ("mail", "select app.ask_code(gen_random_uuid(), '+4930123456')"),
        ("mail", "select * from app.read_token('magic of a@example.org')"),
        ("mail", "select * from app.finish_sign_up('h')"),
        ("mail", "select app.finish_magic('magic of a@example.org')"),
        ("mail", "select app.finish_reset('h', 'phc')"),
        ("mail", "select app.hold_password('00000000-0000-4000-8000-00000000000a', 'phc')"),
        ("mail", "select app.give_token('k', '1 hour')"),
        ("mail", "select app.signed_in_from('a@example.org', '::1')"),
        ("mail", "select app.finish_code(gen_random_uuid(), 'h')"),
        ("mail", "select app.credential_of('00000000-0000-4000-8000-00000000000a')"),
        ("mail", "select app.time_zone_of('00000000-0000-4000-8000-00000000000a')"),
        ("live", "select app.take_token('k', 1, '1 hour')"),
        ("live", "select app.sweep_accounts()"),
        ("live", "select app.sweep_workspaces()"),
        ("mail", "select app.read_invitation('to a', null)"),
        ("sign_in", "select app.operate('a@example.org', 'banned', true)"),
        ("operate", "select app.note_misses('[]')"),
        ("sweep", "select app.take_domain()"),
        ("sign_in", "select app.domain_checked('a3000000-0000-4000-8000-00000000000b', 'of b', true)"),
        ("domains", "select app.admit('00000000-0000-4000-8000-00000000000b', null, false)"),
        ("domains", "select app.admit_invited('00000000-0000-4000-8000-00000000000b', 'to a')"),
        ("denials", "select app.audit_chains(null, 1)"),
        ("denials", "select app.audit_chain(gen_random_uuid(), 0, 1)"),
        ("mail", "select app.accept_as_new('to a', 'phc')"),
        ("live", "select app.outside_user('issuer', 'of a@example.org', null, false)"),
    ] {
        assert_eq!(run(&mut conn, Job(reason), statement, None).await, refused(), "{reason}: {statement}");
    }
    for statement in ["select from app.messages", "select from app.generations", "select from app.generation_chunks"] {
        for reason in ["sign_in", "live", "sweep", "mail"] {
            assert_eq!(run(&mut conn, Job(reason), statement, None).await, Outcome::Rows(0), "{reason}: {statement}");
        }
    }
    for statement in [
        "select app.tell('00000000-0000-4000-8000-00000000000a', 'x', '{}')",
        "select app.sign_up('c@example.org', '', 'phc')",
        "select app.read_feed(0, 10)",
        "select app.outside_user('issuer', 'of b@example.org', null, false)",
        "select app.spend_token('magic of b@example.org', array['magic'])",
        "select app.leave_mailbox_alone('00000000-0000-4000-8000-00000000000b')",
        "select app.spend_tokens_of('00000000-0000-4000-8000-00000000000b')",
        "select app.try_code('90000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-00000000000b', 'code')",
        "select app.credential_of('00000000-0000-4000-8000-00000000000a')",
        "select app.join_by('to d', '00000000-0000-4000-8000-00000000000d')",
        "select app.read_invitation('to a', null)",
        "select app.operate('a@example.org', null, true)",
        "select app.note_misses('[]')",
        "select app.domain_checked('a3000000-0000-4000-8000-00000000000a', 'of a', true)",
        "update app.workspace_domains set verified_at = now()",
        "insert into app.workspace_domains (domain, token) values ('x.example', 'known')",
        "select app.admit('00000000-0000-4000-8000-00000000000a', array['example.org'], true)",
        "select app.domain_for('00000000-0000-4000-8000-00000000000b')",
        "select app.enter_by_domain('00000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000b')",
        "select app.fill_bucket('k', 1, '1 hour')",
        "select app.audit_label('00000000-0000-4000-8000-00000000000b', null, null, null)",
        "select app.audit_chains(null, 1)",
        "update app.users set superuser = true",
        "update app.users set status = 'banned'",
        "select app.make_personal('00000000-0000-4000-8000-00000000000a')",
        "select app.has_other_owner('aa000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000a')",
    ] {
        assert_eq!(run(&mut conn, User, statement, None).await, refused(), "{statement}");
    }
}
