-- Why: customers' talks. A workspace that opens a desk has conversations, which its members read and its agents answer; a
-- customer, who has no account, reads and writes the one that is theirs. No policy here reads a member's role, and threads and
-- messages are not touched: the two trust models stand side by side.
grant usage on schema app, auth to visitor;
grant execute on function auth.uid(), auth.jwt(), app.zone(text) to visitor;

create table app.desks (
  workspace_id uuid primary key default app.member_org() references app.workspaces on delete cascade,
  name text not null,
  welcome text not null default '',
  created_at timestamptz not null default now(),
  constraint desks_name_length check (length(name) between 1 and 80),
  constraint desks_welcome_length check (length(welcome) <= 500)
);
comment on column app.desks.name is 'what customers read above their talk';

-- What a web page names to reach the desk. Known to everybody who reads that page, and no id of anything.
create table app.widget_keys (
  id uuid not null default gen_random_uuid(),
  workspace_id uuid not null default app.member_org() references app.desks on delete cascade,
  key text not null default translate(encode(uuid_send(gen_random_uuid()), 'base64'), '+/=', '-_'),
  name text not null,
  origins text[] not null default '{}',
  created_at timestamptz not null default now(),
  primary key (id, workspace_id),
  unique (key),
  constraint widget_keys_name_length check (length(name) between 1 and 80),
  constraint widget_keys_origins_few check (cardinality(origins) <= 20)
);
create index widget_keys_of_workspace on app.widget_keys (workspace_id, created_at);
comment on column app.widget_keys.origins is 'pages that may show the talk; empty: any';

-- Who answers. The row steers who is given a talk, never who reads one.
create table app.agents (
  workspace_id uuid not null default app.member_org(),
  user_id uuid not null,
  name text not null,
  available boolean not null default true,
  capacity int not null default 5,
  here_until timestamptz not null default now(),
  created_at timestamptz not null default now(),
  primary key (workspace_id, user_id),
  foreign key (workspace_id) references app.desks on delete cascade,
  foreign key (workspace_id, user_id) references app.workspace_members (workspace_id, user_id) on delete cascade,
  constraint agents_name_length check (length(name) between 1 and 80),
  constraint agents_capacity_known check (capacity between 1 and 100)
);
comment on column app.agents.name is 'what customers read beside an answer';
comment on column app.agents.here_until is 'the lease of everything that they have claimed: past it, all of it goes back to the queue';

create table app.visitors (
  id uuid not null default gen_random_uuid(),
  workspace_id uuid not null references app.desks on delete cascade,
  key_id uuid,
  token_hash bytea not null,
  name text not null default '',
  email text not null default '',
  created_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  blocked_at timestamptz,
  primary key (id, workspace_id),
  unique (token_hash),
  foreign key (key_id, workspace_id) references app.widget_keys (id, workspace_id) on delete set null (key_id),
  constraint visitors_name_length check (length(name) <= 80),
  constraint visitors_email_length check (length(email) <= 320)
);
create index visitors_of_key on app.visitors (key_id, workspace_id) where key_id is not null;
create index visitors_of_workspace on app.visitors (workspace_id);
create index visitors_by_age on app.visitors (created_at);

create table app.conversations (
  id uuid not null default gen_random_uuid(),
  workspace_id uuid not null default app.member_org() references app.workspaces,
  client_id uuid not null default gen_random_uuid(),
  visitor_id uuid,
  bot_user_id uuid references app.users on delete set null,
  status text not null default 'waiting',
  channel text not null default 'web',
  priority smallint not null default 1,
  subject text not null default '',
  customer_name text not null default '',
  customer_email text not null default '',
  labels text[] not null default '{}',
  -- Whose turn it is to speak: whoever answers in an older one is late.
  epoch int not null default 0,
  last_seq bigint not null default 0,
  claimed_by uuid,
  claimed_at timestamptz,
  waiting_since timestamptz default now(),
  snoozed_until timestamptz,
  first_reply_at timestamptz,
  resolved_at timestamptz,
  created_at timestamptz not null default now(),
  active_at timestamptz not null default now(),
  primary key (id, workspace_id),
  unique (client_id, workspace_id),
  unique (visitor_id, workspace_id),
  foreign key (visitor_id, workspace_id) references app.visitors (id, workspace_id) on delete set null (visitor_id),
  foreign key (claimed_by, workspace_id) references app.workspace_members (user_id, workspace_id) on delete set null (claimed_by),
  constraint conversations_status_known check (status in ('bot', 'waiting', 'claimed', 'snoozed', 'resolved')),
  constraint conversations_channel_known check (channel in ('web', 'relay')),
  constraint conversations_priority_known check (priority between 0 and 3),
  constraint conversations_subject_length check (length(subject) <= 200),
  constraint conversations_customer_length check (length(customer_name) <= 80 and length(customer_email) <= 320),
  constraint conversations_labels_few check (cardinality(labels) <= 20),
  constraint conversations_claimed_by_somebody check ((status = 'claimed') = (claimed_by is not null) and (claimed_by is null) = (claimed_at is null)),
  constraint conversations_waiting_since check (status <> 'waiting' or waiting_since is not null),
  constraint conversations_resolved_at check ((status = 'resolved') = (resolved_at is not null)),
  constraint conversations_snoozed_until check (status = 'snoozed' or snoozed_until is null)
);
create index conversations_queue on app.conversations (workspace_id, status, priority desc, waiting_since, id);
create index conversations_latest on app.conversations (workspace_id, status, active_at desc, id desc);
create index conversations_open on app.conversations (workspace_id, active_at desc, id desc) where status in ('bot', 'waiting', 'claimed');
create index conversations_claimed on app.conversations (claimed_by, workspace_id) where claimed_by is not null;
create index conversations_put_off on app.conversations (snoozed_until) where status = 'snoozed';
create index conversations_of_bot on app.conversations (bot_user_id) where bot_user_id is not null;
comment on column app.conversations.waiting_since is 'since when the customer waits for somebody to answer; NULL once somebody has';
comment on column app.conversations.priority is '0 low, 1 normal, 2 high, 3 urgent';

