-- Why: what those at a desk need all day: finding what was said, knowing what is unread and who else looks at it, being named in a
-- note, words that are written once, labels and urgency, a list that is looked at again and again, and what customers thought of it.
grant execute on function app.plain(text), app.words(uuid, text) to visitor;
alter table app.conversations
  add column words tsvector generated always as (app.words(workspace_id, subject || ' ' || customer_name || ' ' || customer_email)) stored,
  add column rating smallint,
  add column rating_words text not null default '',
  add constraint conversations_rating_known check (rating in (-1, 1)),
  add constraint conversations_rating_words_length check (length(rating_words) <= 1000),
  add constraint conversations_labels_short check (length(array_to_string(labels, '')) <= 600);
alter table app.conversation_messages
  add column words tsvector generated always as (app.words(workspace_id, content ->> 'text')) stored;
create index conversations_words on app.conversations using gin (words);
create index conversation_messages_words on app.conversation_messages using gin (words);
create index conversation_messages_newest on app.conversation_messages (workspace_id, created_at desc, id desc);
create index conversations_of_customer on app.conversations (workspace_id, customer_email, active_at desc, id desc) where customer_email <> '';
comment on column app.conversations.rating is '1: the customer was helped, -1: they were not';

-- Somebody of the staff and a conversation: how far they have read it, whether they look at it, and whether a note names them.
create table app.readings (
  conversation_id uuid not null,
  workspace_id uuid not null default app.member_org(),
  user_id uuid not null default auth.uid(),
  seq bigint not null default 0,
  mentioned bigint not null default 0,
  looking_until timestamptz not null default '-infinity',
  typing_until timestamptz not null default '-infinity',
  primary key (conversation_id, workspace_id, user_id),
  foreign key (conversation_id, workspace_id) references app.conversations (id, workspace_id) on delete cascade,
  foreign key (workspace_id, user_id) references app.workspace_members (workspace_id, user_id) on delete cascade
);
create index readings_of_member on app.readings (workspace_id, user_id, conversation_id);
create index readings_unread_mentions on app.readings (workspace_id, user_id) where mentioned > seq;
comment on column app.readings.mentioned is 'the newest note that names them';

-- Words that are written once and sent often.
create table app.replies (
  id uuid not null default gen_random_uuid(),
  workspace_id uuid not null default app.member_org(),
  name text not null,
  text text not null,
  primary key (id, workspace_id),
  unique (workspace_id, name),
  foreign key (workspace_id) references app.desks on delete cascade,
  constraint replies_name_length check (length(name) between 1 and 40),
  constraint replies_text_length check (length(text) between 1 and 8000)
);

-- Lists that somebody looks at again: a view and what it is narrowed to, by name, for everybody at the desk.
create table app.saved_views (
  id uuid not null default gen_random_uuid(),
  workspace_id uuid not null default app.member_org(),
  name text not null,
  query text not null,
  primary key (id, workspace_id),
  unique (workspace_id, name),
  foreign key (workspace_id) references app.desks on delete cascade,
  constraint saved_views_name_length check (length(name) between 1 and 40),
  constraint saved_views_query_length check (length(query) <= 500)
);

alter table app.readings enable row level security;
alter table app.readings force row level security;
alter table app.replies enable row level security;
alter table app.replies force row level security;
alter table app.saved_views enable row level security;
alter table app.saved_views force row level security;

create policy select_member on app.readings for select to authenticated using (workspace_id = (select app.member_org()));
create policy insert_own on app.readings for insert to authenticated
  with check (workspace_id = (select app.member_org()) and user_id = (select auth.uid()));
-- A row goes with the membership that it hangs on, so that whoever has one belongs there: the claim alone is compared, without a
-- third look-up.
create policy update_own on app.readings for update to authenticated
  using (workspace_id = (select (auth.jwt() ->> 'org_id')::uuid) and user_id = (select auth.uid()));
grant select, insert (conversation_id, seq, looking_until, typing_until), update (seq, looking_until, typing_until) on app.readings to authenticated;
-- Not granted: mentioned, which a note does; delete, which goes with the conversation or the membership.
comment on table app.readings is 'workspace; refused: delete';

create policy select_member on app.replies for select to authenticated using (workspace_id = (select app.member_org()));
create policy insert_member on app.replies for insert to authenticated with check (workspace_id = (select app.member_org()));
create policy update_member on app.replies for update to authenticated using (workspace_id = (select app.member_org()));
create policy delete_member on app.replies for delete to authenticated using (workspace_id = (select app.member_org()));
grant select, insert (name, text), update (text), delete on app.replies to authenticated;
comment on table app.replies is 'workspace';

