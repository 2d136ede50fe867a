use super::model::{
    COUNT_MAX, Conversation, Counts, Held, MESSAGES_PAGE, Narrow, QUEUE_PAGE, Queue, QueueRow, Said, View, client_of,
    customer,
};
use crate::{
    bot::model::Source,
    desks,
    error::AppError,
    later, live,
    replies::{
        self,
        model::{Reply, filled_in},
    },
    server::lanes::{ServiceLane, UserLane},
    threads::{markdown, snippet},
    types::{
        ClientId, ConversationId, ConversationRole, ConversationStatus, MemberId, MessageId, PlaceId, UserId, ViewId,
    },
    workspaces::model::{bad_cursor, cursor, place_of},
};

/// A line of the queue as it is read.
#[derive(sqlx::FromRow)]
struct Row {
    id: ConversationId,
    name: String,
    email: String,
    said: Option<String>,
    status: ConversationStatus,
    priority: i16,
    waiting: Option<i64>,
    agent: Option<String>,
    mine: bool,
    key: String,
    labels: Vec<String>,
    unread: bool,
    due: Option<i64>,
    seq: i64,
}

/// What the customer said last: what somebody who looks for work goes by, whoever has answered since.
macro_rules! last_words {
    () => {
        "case when last.role = 'customer' then last.text else coalesce((
           select left(m.content ->> 'text', 160) from app.conversation_messages m
            where m.conversation_id = t.id and m.role = 'customer' order by m.seq desc limit 1), last.text) end"
    };
}

/// Lines from `$from`, those of which `$which` holds, as `$order` says. What they are narrowed to is $5 to $9.
macro_rules! lines {
    ($said:expr, $key:literal, $from:literal, $which:literal, $order:literal) => {
        concat!(
            "select t.id, t.customer_name as name, t.customer_email as email, ",
            $said,
            " as said, t.status, t.priority, extract(epoch from now() - t.waiting_since)::bigint as waiting, a.name as agent,
                    coalesce(t.claimed_by = (select auth.uid()), false) as mine, ",
            $key,
            " as key, t.labels, coalesce(last.seq > coalesce(r.seq, 0), false) as unread,
                    extract(epoch from t.due_at - now())::bigint as due, coalesce(last.seq, 0) as seq
               from ",
            $from,
            " left join app.agents a on a.user_id = t.claimed_by
               left join app.readings r on r.conversation_id = t.id and r.user_id = (select auth.uid())
               left join lateral (
                 select m.seq, m.role, left(m.content ->> 'text', 160) as text from app.conversation_messages m
                  where m.conversation_id = t.id and m.role in ('customer', 'bot', 'agent') order by m.seq desc limit 1) last on true
              where ",
            $which,
            " and ($5 = '' or $5 = any(t.labels)) and ($6::smallint is null or t.priority = $6)
                and ($7::uuid is null or t.claimed_by = (select x.user_id from app.workspace_members x where x.id = $7))
                and ($8 = '' or t.channel = $8) and ($9::int is null or t.waiting_since <= now() - make_interval(mins => $9))
              order by ",
            $order,
            " limit $4"
        )
    };
}

/// Those of a view, by what was said last. One text for each, so that each is asked of its own index.
macro_rules! listed {
    ($which:literal) => {
        lines!(
            last_words!(),
            "(extract(epoch from t.active_at) * 1000000)::bigint::text",
            "app.conversations t",
            $which,
            "t.active_at desc, t.id desc"
        )
    };
}

