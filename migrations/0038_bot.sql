-- Why: an assistant answers customers first, from the help articles that the workspace has published, and hands over to people. It
-- speaks in its own turn alone: what it has to say after somebody took the talk is a draft for them. Whose turn it is, is written
-- down in the transaction that made it theirs, so that no answer is forgotten with a process, and none is given twice.
create table app.articles (
  id uuid not null default gen_random_uuid(),
  workspace_id uuid not null default app.member_org(),
  title text not null,
  body text not null default '',
  published boolean not null default false,
  position int not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (id, workspace_id),
  foreign key (workspace_id) references app.desks on delete cascade,
  constraint articles_title_length check (length(title) between 1 and 120),
  constraint articles_body_length check (length(body) <= 50000)
);
create index articles_in_order on app.articles (workspace_id, position, id);
comment on column app.articles.body is 'Markdown';

alter table app.users add column kind text not null default 'person',
  add constraint users_kind_known check (kind in ('person', 'bot'));
comment on column app.users.kind is 'a bot has no address and no way to sign in';

alter table app.desks
  add column bot boolean not null default false,
  add column bot_name text not null default 'Assistant',
  add column bot_words text[] not null default '{}',
  add column bot_user_id uuid references app.users on delete set null,
  add constraint desks_bot_name_length check (length(bot_name) between 1 and 80),
  add constraint desks_bot_words_few check (cardinality(bot_words) <= 50);
create index desks_of_bot on app.desks (bot_user_id) where bot_user_id is not null;
comment on column app.desks.bot_words is 'a customer who says one of these is for people at once';

alter table app.conversations add column handovers int not null default 0;
comment on column app.conversations.handovers is 'how often the assistant has handed it over; after the second time it does not come back to it';

-- Those who opened the bubble and said nothing are looked for now and then, among many who did.
alter table app.visitors add column silent boolean not null default true;
alter table app.visitors no force row level security;
alter table app.conversations no force row level security;
update app.visitors v set silent = false
 where exists (select from app.conversations t where t.visitor_id = v.id and t.workspace_id = v.workspace_id);
alter table app.visitors force row level security;
alter table app.conversations force row level security;
create index visitors_silent on app.visitors (created_at) where silent and blocked_at is null;
drop index app.visitors_by_age;

-- What the assistant owes: one answer a talk, to what the customer said last.
create table app.bot_turns (
  conversation_id uuid not null,
  workspace_id uuid not null,
  epoch int not null,
  seq bigint not null,
  lease uuid,
  leased_until timestamptz not null default now(),
  tries int not null default 0,
  created_at timestamptz not null default now(),
  primary key (conversation_id, workspace_id),
  foreign key (conversation_id, workspace_id) references app.conversations (id, workspace_id) on delete cascade
);
create index bot_turns_due on app.bot_turns (leased_until, created_at);
comment on column app.bot_turns.seq is 'the newest message that is to be answered';
comment on column app.bot_turns.lease is 'who writes it; somebody else may when it has lapsed';

alter table app.articles enable row level security;
alter table app.articles force row level security;
alter table app.bot_turns enable row level security;
alter table app.bot_turns force row level security;

create policy select_member on app.articles for select to authenticated using (workspace_id = (select app.member_org()));
create policy insert_manager on app.articles for insert to authenticated with check (workspace_id = (select app.managed_org()));
create policy update_manager on app.articles for update to authenticated using (workspace_id = (select app.managed_org()));
create policy delete_manager on app.articles for delete to authenticated using (workspace_id = (select app.managed_org()));
grant select, insert (title, body, position), update (title, body, published, position, updated_at), delete on app.articles to authenticated;
comment on table app.articles is 'workspace';
comment on table app.bot_turns is 'operations; refused: select, insert, update, delete';

create policy select_definer on app.articles for select to moat_definer using (true);
grant select (id, workspace_id, title, body, published, position) on app.articles to moat_definer;
create policy select_definer on app.bot_turns for select to moat_definer using (true);
create policy insert_definer on app.bot_turns for insert to moat_definer with check (true);
create policy update_definer on app.bot_turns for update to moat_definer using (true);
create policy delete_definer on app.bot_turns for delete to moat_definer using (true);
grant select, insert, update, delete on app.bot_turns to moat_definer;
create policy update_definer on app.desks for update to moat_definer using (true);
grant select (bot, bot_name, bot_words, bot_user_id), update (bot, bot_name, bot_words, bot_user_id) on app.desks to moat_definer;
create policy select_definer on app.conversation_messages for select to moat_definer using (true);
create policy insert_definer on app.conversation_messages for insert to moat_definer with check (true);
grant select (id, conversation_id, workspace_id, seq, role, content),
  insert (conversation_id, workspace_id, seq, role, content, author_id, author_name) on app.conversation_messages to moat_definer;