create policy select_member on app.saved_views for select to authenticated using (workspace_id = (select app.member_org()));
create policy insert_member on app.saved_views for insert to authenticated with check (workspace_id = (select app.member_org()));
create policy update_member on app.saved_views for update to authenticated using (workspace_id = (select app.member_org()));
create policy delete_member on app.saved_views for delete to authenticated using (workspace_id = (select app.member_org()));
grant select, insert (name, query), update (query), delete on app.saved_views to authenticated;
comment on table app.saved_views is 'workspace';

create policy select_definer on app.readings for select to moat_definer using (true);
create policy insert_definer on app.readings for insert to moat_definer with check (true);
create policy update_definer on app.readings for update to moat_definer using (true);
grant select, insert (conversation_id, workspace_id, user_id, mentioned), update (mentioned) on app.readings to moat_definer;
grant select (words, active_at), update (rating, rating_words) on app.conversations to moat_definer;
grant select (words, created_at) on app.conversation_messages to moat_definer;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- The caller looks at it, has read so far, and may be typing.
create function app.look_at(p_conversation uuid, p_seq bigint, p_typing boolean) returns void
language plpgsql volatile security invoker set search_path = '' as $$
begin
  if not exists (select from app.conversations t where t.id = p_conversation) then
    raise exception using errcode = 'P0404', message = 'no such conversation';
  end if;
  insert into app.readings as r (conversation_id, seq, looking_until, typing_until)
    values (p_conversation, p_seq, now() + interval '40 seconds', case when p_typing then now() + interval '10 seconds' else '-infinity' end)
  on conflict (conversation_id, workspace_id, user_id) do update
    set seq = greatest(r.seq, excluded.seq), looking_until = excluded.looking_until, typing_until = excluded.typing_until;
end $$;

-- Told when somebody comes, begins or stops typing, and not each time that they are still there.
create function app.tell_reading() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  came boolean := tg_op = 'INSERT' or old.looking_until < now();
  typing boolean := (new.typing_until > now()) is distinct from (tg_op = 'UPDATE' and old.typing_until > now());
begin
  if came and new.looking_until > now() or typing or (new.mentioned > new.seq) is distinct from (tg_op = 'UPDATE' and old.mentioned > old.seq) then
    perform app.tell(new.workspace_id, 'conversation.looking', jsonb_build_object('conversation', new.conversation_id));
  end if;
  if typing and exists (select from app.conversations t where t.id = new.conversation_id and t.workspace_id = new.workspace_id
                           and t.claimed_by = new.user_id) then
    perform app.tell(new.conversation_id, 'conversation.typing', '{}');
  end if;
  return null;
end $$;

-- A note that names somebody of the staff ("@Ada") is theirs to read: by their name at the desk or in the workspace.
create function app.note_mentions() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  said text := lower(new.content ->> 'text');
begin
  -- What the assistant notes quotes customers, who name nobody.
  if not exists (select from app.users u where u.id = new.author_id and u.kind = 'person') then return null; end if;
  insert into app.readings as r (conversation_id, workspace_id, user_id, mentioned)
    select new.conversation_id, new.workspace_id, n.user_id, new.seq from (
      select m.user_id from app.workspace_members m
        left join app.agents a on a.workspace_id = m.workspace_id and a.user_id = m.user_id
       where m.workspace_id = new.workspace_id and m.user_id is distinct from new.author_id
         and (app.is_named(said, lower(a.name)) or app.is_named(said, lower(m.name)))
       -- A talk is held by now, and memberships come before those: whoever is being removed at this moment is passed over.
       order by m.user_id limit 50 for key share of m skip locked) n
  on conflict (conversation_id, workspace_id, user_id) do update set mentioned = excluded.mentioned;
  return null;
end $$;