const WAITING: &str = lines!(
    last_words!(),
    "t.priority || ':' || (extract(epoch from t.waiting_since) * 1000000)::bigint",
    "app.conversations t",
    "t.status = 'waiting'
       and ($2::smallint is null or t.priority < $2
            or (t.priority = $2 and (t.waiting_since, t.id) > (to_timestamp($1::bigint / 1000000.0), $3)))",
    "t.priority desc, t.waiting_since, t.id"
);
const MINE: &str = listed!(
    "t.claimed_by = (select auth.uid()) and $2::smallint is null
       and ($1::bigint is null or (t.active_at, t.id) < (to_timestamp($1 / 1000000.0), $3))"
);
const OPEN: &str = listed!(
    "t.status in ('bot', 'waiting', 'claimed') and $2::smallint is null
       and ($1::bigint is null or (t.active_at, t.id) < (to_timestamp($1 / 1000000.0), $3))"
);
const SNOOZED: &str = listed!(
    "t.status = 'snoozed' and $2::smallint is null
       and ($1::bigint is null or (t.active_at, t.id) < (to_timestamp($1 / 1000000.0), $3))"
);
const RESOLVED: &str = listed!(
    "t.status = 'resolved' and $2::smallint is null
       and ($1::bigint is null or (t.active_at, t.id) < (to_timestamp($1 / 1000000.0), $3))"
);
const MENTIONS: &str = listed!(
    "t.id in (select x.conversation_id from app.readings x where x.user_id = (select auth.uid()) and x.mentioned > x.seq)
       and $2::smallint is null and ($1::bigint is null or (t.active_at, t.id) < (to_timestamp($1 / 1000000.0), $3))"
);
const DUE: &str = lines!(
    last_words!(),
    "(extract(epoch from t.due_at) * 1000000)::bigint::text",
    "app.conversations t",
    "t.due_at is not null and $2::smallint is null
       and ($1::bigint is null or (t.due_at, t.id) > (to_timestamp($1 / 1000000.0), $3))",
    "t.due_at, t.id"
);
/// $10: the words, $11: how many are looked for before they are narrowed.
const FOUND: &str = lines!(
    "coalesce(left(h.content ->> 'text', 200000), last.text)",
    "''",
    "app.search_conversations($10, $11) with ordinality s(conversation_id, message_id, n)
       join app.conversations t on t.id = s.conversation_id
       left join app.conversation_messages h on h.id = s.message_id and h.conversation_id = t.id",
    "$1::bigint is null and $2::smallint is null and $3::uuid is null",
    "s.n"
);

/// A page of a view, with the counts of all of them. Those that wait come in the order in which they are taken, the others by
/// what was said last, and what was searched for by what fits best: the first 50.
pub async fn queue(lane: &mut UserLane, view: View, narrow: &Narrow, after: Option<&str>) -> Result<Queue, AppError> {
    let pos = live::sql::cursor(lane, true).await?.pos;
    let searching = !narrow.words.trim().is_empty();
    let (key, id) = place_of::<ConversationId>(after.filter(|_| !searching))?;
    // Times that a database has: nobody was given others.
    let number =
        |text: &str| text.parse::<i64>().ok().filter(|n| (0..=i64::pow(10, 17)).contains(n)).ok_or_else(bad_cursor);
    let (urgency, time) = match key.as_deref() {
        None => (None, None),
        Some(key) if view == View::Waiting => {
            let (urgency, time) = key.split_once(':').ok_or_else(bad_cursor)?;
            (Some(number(urgency)? as i16), Some(number(time)?))
        }
        Some(key) => (None, Some(number(key)?)),
    };
    let text = match view {
        _ if searching => FOUND,
        View::Mine => MINE,
        View::Waiting => WAITING,
        View::Open => OPEN,
        View::Snoozed => SNOOZED,
        View::Resolved => RESOLVED,
        View::Mentions => MENTIONS,
        View::Due => DUE,
    };
    // What is no number or id narrows to nothing that anybody could have chosen: it is left out.
    let query = sqlx::query_as(text)
        .bind(time)
        .bind(urgency)
        .bind(id)
        .bind(QUEUE_PAGE as i64 + 1)
        .bind(&narrow.label)
        .bind(narrow.priority.parse::<i16>().ok())
        .bind(narrow.agent.parse::<MemberId>().ok())
        .bind(&narrow.channel)
        .bind(narrow.minutes.parse::<i32>().ok().filter(|minutes| (0..=525_600).contains(minutes)));
    let narrowed = narrow.fields().len() > 1;
    let most = if narrowed { 1000 } else { QUEUE_PAGE as i32 + 1 };
    let query = if searching { query.bind(&narrow.words).bind(most) } else { query };
    let mut rows: Vec<Row> = query.fetch_all(lane.conn()).await?;
    let more = rows.len() > QUEUE_PAGE && !searching;
    rows.truncate(QUEUE_PAGE);
    let next = rows.last().filter(|_| more).map(|row| cursor(&row.key, row.id));
    let terms = snippet::terms(&narrow.words);
    let rows = rows.into_iter().map(|row| row.shown(&terms)).collect();
    let Desks { counts, open, agent, away, saved, agents, labels } = desks(lane).await?;
    Ok(Queue { rows, counts, next, open, agent, away, saved, agents, labels, pos })
}