grant insert (status, bot_user_id), update (last_seq, active_at, handovers, bot_user_id) on app.conversations to moat_definer;
grant insert (kind, status, display_name), select (kind) on app.users to moat_definer;
grant select (silent), update (silent) on app.visitors to moat_definer;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;
grant usage, create on schema gate to moat_definer;

-- As before, by those who said nothing.
create or replace function app.sweep_visitors(p_limit int) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  n int;
begin
  perform app.require_reason('sweep');
  delete from app.visitors v where (v.id, v.workspace_id) in (
    select x.id, x.workspace_id from app.visitors x where x.silent and x.blocked_at is null and x.created_at < now() - interval '1 day'
       and not exists (select from app.conversations t where t.visitor_id = x.id and t.workspace_id = x.workspace_id)
     order by x.created_at limit p_limit for update skip locked);
  get diagnostics n = row_count;
  return n;
end $$;

-- As before, of people: nobody lets a bot in.
create or replace function app.find_accounts(p_query text, p_status text, p_limit int)
returns table (id uuid, email text, name text, status text, superuser boolean, created_at timestamptz)
language plpgsql stable security definer set search_path = '' as $$
begin
  perform app.require_superuser();
  return query select u.id, coalesce(u.email, ''), u.display_name, u.status, u.superuser, u.created_at from app.users u
    where u.erased_at is null and u.kind = 'person' and (p_status = '' or u.status = p_status)
      and (p_query = '' or strpos(coalesce(u.email, ''), lower(p_query)) > 0 or strpos(lower(u.display_name), lower(p_query)) > 0)
    order by u.created_at desc, u.id limit p_limit;
end $$;
create or replace function app.set_account_status(p_user uuid, p_status text) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_superuser();
  update app.users u set status = p_status where u.id = p_user and u.erased_at is null and not u.superuser and u.kind = 'person';
  if not found then raise exception using errcode = 'P0404', message = 'no such account'; end if;
end $$;

-- With a desk goes its bot.
create function app.forget_bot() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  delete from app.users u where u.id = old.bot_user_id and u.kind = 'bot';
  return null;
end $$;