create table app.conversation_messages (
  id uuid not null default gen_random_uuid(),
  conversation_id uuid not null,
  workspace_id uuid not null,
  seq bigint not null,
  client_id uuid not null default gen_random_uuid(),
  role text not null,
  content jsonb not null,
  author_id uuid references app.users on delete set null,
  author_name text not null default '',
  created_at timestamptz not null default now(),
  primary key (id, workspace_id),
  unique (conversation_id, workspace_id, seq),
  unique (client_id, conversation_id, workspace_id),
  foreign key (conversation_id, workspace_id) references app.conversations (id, workspace_id) on delete cascade,
  constraint conversation_messages_role_known check (role in ('customer', 'bot', 'agent', 'note', 'system')),
  constraint conversation_messages_content_form check (jsonb_typeof(content) = 'object' and jsonb_typeof(content -> 'text') = 'string')
);
create index conversation_messages_by_time on app.conversation_messages (conversation_id, created_at);
create index conversation_messages_of_author on app.conversation_messages (author_id) where author_id is not null;
comment on column app.conversation_messages.author_name is 'as the customer was told it; stays when the person goes';
comment on column app.conversation_messages.role is 'note and system are for the staff alone';

alter table app.desks enable row level security;
alter table app.desks force row level security;
alter table app.widget_keys enable row level security;
alter table app.widget_keys force row level security;
alter table app.agents enable row level security;
alter table app.agents force row level security;
alter table app.visitors enable row level security;
alter table app.visitors force row level security;
alter table app.conversations enable row level security;
alter table app.conversations force row level security;
alter table app.conversation_messages enable row level security;
alter table app.conversation_messages force row level security;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;
grant usage, create on schema gate to moat_definer;

-- The one talk of the visitor whose lane it is; NULL, which equals nothing, once they are blocked or have none yet.
create function app.visitor_conversation() returns uuid
language plpgsql stable security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  me uuid := c ->> 'visitor';
  o uuid := c ->> 'org_id';
begin
  if c ->> 'role' is distinct from 'visitor' then return null; end if;
  return (select t.id from app.visitors v join app.conversations t on t.visitor_id = v.id and t.workspace_id = v.workspace_id
             join app.workspaces w on w.id = v.workspace_id
           where v.id = me and v.workspace_id = o and v.blocked_at is null and w.deleted_at is null);
end $$;
alter function app.visitor_conversation() owner to moat_definer;
set local role moat_definer;
grant execute on function app.visitor_conversation() to visitor;
reset role;

create policy select_member on app.desks for select to authenticated using (workspace_id = (select app.member_org()));
create policy insert_manager on app.desks for insert to authenticated with check (workspace_id = (select app.managed_org()));
create policy update_manager on app.desks for update to authenticated using (workspace_id = (select app.managed_org()));
grant select, insert (name, welcome), update (name, welcome) on app.desks to authenticated;
-- Not granted: delete. A desk is closed with its workspace.
comment on table app.desks is 'workspace; refused: delete';

create policy select_member on app.widget_keys for select to authenticated using (workspace_id = (select app.member_org()));
create policy insert_manager on app.widget_keys for insert to authenticated with check (workspace_id = (select app.managed_org()));
create policy update_manager on app.widget_keys for update to authenticated using (workspace_id = (select app.managed_org()));
create policy delete_manager on app.widget_keys for delete to authenticated using (workspace_id = (select app.managed_org()));
grant select, insert (name, origins), update (name, origins), delete on app.widget_keys to authenticated;
comment on table app.widget_keys is 'workspace';

create policy select_member on app.agents for select to authenticated using (workspace_id = (select app.member_org()));
create policy insert_manager on app.agents for insert to authenticated with check (workspace_id = (select app.managed_org()));
create policy update_manager on app.agents for update to authenticated using (workspace_id = (select app.managed_org()));
create policy delete_manager on app.agents for delete to authenticated using (workspace_id = (select app.managed_org()));
grant select, insert (user_id, name, capacity), update (name, capacity), delete on app.agents to authenticated;
-- Not granted: what is each agent's own, whether they are there. app.hold_agent and app.set_available write that.
comment on table app.agents is 'workspace';