impl Row {
    fn shown(self, terms: &[snippet::Term]) -> QueueRow {
        let said = self.said.unwrap_or_default();
        QueueRow {
            id: self.id,
            customer: customer(&self.name, &self.email),
            said: if terms.is_empty() { vec![(false, said)] } else { snippet::snippet(&said, terms) },
            status: self.status,
            priority: self.priority,
            waiting: self.waiting,
            agent: self.agent,
            mine: self.mine,
            labels: self.labels,
            unread: self.unread,
            due: self.due,
            seq: self.seq,
        }
    }
}

/// What stands around the queue.
struct Desks {
    counts: Counts,
    open: bool,
    agent: bool,
    away: bool,
    saved: Vec<(ViewId, String, String)>,
    agents: Vec<(MemberId, String)>,
    labels: Vec<String>,
}

/// How many there are in each view, whether there is a desk, whether the caller answers there, and what lists can be narrowed to.
async fn desks(lane: &mut UserLane) -> Result<Desks, AppError> {
    type Found = (
        (i64, i64, i64, i64, i64, i64, i64, i64, i64),
        bool,
        Option<bool>,
        Vec<(ViewId, String, String)>,
        Vec<(MemberId, String)>,
        Vec<String>,
    );
    let found: sqlx::types::Json<Found> = sqlx::query_scalar(
        "select jsonb_build_array(
           jsonb_build_array(
             (select count(*) from app.conversations t where t.claimed_by = (select auth.uid())),
             (select count(*) from (select from app.conversations t where t.status = 'waiting' limit $1) few),
             (select count(*) from (select from app.conversations t where t.status in ('bot', 'waiting', 'claimed') limit $1) few),
             (select count(*) from (select from app.conversations t where t.status = 'snoozed' limit $1) few),
             (select count(*) from (select from app.readings r where r.user_id = (select auth.uid()) and r.mentioned > r.seq limit $1) few),
             (select count(*) from (select from app.conversations t where t.due_at < now() limit $1) few),
             (select count(*) from app.conversations t where t.claimed_by = (select auth.uid()) and t.waiting_since is not null),
             -- What began to wait last was said last, as a rule: fifty are enough, where thousands wait.
             (select coalesce(max(extract(epoch from n.waiting_since) * 1000), 0)::bigint from (
                select t.waiting_since from app.conversations t where t.status = 'waiting' order by t.active_at desc, t.id desc limit 50) n),
             (select coalesce(max(extract(epoch from t.waiting_since) * 1000), 0)::bigint from app.conversations t where t.claimed_by = (select auth.uid()))),
           exists (select from app.desks d),
           (select a.available from app.agents a where a.user_id = (select auth.uid())),
           (select coalesce(jsonb_agg(jsonb_build_array(v.id, v.name, v.query) order by v.name), '[]')
              from (select x.id, x.name, x.query from app.saved_views x order by x.name limit 50) v),
           (select coalesce(jsonb_agg(jsonb_build_array(n.id, n.name) order by lower(n.name)), '[]') from (
              select m.id, a.name from app.agents a join app.workspace_members m on m.user_id = a.user_id and m.workspace_id = a.workspace_id
               limit 200) n),
           (select coalesce(jsonb_agg(distinct l.label), '[]') from (
              select unnest(x.labels) as label from (
                select t.labels from app.conversations t where t.status in ('bot', 'waiting', 'claimed')
                 order by t.active_at desc, t.id desc limit 300) x) l))",
    )
    .bind(COUNT_MAX)
    .fetch_one(lane.conn())
    .await?;
    let ((mine, waiting, open, snoozed, mentions, late, owed, new, own), desk, here, saved, agents, labels) = found.0;
    let counts = Counts { mine, waiting, open, snoozed, mentions, late, owed, newest: (new, own) };
    Ok(Desks { counts, open: desk, agent: here.is_some(), away: here == Some(false), saved, agents, labels })
}