-- One more reason: what the assistant says.
create or replace function gate.open_service(p_reason text, p_user uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_reason in ('sign_in', 'live', 'sweep', 'mail', 'operate', 'denials', 'domains', 'bot_turn') and p_user is null then return 'service'; end if;
  if p_reason = 'generation' and exists (select from app.users u where u.id = p_user and u.status = 'active') then
    return 'service';
  end if;
  return 'none';
end $$;

-- As before, but for a bot, to whom nothing belongs.
create or replace function app.welcome_user() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if new.kind = 'person' then perform app.make_personal(new.id); end if;
  return null;
end $$;

-- Switches the assistant on or off, and says what it is called and which words are for people at once. For whoever manages the
-- workspace. It is a user, so that what it says has an author: one whose status opens no lane, without an address or a password.
create function app.set_bot(p_on boolean, p_name text, p_words text[]) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  org uuid := app.managed_org();
  d record;
  me uuid;
begin
  select x.workspace_id, x.bot_user_id into d from app.desks x where x.workspace_id = org for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no desk'; end if;
  me := d.bot_user_id;
  if me is null then
    insert into app.users (kind, status, display_name) values ('bot', 'inactive', 'Assistant') returning id into me;
  end if;
  update app.desks x set bot = p_on, bot_name = p_name, bot_words = p_words, bot_user_id = me where x.workspace_id = org;
end $$;

-- As before, and it begins with the assistant where there is one.
create or replace function app.begin_conversation() returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  v app.visitors;
  conversation uuid;
begin
  -- One after the other for each visitor: two first words at once begin one talk.
  select x.* into v from app.visitors x join app.workspaces w on w.id = x.workspace_id
   where x.id = (c ->> 'visitor')::uuid and x.workspace_id = (c ->> 'org_id')::uuid and x.blocked_at is null and w.deleted_at is null
     for no key update of x;
  if not found then raise exception using errcode = 'P0404', message = 'no such visitor'; end if;
  select t.id into conversation from app.conversations t where t.visitor_id = v.id and t.workspace_id = v.workspace_id;
  if conversation is null then
    insert into app.conversations (workspace_id, visitor_id, channel, customer_name, customer_email, status, bot_user_id)
      select v.workspace_id, v.id, 'web', v.name, v.email, case when d.bot then 'bot' else 'waiting' end, case when d.bot then d.bot_user_id end
        from app.desks d where d.workspace_id = v.workspace_id
      returning id into conversation;
  end if;
  return conversation;
end $$;

-- As before, and the end of the assistant's turn ends what it is writing, as its beginning begins another.
create or replace function app.guard_conversation() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    if exists (select from app.workspaces w where w.id = new.workspace_id and w.personal_of is not null) then
      raise exception using errcode = 'P0433', message = 'a personal workspace has no desk';
    end if;
    update app.visitors v set silent = false where v.id = new.visitor_id and v.workspace_id = new.workspace_id;
    return new;
  end if;
  -- A customer opens their talk again, and steers it no further: not when it waits since, nor how many messages it has.
  if nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role' = 'visitor' then
    if new.status not in (old.status, 'waiting') or new.last_seq not between old.last_seq and old.last_seq + 1 then
      raise exception using errcode = 'P0403', message = 'for the staff';
    end if;
    if new.waiting_since is distinct from old.waiting_since then new.waiting_since := coalesce(old.waiting_since, now()); end if;
    if new.active_at is distinct from old.active_at then new.active_at := clock_timestamp(); end if;
  end if;
  if old.claimed_by is not null and new.claimed_by is null then
    new.claimed_at := null;
    if new.status = 'claimed' then
      new.status := 'waiting';
      new.waiting_since := coalesce(old.waiting_since, now());
    end if;
  end if;
  if new.claimed_by is distinct from old.claimed_by or (new.status = 'bot') <> (old.status = 'bot') then
    new.epoch := old.epoch + 1;
  end if;
  return new;
end $$;

-- The customer has said something while it is the assistant's turn: it owes them an answer, to this and not to what was before.
create function app.ask_bot() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  t record;
begin
  select x.id, x.workspace_id, x.epoch, x.status, x.last_seq into t from app.conversations x
   where x.id = new.conversation_id and x.workspace_id = new.workspace_id;
  -- In its place, and words alone: a statement of their own could otherwise stand in the way of everybody who comes after.
  if nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role' = 'visitor'
      and (new.seq is distinct from t.last_seq or new.content - 'text' <> '{}') then
    raise exception using errcode = 'P0403', message = 'for the staff';
  end if;
  if t.status <> 'bot' then return null; end if;
  -- Who writes for an earlier turn writes for none.
  insert into app.bot_turns as b (conversation_id, workspace_id, epoch, seq) values (t.id, t.workspace_id, t.epoch, new.seq)
  on conflict (conversation_id, workspace_id) do update set epoch = excluded.epoch, seq = excluded.seq, tries = 0,
    lease = case when b.epoch = excluded.epoch then b.lease end,
    leased_until = case when b.epoch = excluded.epoch then b.leased_until else excluded.leased_until end;
  return null;
end $$;

-- It is given a talk in which the customer waits for an answer.
create function app.ask_bot_again() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if new.waiting_since is not null then
    insert into app.bot_turns (conversation_id, workspace_id, epoch, seq) values (new.id, new.workspace_id, new.epoch, new.last_seq)
    on conflict (conversation_id, workspace_id) do update
      set epoch = excluded.epoch, seq = excluded.seq, tries = 0, lease = null, leased_until = excluded.leased_until;
  end if;
  return null;
end $$;

-- The oldest turn that nobody writes, for as long as a lease; what it needs to know comes along: what was said, the published
-- articles (a million letters of them), the words that are for people. No row: nothing is owed. A turn that is over (somebody took the talk before it began)
-- is forgotten on the way.
create function app.take_bot_turn(p_lease uuid, out conversation uuid, out workspace uuid, out seq bigint, out tries int, out bot uuid,
    out is_on boolean, out desk text, out words text[], out history jsonb, out articles jsonb)
language plpgsql volatile security definer set search_path = '' as $$
declare
  b app.bot_turns;
  d record;
begin
  perform app.require_reason('bot_turn');
  loop
    select x.* into b from app.bot_turns x where x.leased_until < now() order by x.leased_until, x.created_at limit 1 for update skip locked;
    if not found then return; end if;
    -- A workspace may be taken back, and its customers wait.
    if exists (select from app.workspaces w where w.id = b.workspace_id and w.deleted_at is not null) then
      update app.bot_turns x set leased_until = now() + interval '1 hour' where x.conversation_id = b.conversation_id and x.workspace_id = b.workspace_id;
      continue;
    end if;
    exit when exists (select from app.conversations t
                       where t.id = b.conversation_id and t.workspace_id = b.workspace_id and t.status = 'bot' and t.epoch = b.epoch);
    delete from app.bot_turns x where x.conversation_id = b.conversation_id and x.workspace_id = b.workspace_id;
  end loop;
  update app.bot_turns x set lease = p_lease, leased_until = now() + interval '20 seconds', tries = x.tries + 1
   where x.conversation_id = b.conversation_id and x.workspace_id = b.workspace_id;
  select x.name, x.bot, x.bot_user_id, x.bot_words into d from app.desks x where x.workspace_id = b.workspace_id;
  conversation := b.conversation_id;
  workspace := b.workspace_id;
  seq := b.seq;
  tries := b.tries + 1;
  bot := d.bot_user_id;
  is_on := d.bot;
  desk := d.name;
  words := d.bot_words;
  select jsonb_agg(jsonb_build_array(m.role, m.content ->> 'text') order by m.seq) into history from (
    select x.role, x.content, x.seq from app.conversation_messages x
     where x.conversation_id = b.conversation_id and x.workspace_id = b.workspace_id and x.seq <= b.seq and x.role in ('customer', 'bot', 'agent')
     order by x.seq desc limit 40) m;
  select jsonb_agg(jsonb_build_array(a.id, a.title, a.body) order by a.position, a.id) into articles from (
    select x.id, x.title, x.body, x.position, sum(length(x.body)) over (order by x.position, x.id) as so_far
      from app.articles x where x.workspace_id = b.workspace_id and x.published order by x.position, x.id limit 500) a
   where a.so_far <= 1000000;
end $$;

-- Whoever writes goes on. False: it is not theirs any more.
create function app.renew_bot_turn(p_conversation uuid, p_lease uuid, p_seconds double precision) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('bot_turn');
  update app.bot_turns x set leased_until = now() + make_interval(secs => p_seconds) where x.conversation_id = p_conversation and x.lease = p_lease;
  return found;
end $$;

-- A line of the assistant's in a talk whose row is held.
create function app.bot_line(p_conversation uuid, p_role text, p_content jsonb) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  t record;
begin
  update app.conversations x set last_seq = x.last_seq + 1, active_at = case when p_role = 'bot' then clock_timestamp() else x.active_at end
   where x.id = p_conversation returning x.workspace_id, x.last_seq into t;
  insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_id, author_name)
    select p_conversation, t.workspace_id, t.last_seq, p_role, p_content, d.bot_user_id, d.bot_name
      from app.desks d where d.workspace_id = t.workspace_id;