create policy select_member on app.visitors for select to authenticated using (workspace_id = (select app.member_org()));
create policy update_member on app.visitors for update to authenticated using (workspace_id = (select app.member_org()));
grant select (id, workspace_id, name, email, created_at, seen_at, blocked_at), update (blocked_at) on app.visitors to authenticated;
-- Not granted: the hash of their token to anybody; insert and delete (they come and go by themselves).
comment on table app.visitors is 'workspace; refused: insert, delete';

create policy select_member on app.conversations for select to authenticated using (workspace_id = (select app.member_org()));
create policy insert_member on app.conversations for insert to authenticated with check (workspace_id = (select app.member_org()));
create policy update_member on app.conversations for update to authenticated using (workspace_id = (select app.member_org()));
create policy delete_member on app.conversations for delete to authenticated using (workspace_id = (select app.member_org()));
create policy select_visitor on app.conversations for select to visitor using (id = (select app.visitor_conversation()));
create policy update_visitor on app.conversations for update to visitor using (id = (select app.visitor_conversation()));
grant select, insert (client_id, subject, customer_name, customer_email),
  update (status, priority, subject, labels, epoch, last_seq, claimed_by, claimed_at, waiting_since, snoozed_until, first_reply_at, resolved_at, active_at)
  on app.conversations to authenticated;
grant select (id, workspace_id, status, last_seq, waiting_since, resolved_at, created_at, active_at),
  update (status, last_seq, waiting_since, snoozed_until, resolved_at, active_at) on app.conversations to visitor;
-- Not granted: delete. Nobody erases a customer's talk by a click.
comment on table app.conversations is 'workspace';

create policy select_member on app.conversation_messages for select to authenticated using (workspace_id = (select app.member_org()));
-- In one's own name, and never in a customer's or the bot's.
create policy insert_member on app.conversation_messages for insert to authenticated
  with check (workspace_id = (select app.member_org()) and author_id = (select auth.uid()) and role in ('agent', 'note', 'system'));
create policy update_member on app.conversation_messages for update to authenticated using (workspace_id = (select app.member_org()));
create policy delete_member on app.conversation_messages for delete to authenticated using (workspace_id = (select app.member_org()));
-- What was said to them. It reads the message's role and nobody's membership.
create policy select_visitor on app.conversation_messages for select to visitor
  using (conversation_id = (select app.visitor_conversation()) and role in ('customer', 'bot', 'agent'));
create policy insert_visitor on app.conversation_messages for insert to visitor
  with check (conversation_id = (select app.visitor_conversation()) and role = 'customer' and author_id is null and author_name = '');
grant select, insert (conversation_id, workspace_id, seq, client_id, role, content, author_id, author_name) on app.conversation_messages to authenticated;
grant select (id, conversation_id, workspace_id, seq, client_id, role, content, author_name, created_at),
  insert (conversation_id, workspace_id, seq, client_id, role, content) on app.conversation_messages to visitor;
-- Not granted: update and delete. What was said stays as it was said.
comment on table app.conversation_messages is 'workspace';

-- Definers look across for the opening of a lane, for what is given back, and for what a visitor begins.
create policy select_definer on app.desks for select to moat_definer using (true);
grant select (workspace_id, name, welcome) on app.desks to moat_definer;
create policy select_definer on app.widget_keys for select to moat_definer using (true);
grant select (id, workspace_id, key, origins) on app.widget_keys to moat_definer;
create policy select_definer on app.agents for select to moat_definer using (true);
create policy update_definer on app.agents for update to moat_definer using (true);
grant select, update (here_until, available) on app.agents to moat_definer;
create policy select_definer on app.visitors for select to moat_definer using (true);
create policy insert_definer on app.visitors for insert to moat_definer with check (true);
create policy update_definer on app.visitors for update to moat_definer using (true);
create policy delete_definer on app.visitors for delete to moat_definer using (true);
grant delete, select, insert (workspace_id, key_id, token_hash), update (seen_at, name, email) on app.visitors to moat_definer;
create policy select_definer on app.conversations for select to moat_definer using (true);
create policy insert_definer on app.conversations for insert to moat_definer with check (true);
create policy update_definer on app.conversations for update to moat_definer using (true);
grant select, insert (workspace_id, visitor_id, channel, customer_name, customer_email),
  update (claimed_by, status, snoozed_until, waiting_since, customer_name, customer_email) on app.conversations to moat_definer;

-- The lane of a visitor. Their token says who they are; everything else is looked up.
create function gate.open_visitor(p_hash bytea) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  v record;
begin
  select x.id, x.workspace_id into v from app.visitors x join app.workspaces w on w.id = x.workspace_id
   where x.token_hash = p_hash and x.blocked_at is null and w.deleted_at is null;
  if not found then return 'none'; end if;
  perform set_config('request.jwt.claims',
    jsonb_build_object('role', 'visitor', 'visitor', v.id, 'org_id', v.workspace_id)::text, true);
  return 'visitor';
end $$;