type Line = (
    MessageId,
    i64,
    ConversationRole,
    String,
    String,
    String,
    Option<bool>,
    ClientId,
    Option<sqlx::types::Json<Vec<Source>>>,
    bool,
    bool,
);

/// A conversation with its newest messages, or those before one.
pub async fn conversation(
    lane: &mut UserLane,
    id: ConversationId,
    before: Option<i64>,
    zone: &str,
) -> Result<Conversation, AppError> {
    #[derive(sqlx::FromRow)]
    struct Head {
        name: String,
        email: String,
        status: ConversationStatus,
        agent: Option<String>,
        mine: bool,
        blocked: bool,
        visitor: bool,
        bot: bool,
        asked: bool,
        subject: String,
        priority: i16,
        labels: Vec<String>,
        rating: Option<i16>,
        rating_words: String,
        desk: String,
        me: String,
        due: Option<i64>,
        undo: i32,
        merged: Option<ConversationId>,
        manages: bool,
        until: String,
        keeper: Option<String>,
    }
    let head: Head =
        sqlx::query_as(
            "select t.customer_name as name, t.customer_email as email, t.status, coalesce(a.name, m.name, '') as agent,
                    coalesce(t.claimed_by = (select auth.uid()), false) as mine,
                    exists (select from app.visitors v where v.id = t.visitor_id and v.blocked_at is not null) as blocked, t.visitor_id is not null as visitor,
                    t.handovers < 2 and t.bot_user_id is not null and exists (select from app.desks d where d.bot) as bot,
                    coalesce(t.asked_by = (select auth.uid()), false) as asked, t.subject, t.priority, t.labels, t.rating, t.rating_words, coalesce((select d.name from app.desks d), '') as desk,
                    app.my_name(t.workspace_id) as me, extract(epoch from t.due_at - now())::bigint as due,
                    coalesce((select d.undo_seconds from app.desks d), 0) as undo, t.merged_into as merged,
                    (select app.managed_org()) is not null as manages,
                    coalesce(to_char(t.snoozed_until at time zone (select app.zone($2)), 'FMDD Mon, HH24:MI'), '') as until,
                    case when t.kept_for = (select auth.uid()) then 'you' else (select k.name from app.agents k where k.user_id = t.kept_for) end as keeper
               from app.conversations t
               left join app.agents a on a.user_id = t.claimed_by
               left join app.workspace_members m on m.user_id = t.claimed_by
              where t.id = $1",
        )
        .bind(id)
        .bind(zone)
        .fetch_one(lane.conn())
        .await?;
    let mut messages: Vec<Said> = sqlx::query_as(
        "select m.id, m.seq, m.role, m.author_name, m.content ->> 'text',
                to_char(m.created_at at time zone (select app.zone($3)),
                        case when (m.created_at at time zone (select app.zone($3)))::date = (now() at time zone (select app.zone($3)))::date then 'HH24:MI' else 'FMDD Mon, HH24:MI' end), m.author_id = (select auth.uid()),
                m.client_id, m.content -> 'sources', m.content ? 'draft', m.content ? 'late'
           from app.conversation_messages m
          where m.conversation_id = $1 and ($2::bigint is null or m.seq < $2) order by m.seq desc limit $4",
    )
    .bind(id)
    .bind(before)
    .bind(zone)
    .bind(MESSAGES_PAGE)
    .fetch_all(lane.conn())
    .await?
    .into_iter()
    .map(|(id, seq, role, author, text, at, mine, client, sources, draft, late): Line| Said {
        id,
        seq,
        role,
        author,
        html: if role == ConversationRole::Bot { markdown::to_html(&text) } else { markdown::linked(&text) },
        text,
        at,
        mine: mine.unwrap_or_default(),
        client: Some(client).filter(|_| mine == Some(true)),
        sources: sources.map(|json| json.0).unwrap_or_default(),
        draft,
        late,
    })
    .collect();
    let seen = messages.first().map_or(0, |message| message.seq);
    messages.reverse();
    let earlier = messages.first().map(|message| message.seq).filter(|seq| *seq > 1);
    let colleagues = desks::sql::colleagues(lane).await?;
    let customer = customer(&head.name, &head.email);
    let looking = sqlx::query_as(
        "select coalesce(a.name, nullif(m.name, ''), split_part(m.email, '@', 1)), r.typing_until > now()
           from app.readings r join app.workspace_members m on m.user_id = r.user_id and m.workspace_id = r.workspace_id
           left join app.agents a on a.user_id = r.user_id and a.workspace_id = r.workspace_id
          where r.conversation_id = $1 and r.looking_until > now() and r.user_id <> (select auth.uid())
          order by m.sort_name, m.id limit 20",
    )
    .bind(id)
    .fetch_all(lane.conn())
    .await?;
    let turn = turn(lane, id, seen).await?;
    let replies = replies::sql::replies(lane)
        .await?
        .into_iter()
        .map(|r| Reply {
            text: filled_in(&r.text, &head.name, &head.me, &head.desk),
            client: Some(client_of(id, r.id.0, turn)),
            ..r
        })
        .collect();
    #[derive(sqlx::FromRow)]
    struct Other {
        #[sqlx(flatten)]
        row: Row,
        joined: bool,
    }
    let others: Vec<Other> = if head.email.is_empty() {
        Vec::new()
    } else {
        sqlx::query_as(
            "select t.id, t.customer_name as name, t.customer_email as email, coalesce(nullif(t.subject, ''), (
                      select left(m.content ->> 'text', 80) from app.conversation_messages m
                       where m.conversation_id = t.id and m.role = 'customer' order by m.seq desc limit 1)) as said, t.status, t.priority,
                    null::bigint as waiting, null::text as agent, false as mine, '' as key, t.labels, false as unread,
                    null::bigint as due, t.last_seq as seq,
                    t.status = 'resolved' and t.merged_into is not distinct from $2 as joined
               from app.conversations t where t.customer_email = $1 and t.id <> $2 order by t.active_at desc, t.id desc limit 20",
        )
        .bind(&head.email)
        .bind(id)
        .fetch_all(lane.conn())
        .await?
    };
    let later = later::sql::of(lane, id, zone).await?;
    Ok(Conversation {
        id,
        customer,
        known: head.name,
        email: head.email,
        status: head.status,
        agent: head.agent.filter(|_| head.status == ConversationStatus::Claimed),
        mine: head.mine,
        blocked: head.blocked,
        visitor: head.visitor,
        bot: head.bot,
        messages,
        earlier,
        seen,
        colleagues,
        subject: head.subject,
        asked: head.asked,
        priority: head.priority,
        labels: head.labels,
        rating: head.rating.map(|rating| (rating > 0, head.rating_words)),
        looking,
        replies,
        others: others.into_iter().map(|other| (other.row.shown(&[]), other.joined)).collect(),
        due: head.due,
        until: head.until,
        keeper: head.keeper.filter(|_| head.status == ConversationStatus::Snoozed),
        later,
        undo: head.undo,
        merged: head.merged,
        manages: head.manages,
    })
}