end $$;

-- From the assistant to people: the talk waits for them, and says what was asked and what was quoted.
create function app.hand_over(p_conversation uuid, p_why text) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  asked text;
  sources jsonb;
begin
  select string_agg('- ' || q.text, e'\n' order by q.seq) into asked from (
    select m.seq, left(regexp_replace(m.content ->> 'text', '\s+', ' ', 'g'), 200) as text from app.conversation_messages m
     where m.conversation_id = p_conversation and m.role = 'customer' order by m.seq desc limit 5) q;
  select jsonb_agg(distinct s) into sources from app.conversation_messages m
   cross join jsonb_array_elements(coalesce(m.content -> 'sources', '[]')) s
   where m.conversation_id = p_conversation and m.role = 'bot';
  update app.conversations t set status = 'waiting', waiting_since = coalesce(t.waiting_since, now()), handovers = t.handovers + 1
   where t.id = p_conversation;
  perform app.bot_line(p_conversation, 'system', jsonb_build_object('text', 'handed this to the team: ' || p_why));
  perform app.bot_line(p_conversation, 'note', jsonb_strip_nulls(jsonb_build_object(
    'text', 'They asked:' || e'\n' || coalesce(asked, '- nothing yet') || case when sources is null then e'\nI had nothing to quote.' else e'\nI quoted what is named below.' end,
    'sources', sources)));