-- What a page that shows the talk may know of a desk before anybody has said a word.
create function gate.read_desk(p_key text, out name text, out welcome text, out origins text[], out open boolean)
language plpgsql stable security definer set search_path = '' as $$
begin
  select d.name, d.welcome, k.origins, exists (
      select from app.agents a where a.workspace_id = k.workspace_id and a.here_until > now() and a.available)
    into name, welcome, origins, open
    from app.widget_keys k join app.desks d on d.workspace_id = k.workspace_id
    join app.workspaces w on w.id = k.workspace_id where k.key = p_key and w.deleted_at is null;
end $$;

-- A new visitor of the desk that a page names. False: there is no such key.
create function gate.make_visitor(p_key text, p_hash bytea) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
  insert into app.visitors (workspace_id, key_id, token_hash)
    select k.workspace_id, k.id, p_hash from app.widget_keys k join app.workspaces w on w.id = k.workspace_id
     where k.key = p_key and w.deleted_at is null;
  return found;
end $$;

-- The visitor's talk, begun if they have none yet.
create function app.begin_conversation() returns uuid
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
    insert into app.conversations (workspace_id, visitor_id, channel, customer_name, customer_email)
      values (v.workspace_id, v.id, 'web', v.name, v.email) returning id into conversation;
  end if;
  return conversation;
end $$;

-- What a visitor says of themselves: their name and address, for the staff.
create function app.introduce(p_name text, p_email text) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  me uuid := c ->> 'visitor';
  o uuid := c ->> 'org_id';
begin
  update app.visitors v set name = p_name, email = p_email where v.id = me and v.workspace_id = o and v.blocked_at is null;
  if not found then raise exception using errcode = 'P0404', message = 'no such visitor'; end if;
  update app.conversations t set customer_name = p_name, customer_email = p_email where t.visitor_id = me and t.workspace_id = o;
end $$;

create function app.known_as(out name text, out email text, out agent text)
language plpgsql stable security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  me uuid := c ->> 'visitor';
  o uuid := c ->> 'org_id';
begin
  select v.name, v.email, a.name into name, email, agent from app.visitors v
    left join app.conversations t on t.visitor_id = v.id and t.workspace_id = v.workspace_id
    left join app.agents a on a.user_id = t.claimed_by and a.workspace_id = t.workspace_id
   where v.id = me and v.workspace_id = o;
end $$;

-- For a change that waits for nobody else's in the workspace, and still not for longer than its caller belongs there: their
-- removal, their erasure and the workspace's deletion wait for it, or it finds them done. In the order in which those lock.
create function app.hold_membership() returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  org uuid := app.member_org();
begin
  perform from app.users u where u.id = auth.uid() for key share;
  perform from app.workspace_members m where m.workspace_id = org and m.user_id = auth.uid() for key share;
  if not found or exists (select from app.workspaces w where w.id = org and w.deleted_at is not null) then raise exception using errcode = 'P0404', message = 'not in this workspace'; end if;
end $$;

-- The caller as an agent, held until the end of what they do: their next claim waits for this one, or both were the last that they
-- may have. Whoever does something is there, so their lease begins anew. P0441: they are no agent.
create function app.hold_agent() returns app.agents
language plpgsql volatile security definer set search_path = '' as $$
declare
  a app.agents;
begin
  update app.agents x set here_until = greatest(x.here_until, now() + interval '5 minutes')
   where x.workspace_id = app.member_org() and x.user_id = auth.uid() returning x.* into a;
  if not found then raise exception using errcode = 'P0441', message = 'no agent'; end if;
  return a;
end $$;

create function app.set_available(p_available boolean) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.hold_agent();
  update app.agents x set available = p_available where x.workspace_id = app.member_org() and x.user_id = auth.uid();
end $$;

-- A colleague who answers, held by whoever hands them something: another agent's row is not the caller's to change. P0441: they
-- are none. P0443: they are not there, and it would come straight back.
create function app.hold_colleague(p_member uuid) returns app.agents
language plpgsql volatile security definer set search_path = '' as $$
declare
  a app.agents;
begin
  -- Their membership first, as their removal does.
  perform from app.workspace_members m where m.id = p_member and m.workspace_id = app.member_org() for key share;
  select x.* into a from app.workspace_members m join app.agents x on x.workspace_id = m.workspace_id and x.user_id = m.user_id
   where m.id = p_member and m.workspace_id = app.member_org() for no key update of x;
  if not found then raise exception using errcode = 'P0441', message = 'no agent'; end if;
  if a.here_until < now() or not a.available then
    raise exception using errcode = 'P0443', message = 'not there';
  end if;
  return a;
end $$;

-- Claims whose lease has lapsed go back; the agent's row is held as well, or one who has just come back would lose theirs. Gives how many talks.
create function app.sweep_claims(p_limit int) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  n int;
begin
  perform app.require_reason('sweep');
  with lapsed as (
    select t.id, t.workspace_id from app.conversations t
      join app.agents a on a.workspace_id = t.workspace_id and a.user_id = t.claimed_by
     where t.status = 'claimed' and a.here_until < now() limit p_limit for no key update skip locked
  )
  update app.conversations t set claimed_by = null from lapsed l where t.id = l.id and t.workspace_id = l.workspace_id;
  get diagnostics n = row_count;
  return n;