-- Whether a text names somebody: "@" and the whole of their name, not a longer one's beginning, nor an address.
create function app.is_named(p_text text, p_name text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return coalesce(p_name, '') <> '' and strpos(p_text, '@' || p_name) > 0
    and p_text ~ ('(^|[^[:alnum:]])@' || regexp_replace(p_name, '([^[:alnum:][:space:]])', '\\\1', 'g') || '($|[^[:alnum:]])');
end $$;

-- Whether somebody of the staff is typing to the customer whose lane it is.
create function app.is_typed_to() returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  return exists (select from app.readings r join app.conversations t on t.id = r.conversation_id and t.workspace_id = r.workspace_id
                  where t.id = app.visitor_conversation() and r.user_id = t.claimed_by and r.typing_until > now());
end $$;

-- What the customer thought of it. Once it is resolved; they may change their mind.
create function app.rate(p_rating int, p_words text) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.conversations t set rating = p_rating, rating_words = p_words where t.id = app.visitor_conversation() and t.status = 'resolved';
  if not found then raise exception using errcode = 'P0404', message = 'not resolved'; end if;
end $$;

-- The conversations of the caller's workspace that have all the words: in a message, newest first, or in who asks and the subject,
-- which come first. As with chats: what is common is found among the newest 3,000 messages, what is rare by the index.
create function app.search_conversations(p_query text, p_limit int) returns table (conversation_id uuid, message_id uuid)
language plpgsql stable security definer set search_path = ''
set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  org uuid := app.member_org();
  q tsquery := app.search_terms(p_query);
  ours tsquery;
  heads uuid[];
  seen uuid[];
  walked int := 0;
  r record;
begin
  if org is null or q is null then return; end if;
  ours := q && quote_literal('/' || org::text)::tsquery;
  select coalesce(array_agg(x.id), '{}') into heads from (
    select w.id from unnest(array['bot', 'waiting', 'claimed', 'snoozed', 'resolved']) s cross join lateral (
             select t.id, t.words, t.active_at from app.conversations t where t.workspace_id = org and t.status = s
              order by t.active_at desc, t.id desc limit 1000) w
     where w.words @@ q order by w.active_at desc, w.id desc limit p_limit) x;
  -- Where many have them, the newest thousand of each status are enough; what is rare there is left to the index.
  if cardinality(heads) < p_limit then
    -- "offset": the planner would walk by time for a rare word.
    select coalesce(array_agg(x.id), '{}') into heads from (
      select f.id from (select t.id, t.active_at from app.conversations t where t.workspace_id = org and t.words @@ ours offset 0) f
       order by f.active_at desc, f.id desc limit p_limit) x;
  end if;
  foreach conversation_id in array heads loop
    message_id := null;
    return next;
  end loop;
  if cardinality(heads) >= p_limit then return; end if;
  seen := heads;
  for r in
    select m.conversation_id, m.id, m.words @@ q as hit from app.conversation_messages m where m.workspace_id = org
     order by m.created_at desc, m.id desc limit 3000
  loop
    walked := walked + 1;
    continue when not r.hit or r.conversation_id = any(seen);
    seen := seen || r.conversation_id;
    conversation_id := r.conversation_id;
    message_id := r.id;
    return next;
    if cardinality(seen) >= p_limit then return; end if;
  end loop;
  if walked < 3000 then return; end if;
  return query
    select f.conversation_id, f.id from (
      select distinct on (m.conversation_id) m.conversation_id, m.id, m.created_at from app.conversation_messages m
       where m.workspace_id = org and m.words @@ ours and not m.conversation_id = any(seen)
       order by m.conversation_id, m.created_at desc, m.id desc) f
     order by f.created_at desc, f.id desc limit p_limit - cardinality(seen);
end $$;

-- As before, and of what the customer thought.
create or replace function app.tell_conversation() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' or (new.status, new.claimed_by, new.priority, new.subject, new.labels, new.customer_name, new.customer_email, new.rating)
      is distinct from (old.status, old.claimed_by, old.priority, old.subject, old.labels, old.customer_name, old.customer_email, old.rating) then
    perform app.tell(new.workspace_id, 'conversation.changed', jsonb_build_object('conversation', new.id));
    if tg_op = 'UPDATE' and new.status <> old.status then perform app.tell(new.id, 'conversation.changed', '{}'); end if;
  end if;
  return null;
end $$;
create trigger tell_reading after insert or update on app.readings for each row execute function app.tell_reading();
create trigger note_mentions after insert on app.conversation_messages for each row
  when (new.role = 'note' and strpos(new.content ->> 'text', '@') > 0) execute function app.note_mentions();

alter function app.tell_reading() owner to moat_definer;
alter function app.note_mentions() owner to moat_definer;
alter function app.is_named(text, text) owner to moat_definer;
alter function app.is_typed_to() owner to moat_definer;
alter function app.rate(int, text) owner to moat_definer;
alter function app.search_conversations(text, int) rows 30;
alter function app.search_conversations(text, int) owner to moat_definer;
grant execute on function app.search_conversations(text, int) to authenticated;
grant execute on function app.is_typed_to(), app.rate(int, text) to visitor;
grant select (rating) on app.conversations to visitor;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;

grant execute on function app.look_at(uuid, bigint, boolean) to authenticated;

-- What it is about and how urgent. For agents.
create function app.describe_conversation(p_conversation uuid, p_subject text, p_priority int, p_labels text[]) returns void
language plpgsql volatile security invoker set search_path = '' as $$
declare
  was int;
begin
  perform app.hold_agent();
  select t.priority into was from app.conversations t where t.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  update app.conversations t set subject = p_subject, priority = p_priority, labels = p_labels where t.id = p_conversation;
  if was <> p_priority then
    perform app.log_line(p_conversation, 'made this ' || (array['low', 'normal', 'high', 'urgent'])[p_priority + 1]);
  end if;
end $$;
grant execute on function app.describe_conversation(uuid, text, int, text[]) to authenticated;