end $$;

-- What the assistant has to say. 'said': the customer reads it. 'again': they said more meanwhile, which is to be answered first.
-- 'draft': it is somebody else's turn by now, and they alone read it. 'gone': this writer's lease lapsed, and somebody else wrote.
create function app.finish_bot_turn(p_conversation uuid, p_lease uuid, p_seq bigint, p_text text, p_sources jsonb, p_hand_over text) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  t record;
  b app.bot_turns;
  content jsonb := jsonb_strip_nulls(jsonb_build_object('text', p_text, 'sources', p_sources));
begin
  perform app.require_reason('bot_turn');
  select x.workspace_id, x.epoch, x.status into t from app.conversations x where x.id = p_conversation for no key update;
  select x.* into b from app.bot_turns x where x.conversation_id = p_conversation and x.lease = p_lease for update;
  if b.conversation_id is null then return 'gone'; end if;
  if t.status <> 'bot' or t.epoch <> b.epoch then
    delete from app.bot_turns x where x.conversation_id = p_conversation;
    if p_text = '' then return 'gone'; end if;
    perform app.bot_line(p_conversation, 'note', content || '{"draft": true}');
    return 'draft';
  end if;
  if b.seq > p_seq and p_hand_over is null then
    update app.bot_turns x set lease = null, leased_until = now(), tries = 0 where x.conversation_id = p_conversation;
    return 'again';
  end if;
  delete from app.bot_turns x where x.conversation_id = p_conversation;
  if p_hand_over is null and not exists (select from app.desks d where d.workspace_id = t.workspace_id and d.bot) then
    perform app.bot_line(p_conversation, 'note', content || '{"draft": true}');
    perform app.hand_over(p_conversation, 'the assistant was switched off');
    return 'draft';
  end if;
  if p_text <> '' then perform app.bot_line(p_conversation, 'bot', content); end if;
  -- Whoever is handed over waits since they asked.
  if p_hand_over is null then update app.conversations x set waiting_since = null where x.id = p_conversation; end if;
  if p_hand_over is not null then perform app.hand_over(p_conversation, p_hand_over); end if;
  return 'said';
end $$;

-- The customer asks for a person. Nothing, where it is not the assistant's turn.
create function app.ask_person() returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  conversation uuid := app.visitor_conversation();
begin
  perform from app.conversations t where t.id = conversation and t.status = 'bot' for no key update;
  if found then perform app.hand_over(conversation, 'the customer asked for a person'); end if;
end $$;

-- As before, with who answers first.
drop function gate.read_desk(text);
create function gate.read_desk(p_key text, out name text, out welcome text, out origins text[], out open boolean, out bot text)
language plpgsql stable security definer set search_path = '' as $$
begin
  select d.name, d.welcome, k.origins, exists (
      select from app.agents a where a.workspace_id = k.workspace_id and a.here_until > now() and a.available), case when d.bot then d.bot_name end
    into name, welcome, origins, open, bot
    from app.widget_keys k join app.desks d on d.workspace_id = k.workspace_id
    join app.workspaces w on w.id = k.workspace_id where k.key = p_key and w.deleted_at is null;
end $$;

-- The published articles of the desk that a page's key leads to, for everybody who has that page; of one of them the text as well.
create function gate.read_help(p_key text, p_article uuid) returns table (id uuid, title text, body text)
language plpgsql stable security definer set search_path = '' as $$
begin
  return query
    select a.id, a.title, case when p_article is not null then a.body end
      from app.widget_keys k join app.workspaces w on w.id = k.workspace_id join app.articles a on a.workspace_id = k.workspace_id
     where k.key = p_key and w.deleted_at is null and a.published and (p_article is null or a.id = p_article)
     order by a.position, a.id limit 500;
end $$;

drop function app.known_as();
create function app.known_as(out name text, out email text, out agent text, out bot text, out writing boolean)
language plpgsql stable security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  me uuid := c ->> 'visitor';
  o uuid := c ->> 'org_id';