/// Takes this one. `Some`: who has it already.
pub async fn take(lane: &mut UserLane, id: ConversationId) -> Result<Option<UserId>, AppError> {
    Ok(sqlx::query_scalar("select app.take_conversation($1)").bind(id).fetch_one(lane.conn()).await?)
}

/// Takes the one that has waited longest among the most urgent; under an id that was used for that already, the one of then.
pub async fn take_next(lane: &mut UserLane, client: ClientId) -> Result<Option<ConversationId>, AppError> {
    Ok(sqlx::query_scalar("select app.take_next($1)").bind(client).fetch_one(lane.conn()).await?)
}

/// Sends an answer, or keeps a note. `seen` is the newest message that its writer had before them.
pub async fn answer(
    lane: &mut UserLane,
    id: ConversationId,
    client: ClientId,
    text: &str,
    seen: i64,
    note: bool,
) -> Result<Result<MessageId, Held>, AppError> {
    let (stored, held): (Option<MessageId>, Option<String>) =
        sqlx::query_as("select message_id, held from app.answer_conversation($1, $2, $3, $4, $5)")
            .bind(id)
            .bind(client)
            .bind(text)
            .bind(seen)
            .bind(note)
            .fetch_one(lane.conn())
            .await?;
    Ok(stored.ok_or_else(|| Held::of(held.as_deref().unwrap_or_default())))
}