end $$;

-- As before, but for a workspace with talks: what customers said is not taken away with it.
create or replace function app.sweep_workspaces() returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  n int;
begin
  perform app.require_reason('sweep');
  delete from app.workspaces w where w.id in (
    select x.id from app.workspaces x where x.deleted_at < now() - interval '30 days'
      and not exists (select from app.conversations t where t.workspace_id = x.id) limit 10 for update skip locked);
  get diagnostics n = row_count;
  return n;
end $$;

-- Visitors who never said anything.
create function app.sweep_visitors(p_limit int) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  n int;
begin
  perform app.require_reason('sweep');
  delete from app.visitors v where (v.id, v.workspace_id) in (
    select x.id, x.workspace_id from app.visitors x where x.created_at < now() - interval '1 day' and x.blocked_at is null
       and not exists (select from app.conversations t where t.visitor_id = x.id and t.workspace_id = x.workspace_id)
     order by x.created_at limit p_limit for update skip locked);
  get diagnostics n = row_count;
  return n;
end $$;

-- Talks that were put off until now come back.
create function app.sweep_snoozed(p_limit int) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  n int;
begin
  perform app.require_reason('sweep');
  with due as (
    select t.id, t.workspace_id from app.conversations t
     where t.status = 'snoozed' and t.snoozed_until < now() limit p_limit for no key update skip locked
  )
  update app.conversations t set status = 'waiting', snoozed_until = null, waiting_since = coalesce(t.waiting_since, now())
    from due d where t.id = d.id and t.workspace_id = d.workspace_id;
  get diagnostics n = row_count;
  return n;
end $$;

-- What holds whatever a statement says, the clearing of a claim by a foreign key among it: whoever loses a claim gives the talk
-- back, and each change of who speaks begins a new turn.
create function app.guard_conversation() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    if exists (select from app.workspaces w where w.id = new.workspace_id and w.personal_of is not null) then
      raise exception using errcode = 'P0433', message = 'a personal workspace has no desk';
    end if;
    return new;
  end if;
  -- A customer opens their talk again, and steers it no further.
  if nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role' = 'visitor' and new.status not in (old.status, 'waiting') then
    raise exception using errcode = 'P0403', message = 'for the staff';
  end if;
  if old.claimed_by is not null and new.claimed_by is null then
    new.claimed_at := null;
    if new.status = 'claimed' then
      new.status := 'waiting';
      new.waiting_since := coalesce(old.waiting_since, now());
    end if;
  end if;
  if new.claimed_by is distinct from old.claimed_by then
    new.epoch := old.epoch + 1;
  end if;
  return new;
end $$;

-- Whoever is an agent no more gives back what they had.
create function app.give_back() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.conversations t set claimed_by = null where t.claimed_by = old.user_id and t.workspace_id = old.workspace_id;
  return null;
end $$;

-- A personal workspace is deleted with its person; a talk would stand in the way of that.
create function app.guard_desk() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if exists (select from app.workspaces w where w.id = new.workspace_id and w.personal_of is not null) then
    raise exception using errcode = 'P0433', message = 'a personal workspace has no desk';
  end if;
  return new;
end $$;

-- To the desk: which talk, and nothing that was said in it. To the customer: that there is something to read.
create function app.tell_conversation() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' or (new.status, new.claimed_by, new.priority, new.subject, new.labels, new.customer_name, new.customer_email)
      is distinct from (old.status, old.claimed_by, old.priority, old.subject, old.labels, old.customer_name, old.customer_email) then
    perform app.tell(new.workspace_id, 'conversation.changed', jsonb_build_object('conversation', new.id));
    if tg_op = 'UPDATE' and new.status <> old.status then perform app.tell(new.id, 'conversation.changed', '{}'); end if;
  end if;
  return null;
end $$;
create function app.tell_conversation_message() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.tell(new.workspace_id, 'conversation.message', jsonb_build_object('conversation', new.conversation_id, 'seq', new.seq, 'role', new.role));
  if new.role in ('customer', 'bot', 'agent') then perform app.tell(new.conversation_id, 'conversation.message', '{}'); end if;
  return null;
end $$;
create function app.tell_agent() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if tg_op = 'UPDATE' and (new.name, new.available, new.capacity) is not distinct from (old.name, old.available, old.capacity) then
    return null;
  end if;
  perform app.tell(coalesce(new.workspace_id, old.workspace_id), 'desk.agents', '{}');
  return null;
end $$;
create function app.tell_visitor() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if new.blocked_at is not null and old.blocked_at is null then
    perform app.tell(t.id, 'conversation.closed', '{}') from app.conversations t where t.visitor_id = new.id and t.workspace_id = new.workspace_id;
  end if;
  return null;
end $$;

-- The topics of the visitor's own talk, and of the desk whose closing ends it.
create function app.visitor_topics(out topic uuid, out desk uuid)
language plpgsql stable security definer set search_path = '' as $$
begin
  topic := app.visitor_conversation();
  desk := (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'org_id')::uuid;