begin
  select v.name, v.email, a.name, d.bot_name, b.conversation_id is not null and t.status = 'bot'
    into name, email, agent, bot, writing from app.visitors v
    join app.desks d on d.workspace_id = v.workspace_id
    left join app.conversations t on t.visitor_id = v.id and t.workspace_id = v.workspace_id
    left join app.agents a on a.user_id = t.claimed_by and a.workspace_id = t.workspace_id
    left join app.bot_turns b on b.conversation_id = t.id and b.workspace_id = t.workspace_id
   where v.id = me and v.workspace_id = o;
end $$;

create trigger forget_bot after delete on app.desks for each row when (old.bot_user_id is not null) execute function app.forget_bot();
create trigger ask_bot after insert on app.conversation_messages for each row when (new.role = 'customer') execute function app.ask_bot();
create trigger ask_bot_again after update of status on app.conversations for each row
  when (new.status = 'bot' and old.status <> 'bot') execute function app.ask_bot_again();
create trigger audit after insert or delete or update of title, published on app.articles
  for each row execute function app.audit_row('article', 'title published', '');
drop trigger audit on app.desks;
create trigger audit after insert or update of name, welcome, bot, bot_name, bot_words on app.desks
  for each row execute function app.audit_row('desk', 'name welcome bot bot_name bot_words', '');

alter function app.set_bot(boolean, text, text[]) owner to moat_definer;
alter function app.forget_bot() owner to moat_definer;
alter function app.ask_bot() owner to moat_definer;
alter function app.ask_bot_again() owner to moat_definer;
alter function app.take_bot_turn(uuid) owner to moat_definer;
alter function app.renew_bot_turn(uuid, uuid, double precision) owner to moat_definer;
alter function app.bot_line(uuid, text, jsonb) owner to moat_definer;
alter function app.hand_over(uuid, text) owner to moat_definer;
alter function app.finish_bot_turn(uuid, uuid, bigint, text, jsonb, text) owner to moat_definer;
alter function app.ask_person() owner to moat_definer;
alter function gate.read_desk(text) owner to moat_definer;
alter function gate.read_help(text, uuid) owner to moat_definer;
alter function app.known_as() owner to moat_definer;
grant execute on function app.set_bot(boolean, text, text[]) to authenticated;
grant execute on function app.take_bot_turn(uuid), app.renew_bot_turn(uuid, uuid, double precision),
  app.finish_bot_turn(uuid, uuid, bigint, text, jsonb, text) to service;
grant execute on function app.ask_person(), app.known_as() to visitor;
revoke create on schema app from moat_definer;
revoke create on schema gate from moat_definer;
revoke moat_definer from current_user;

-- As before, and back to the assistant. P0444: it has handed this over twice, or there is none.
create or replace function app.set_conversation(p_conversation uuid, p_status text, p_until timestamptz, p_seen bigint, out held text)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  me uuid := (select auth.uid());
  a app.agents := app.hold_agent();
  t record;
begin
  select x.status, x.claimed_by, x.handovers, x.bot_user_id, x.workspace_id into t from app.conversations x where x.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  if t.claimed_by <> me then
    held := 'taken';
    return;
  end if;
  if p_status in ('resolved', 'snoozed') and exists (
      select from app.conversation_messages x where x.conversation_id = p_conversation and x.seq > p_seen and x.role = 'customer') then
    held := 'news';
    return;
  end if;
  if p_status = 'bot' and (t.handovers > 1 or t.bot_user_id is null or not exists (
      select from app.desks d where d.workspace_id = t.workspace_id and d.bot)) then
    raise exception using errcode = 'P0444', message = 'not for the assistant';
  end if;
  if t.status = p_status and p_until is null then return; end if;
  update app.conversations x
     set status = p_status, claimed_by = null, claimed_at = null,
         resolved_at = case when p_status = 'resolved' then now() end,
         snoozed_until = case when p_status = 'snoozed' then p_until end,
         waiting_since = case when p_status = 'waiting' then coalesce(x.waiting_since, now()) when p_status = 'resolved' then null else x.waiting_since end
   where x.id = p_conversation;
  perform app.log_line(p_conversation, case p_status when 'resolved' then 'resolved this' when 'snoozed' then 'put this off'
    when 'bot' then 'gave this to the assistant' else case t.status when 'claimed' then 'gave this back' else 'opened this again' end end);
end $$;