/// Resolves it, puts it off for some seconds or until a reply, or gives it back. `Some`: why not. `seen` as for an answer.
pub async fn set(
    lane: &mut UserLane,
    id: ConversationId,
    status: ConversationStatus,
    seconds: Option<f64>,
    seen: i64,
) -> Result<Result<bool, Held>, AppError> {
    let (held, done): (Option<String>, bool) =
        sqlx::query_as("select held, done from app.set_conversation($1, $2, now() + make_interval(secs => $3), $4)")
            .bind(id)
            .bind(status)
            .bind(seconds)
            .bind(seen)
            .fetch_one(lane.conn())
            .await?;
    Ok(held.map_or(Ok(done), |held| Err(Held::of(&held))))
}

/// The next one that waits, where there is one and room for it.
pub async fn go_on(lane: &mut UserLane) -> Result<Option<ConversationId>, AppError> {
    Ok(sqlx::query_scalar("select app.go_on()").fetch_one(lane.conn()).await?)
}

/// What a reply of the caller's to what they have seen is told apart by ([`client_of`]): who, the newest that anybody has said of it, and
/// how many answers they have taken back here, of those that are remembered. Not a line that says who took it: one's own comes with the
/// first click, and a second one would say it again.
pub async fn turn(lane: &mut UserLane, id: ConversationId, seen: i64) -> Result<(UserId, i64, i64), AppError> {
    let (said, taken_back) = sqlx::query_as(
        "select (select coalesce(max(m.seq), 0) from app.conversation_messages m
                  where m.conversation_id = $1 and m.seq <= $2 and m.role <> 'system'),
                (select count(*) from app.later_answers l
                  where l.conversation_id = $1 and l.user_id = (select auth.uid()) and l.taken_back_at is not null)",
    )
    .bind(id)
    .bind(seen)
    .fetch_one(lane.conn())
    .await?;
    Ok((lane.user(), said, taken_back))
}

/// With a note for whoever gets it, which may be empty; under the same id it is stored once.
pub async fn hand(
    lane: &mut UserLane,
    id: ConversationId,
    member: MemberId,
    (client, note): (ClientId, &str),
) -> Result<(), AppError> {
    sqlx::query("select app.hand_conversation($1, $2, $3, $4)")
        .bind(id)
        .bind(member)
        .bind(client)
        .bind(note)
        .execute(lane.conn())
        .await?;
    Ok(())
}