end $$;

-- Whoever acts at the desk holds their membership: deleting the workspace waits for them.
create function app.hold_members() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if new.deleted_at is not null and old.deleted_at is null then
    perform from app.workspace_members m where m.workspace_id = new.id order by m.user_id for update;
  end if;
  return new;
end $$;
create trigger hold_members before update of deleted_at on app.workspaces for each row execute function app.hold_members();
alter function app.hold_members() owner to moat_definer;

-- As before, with conversations, which every member sees.
create or replace function app.note_misses(p_misses jsonb) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  m record;
  hit record;
  known boolean;
begin
  perform app.require_reason('denials');
  for m in select x.sub, x.id, x.n from jsonb_to_recordset(p_misses) x (sub uuid, id uuid, n int) order by x.sub, x.id loop
    continue when app.fill_bucket('miss:' || m.sub, 60, interval '10 seconds') > 0;
    select f.what, f.org into hit from (
      select 'chat' as what, w.id as org from app.threads t join app.workspaces w on w.personal_of = t.user_id
       where t.id = m.id and t.user_id <> m.sub
      union all
      select 'message', w.id from app.messages x join app.workspaces w on w.personal_of = x.user_id where x.id = m.id and x.user_id <> m.sub
      union all
      select 'folder', w.id from app.folders x join app.workspaces w on w.personal_of = x.user_id where x.id = m.id and x.user_id <> m.sub
      union all
      select 'project', p.workspace_id from app.projects p where p.id = m.id
        and not exists (select from app.project_members x where x.project_id = p.id and x.workspace_id = p.workspace_id and x.user_id = m.sub)
      union all
      select 'member', x.workspace_id from app.workspace_members x where x.id = m.id and x.user_id <> m.sub
      union all
      select 'person', x.workspace_id from app.project_members x where x.id = m.id and x.user_id <> m.sub
        and not exists (select from app.project_members y where y.project_id = x.project_id and y.workspace_id = x.workspace_id and y.user_id = m.sub)
      union all
      select 'invitation', i.workspace_id from app.invitations i where i.id = m.id
      union all
      select 'conversation', t.workspace_id from app.conversations t where t.id = m.id) f
     -- Whoever looks after a workspace sees all of that there; from elsewhere they were told of nothing, and that is no denial.
     where not exists (select from app.workspace_members x where x.workspace_id = f.org and x.user_id = m.sub
                        and (x.role in ('owner', 'admin') or f.what in ('member', 'conversation')))
     limit 1;
    continue when not found;
    -- A stranger stays one: their name is nobody's business in a workspace that they have never been in.
    known := exists (select from app.workspace_members x where x.workspace_id = hit.org and x.user_id = m.sub)
      or exists (select from app.project_members x where x.workspace_id = hit.org and x.user_id = m.sub);
    -- Of no project: its managers may be guests, to whom no member of the workspace is named.
    insert into app.audit_pending (workspace_id, kind, hand, actor, new)
      values (hit.org, 'security.denied', case when known then 'person' else 'stranger' end, case when known then m.sub end,
              jsonb_build_object('what', hit.what, 'id', m.id, 'times', m.n));
  end loop;
end $$;

create trigger audit after insert or update of name, welcome on app.desks for each row execute function app.audit_row('desk', 'name welcome', '');
create trigger audit after insert or delete or update of name, capacity on app.agents
  for each row execute function app.audit_row('agent', 'name capacity', '');
create trigger audit after insert or delete or update of name, origins on app.widget_keys
  for each row execute function app.audit_row('widget', 'name origins', '');
create trigger audit after update of blocked_at on app.visitors for each row execute function app.audit_row('visitor', 'blocked_at', '');
create trigger guard_conversation before insert or update on app.conversations for each row execute function app.guard_conversation();
create trigger guard_desk before insert on app.desks for each row execute function app.guard_desk();
create trigger give_back after delete on app.agents for each row execute function app.give_back();
create trigger tell_conversation after insert or update on app.conversations for each row execute function app.tell_conversation();
create trigger tell_conversation_message after insert on app.conversation_messages for each row execute function app.tell_conversation_message();
create trigger tell_agent after insert or update or delete on app.agents for each row execute function app.tell_agent();
create trigger tell_visitor after update on app.visitors for each row execute function app.tell_visitor();

alter function gate.open_visitor(bytea) owner to moat_definer;
alter function gate.read_desk(text) owner to moat_definer;
alter function gate.make_visitor(text, bytea) owner to moat_definer;
alter function app.begin_conversation() owner to moat_definer;
alter function app.introduce(text, text) owner to moat_definer;
alter function app.known_as() owner to moat_definer;
alter function app.hold_membership() owner to moat_definer;
alter function app.hold_colleague(uuid) owner to moat_definer;
alter function app.sweep_claims(int) owner to moat_definer;
alter function app.sweep_visitors(int) owner to moat_definer;
alter function app.sweep_snoozed(int) owner to moat_definer;
alter function app.guard_conversation() owner to moat_definer;
alter function app.hold_agent() owner to moat_definer;
alter function app.set_available(boolean) owner to moat_definer;
alter function app.give_back() owner to moat_definer;
alter function app.guard_desk() owner to moat_definer;
alter function app.tell_conversation() owner to moat_definer;
alter function app.tell_conversation_message() owner to moat_definer;
alter function app.tell_agent() owner to moat_definer;
alter function app.tell_visitor() owner to moat_definer;
alter function app.visitor_topics() owner to moat_definer;
grant execute on function app.begin_conversation(), app.introduce(text, text), app.known_as(), app.visitor_topics() to visitor;
grant execute on function app.hold_membership(), app.hold_agent(), app.set_available(boolean), app.hold_colleague(uuid) to authenticated;
grant execute on function app.sweep_claims(int), app.sweep_snoozed(int), app.sweep_visitors(int) to service;
revoke create on schema app from moat_definer;
revoke create on schema gate from moat_definer;
revoke moat_definer from current_user;

-- What the staff does. In their own lane: the policies decide what there is, these decide what comes after what. The agent's row
-- is always held before a talk's.

-- P0442: they have as many talks as they can have.
create function app.claim(p_agent app.agents, p_conversation uuid) returns void
language plpgsql volatile security invoker set search_path = '' as $$
begin
  if (select count(*) from app.conversations t where t.claimed_by = p_agent.user_id) >= p_agent.capacity then
    raise exception using errcode = 'P0442', message = 'as many as they can have';
  end if;
  update app.conversations t
     set status = 'claimed', claimed_by = p_agent.user_id, claimed_at = now(), snoozed_until = null, resolved_at = null
   where t.id = p_conversation;
end $$;

-- A line for the staff, of what was done.
create function app.log_line(p_conversation uuid, p_text text) returns void
language plpgsql volatile security invoker set search_path = '' as $$
declare
  t record;
begin
  update app.conversations x set last_seq = x.last_seq + 1 where x.id = p_conversation returning x.workspace_id, x.last_seq into t;
  insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_id, author_name)
    values (p_conversation, t.workspace_id, t.last_seq, 'system', jsonb_build_object('text', p_text), (select auth.uid()), app.my_name(t.workspace_id));
end $$;

-- What the caller is called here: to customers if they are an agent, to colleagues otherwise. It stays when they go, so it is no address.
create function app.my_name(p_workspace uuid) returns text
language sql stable security invoker set search_path = '' as $$
  select coalesce(
    (select a.name from app.agents a where a.user_id = (select auth.uid()) and a.workspace_id = p_workspace),
    (select coalesce(nullif(m.name, ''), split_part(m.email, '@', 1)) from app.workspace_members m where m.user_id = (select auth.uid()) and m.workspace_id = p_workspace),
    '')
$$;

-- This one. `had_by` names who has it already, and then nothing was done. Not NULL with the caller's own name: they have it.
create function app.take_conversation(p_conversation uuid, out had_by uuid)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  a app.agents := app.hold_agent();
begin
  select t.claimed_by into had_by from app.conversations t where t.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  if had_by is null then
    perform app.claim(a, p_conversation);
    perform app.log_line(p_conversation, 'took this');
  end if;
end $$;

-- The one that has waited longest among the most urgent, and is nobody else's at this moment. NULL: nobody waits.
create function app.take_next() returns uuid
language plpgsql volatile security invoker set search_path = '' as $$
declare
  a app.agents := app.hold_agent();
  found_one uuid;
begin
  select t.id into found_one from app.conversations t where t.workspace_id = a.workspace_id and t.status = 'waiting'
   order by t.priority desc, t.waiting_since, t.id limit 1 for no key update skip locked;
  if found_one is not null then
    perform app.claim(a, found_one);
    perform app.log_line(found_one, 'took this');
  end if;
  return found_one;
end $$;

-- What an agent or a colleague writes. `held` says why nothing was stored: 'taken' (somebody else has the talk), 'news'
-- (something was said that the writer had not seen). The same client id with the same text gives what is stored.
create function app.answer_conversation(p_conversation uuid, p_client uuid, p_text text, p_seen bigint, p_note boolean,
    out message_id uuid, out held text)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  me uuid := (select auth.uid());
  a app.agents;
  t record;
  m record;
  at bigint;