/// Desks that the caller can ask: the place, the workspace and the desk by name. From a lane that is in no workspace.
pub async fn my_desks(lane: &mut UserLane) -> Result<Vec<(PlaceId, String, String)>, AppError> {
    Ok(sqlx::query_as("select d.place, d.workspace, d.desk from app.my_desks() d").fetch_all(lane.conn()).await?)
}

/// A conversation of the caller's at the desk of that place, with words that they said (`true`) or read.
pub async fn escalate(
    lane: &mut UserLane,
    place: PlaceId,
    client: ClientId,
    said: &[(bool, String)],
) -> Result<ConversationId, AppError> {
    let said: Vec<(&str, &str)> =
        said.iter().map(|(mine, text)| (if *mine { "customer" } else { "bot" }, text.as_str())).collect();
    Ok(sqlx::query_scalar("select app.escalate($1, $2, $3)")
        .bind(place)
        .bind(client)
        .bind(sqlx::types::Json(said))
        .fetch_one(lane.conn())
        .await?)
}

/// Whoever asked says more.
pub async fn ask_on(lane: &mut UserLane, id: ConversationId, client: ClientId, text: &str) -> Result<(), AppError> {
    sqlx::query("select app.ask_on($1, $2, $3)").bind(id).bind(client).bind(text).execute(lane.conn()).await?;
    Ok(())
}

/// The caller has read up to `seen`, looks at it and may be typing; `None`: they look at it no longer.
pub async fn look(lane: &mut UserLane, id: ConversationId, seen: i64, typing: Option<bool>) -> Result<(), AppError> {
    sqlx::query("select app.look_at($1, $2, $3, $4)")
        .bind(id)
        .bind(seen)
        .bind(typing.unwrap_or_default())
        .bind(typing.is_none())
        .execute(lane.conn())
        .await?;
    Ok(())
}

/// What it is about, how urgent it is, and its labels.
pub async fn describe(
    lane: &mut UserLane,
    id: ConversationId,
    subject: &str,
    priority: i16,
    labels: &[String],
) -> Result<(), AppError> {
    sqlx::query("select app.describe_conversation($1, $2, $3::int, $4)")
        .bind(id)
        .bind(subject)
        .bind(priority)
        .bind(labels)
        .execute(lane.conn())
        .await?;
    Ok(())
}

/// What the staff calls a customer, and where they write to them; either may be empty, and `None` leaves it.
pub async fn name_customer(
    lane: &mut UserLane,
    id: ConversationId,
    name: Option<&String>,
    email: Option<&String>,
) -> Result<(), AppError> {
    sqlx::query("select app.name_customer($1, $2, $3)").bind(id).bind(name).bind(email).execute(lane.conn()).await?;
    Ok(())
}

/// Keeps a list under a name; what was kept there is replaced.
pub async fn save_view(lane: &mut UserLane, name: &str, query: &str) -> Result<(), AppError> {
    sqlx::query(
        "insert into app.saved_views (name, query) values ($1, $2)
         on conflict (workspace_id, name) do update set query = excluded.query",
    )
    .bind(name)
    .bind(query)
    .execute(lane.conn())
    .await?;
    Ok(())
}

pub async fn remove_view(lane: &mut UserLane, view: ViewId) -> Result<(), AppError> {
    let done = sqlx::query("delete from app.saved_views where id = $1").bind(view).execute(lane.conn()).await?;
    if done.rows_affected() > 0 { Ok(()) } else { Err(AppError::NotFound) }
}

/// The caller is at the desk: what they have stays theirs for a while longer.
pub async fn here(lane: &mut UserLane) -> Result<(), AppError> {
    sqlx::query("select app.hold_agent()").execute(lane.conn()).await?;
    Ok(())
}