begin
  if not p_note then a := app.hold_agent(); end if;
  select x.workspace_id, x.last_seq, x.claimed_by, x.status into t from app.conversations x where x.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  select x.id, x.content, x.role into m from app.conversation_messages x where x.client_id = p_client and x.conversation_id = p_conversation;
  if found then
    if m.content ->> 'text' is distinct from p_text or (m.role = 'note') is distinct from p_note then
      raise exception using errcode = 'P0409', message = 'this id was used for another text';
    end if;
    message_id := m.id;
    return;
  end if;
  if not p_note then
    if t.claimed_by is not null and t.claimed_by <> me then
      held := 'taken';
      return;
    end if;
    if exists (select from app.conversation_messages x where x.conversation_id = p_conversation and x.seq > p_seen
                 and x.role <> 'system' and x.author_id is distinct from me) then
      held := 'news';
      return;
    end if;
    if t.claimed_by is null then
      perform app.claim(a, p_conversation);
      perform app.log_line(p_conversation, 'took this');
    end if;
  end if;
  update app.conversations x
     set last_seq = x.last_seq + 1, active_at = clock_timestamp(),
         first_reply_at = case when p_note then x.first_reply_at else coalesce(x.first_reply_at, now()) end,
         waiting_since = case when p_note then x.waiting_since end
   where x.id = p_conversation returning x.last_seq into at;
  insert into app.conversation_messages (conversation_id, workspace_id, seq, client_id, role, content, author_id, author_name)
    values (p_conversation, t.workspace_id, at, p_client, case when p_note then 'note' else 'agent' end,
            jsonb_build_object('text', p_text), me, app.my_name(t.workspace_id))
    returning id into message_id;
end $$;

-- Resolved, put off, given back to the queue, opened again. `held` says why nothing was done, as above: what the customer has said
-- unseen is neither resolved nor put off.
create function app.set_conversation(p_conversation uuid, p_status text, p_until timestamptz, p_seen bigint, out held text)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  me uuid := (select auth.uid());
  a app.agents := app.hold_agent();
  t record;
begin
  select x.status, x.claimed_by into t from app.conversations x where x.id = p_conversation for no key update;
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
  if t.status = p_status and p_until is null then return; end if;
  update app.conversations x
     set status = p_status, claimed_by = null, claimed_at = null,
         resolved_at = case when p_status = 'resolved' then now() end,
         snoozed_until = case when p_status = 'snoozed' then p_until end,
         waiting_since = case when p_status = 'waiting' then coalesce(x.waiting_since, now()) when p_status = 'resolved' then null else x.waiting_since end
   where x.id = p_conversation;
  perform app.log_line(p_conversation, case p_status when 'resolved' then 'resolved this' when 'snoozed' then 'put this off'
    else case t.status when 'claimed' then 'gave this back' else 'opened this again' end end);
end $$;

-- To a colleague who answers; over anybody's head by whoever manages the workspace. P0441: they are no agent; P0403: it is
-- somebody else's.
create function app.hand_conversation(p_conversation uuid, p_member uuid) returns void
language plpgsql volatile security invoker set search_path = '' as $$
declare
  me uuid := (select auth.uid());
  t record;
  a app.agents := app.hold_colleague(p_member);
begin
  if not exists (select from app.agents x where x.user_id = me) and app.managed_org() is null then
    raise exception using errcode = 'P0441', message = 'no agent';
  end if;
  select x.claimed_by into t from app.conversations x where x.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  if t.claimed_by is not null and t.claimed_by <> me and app.managed_org() is null then
    raise exception using errcode = 'P0403', message = 'somebody else has it';
  end if;
  if t.claimed_by = a.user_id then return; end if;
  if (select count(*) from app.conversations x where x.claimed_by = a.user_id) >= a.capacity then
    raise exception using errcode = 'P0442', message = 'as many as they can have';
  end if;
  perform app.log_line(p_conversation, 'handed this to ' || a.name);
  update app.conversations x set status = 'claimed', claimed_by = a.user_id, claimed_at = now(), snoozed_until = null, resolved_at = null
   where x.id = p_conversation;
end $$;

-- What a visitor says. The same client id with the same text gives what is stored. Whatever it was, it is open again.
create function app.say(p_client uuid, p_text text) returns uuid
language plpgsql volatile security invoker set search_path = '' as $$
declare
  conversation uuid := app.begin_conversation();
  t record;
  m record;
  said uuid;
begin
  select x.workspace_id, x.status into t from app.conversations x where x.id = conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  select x.id, x.content, x.role into m from app.conversation_messages x where x.client_id = p_client and x.conversation_id = conversation;
  if found then
    if m.content ->> 'text' is distinct from p_text or m.role <> 'customer' then
      raise exception using errcode = 'P0409', message = 'this id was used for another text';
    end if;
    return m.id;
  end if;
  update app.conversations x
     set last_seq = x.last_seq + 1, active_at = clock_timestamp(), waiting_since = coalesce(x.waiting_since, now()),
         status = case when x.status in ('resolved', 'snoozed') then 'waiting' else x.status end,
         resolved_at = null, snoozed_until = null
   where x.id = conversation;
  insert into app.conversation_messages (conversation_id, workspace_id, seq, client_id, role, content)
    select conversation, x.workspace_id, x.last_seq, p_client, 'customer', jsonb_build_object('text', p_text)
      from app.conversations x where x.id = conversation
    returning id into said;
  return said;
end $$;

grant execute on function app.claim(app.agents, uuid), app.log_line(uuid, text), app.my_name(uuid),
  app.take_conversation(uuid), app.take_next(), app.answer_conversation(uuid, uuid, text, bigint, boolean),
  app.set_conversation(uuid, text, timestamptz, bigint), app.hand_conversation(uuid, uuid) to authenticated;
grant execute on function app.say(uuid, text) to visitor;