/// Shuts the customer of a conversation out, or lets them in again. For agents.
pub async fn block(lane: &mut UserLane, id: ConversationId, blocked: bool) -> Result<(), AppError> {
    here(lane).await?;
    sqlx::query("select app.block_customer($1, $2)").bind(id).bind(blocked).execute(lane.conn()).await?;
    Ok(())
}

/// Why what was seen of a conversation is not enough to end it: somebody else has it, or its customer has said more.
pub async fn unseen(lane: &mut UserLane, id: ConversationId, seen: i64) -> Result<Option<Held>, AppError> {
    let held: Option<String> = sqlx::query_scalar(
        "select case when t.claimed_by <> (select auth.uid()) then 'taken'
                     when exists (select from app.conversation_messages m where m.conversation_id = t.id and m.seq > $2
                                    and (m.role = 'customer' or m.content ? 'from')) then 'news' end
           from app.conversations t where t.id = $1",
    )
    .bind(id)
    .bind(seen)
    .fetch_one(lane.conn())
    .await?;
    Ok(held.map(|held| Held::of(&held)))
}

/// What the customer of a conversation is called, how urgent it is, its subject and labels.
pub async fn head(lane: &mut UserLane, id: ConversationId) -> Result<(String, i16, String, Vec<String>), AppError> {
    let (name, email, priority, subject, labels): (String, String, i16, String, Vec<String>) = sqlx::query_as(
        "select t.customer_name, t.customer_email, t.priority, t.subject, t.labels from app.conversations t where t.id = $1",
    )
    .bind(id)
    .fetch_one(lane.conn())
    .await?;
    Ok((customer(&name, &email), priority, subject, labels))
}

/// Joins one to another: what was said in `from` stands in `into` as a note, and `from` is resolved. `Some`: somebody else has one.
pub async fn join(lane: &mut UserLane, from: ConversationId, into: ConversationId) -> Result<Option<Held>, AppError> {
    let held: Option<String> = sqlx::query_scalar("select app.join_conversations($1, $2)")
        .bind(from)
        .bind(into)
        .fetch_one(lane.conn())
        .await?;
    Ok(held.map(|held| Held::of(&held)))
}

/// Forgets a customer: this conversation, and with `all` those of the same address. How many there were.
pub async fn erase(lane: &mut UserLane, id: ConversationId, all: bool) -> Result<i32, AppError> {
    Ok(sqlx::query_scalar("select app.erase_customer($1, $2)").bind(id).bind(all).fetch_one(lane.conn()).await?)
}

/// Seconds for which an answer waits where nothing else is chosen.
pub async fn undo(lane: &mut UserLane) -> Result<u32, AppError> {
    let seconds: i32 = sqlx::query_scalar("select coalesce((select d.undo_seconds from app.desks d), 0)")
        .fetch_one(lane.conn())
        .await?;
    Ok(u32::try_from(seconds).unwrap_or_default())
}

/// Whether the caller takes new conversations.
pub async fn set_available(lane: &mut UserLane, available: bool) -> Result<(), AppError> {
    sqlx::query("select app.set_available($1)").bind(available).execute(lane.conn()).await?;
    Ok(())
}

/// Gives what was put off and waits by now to whoever put it off, and those who wait to whoever is there, where a desk wants that; how
/// many were given.
pub async fn deal(lane: &mut ServiceLane) -> Result<i32, AppError> {
    Ok(sqlx::query_scalar("select app.bring_back(50) + app.deal(50)").fetch_one(lane.conn()).await?)
}

/// Gives back what lapsed, brings back what was put off until now, forgets visitors who never said anything; how many there were.
pub async fn sweep(lane: &mut ServiceLane) -> Result<i32, AppError> {
    Ok(sqlx::query_scalar("select app.sweep_claims(100) + app.sweep_snoozed(100) + app.sweep_visitors(100)")
        .fetch_one(lane.conn())
        .await?)
}
