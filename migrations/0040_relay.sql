-- Why: customers who write by other ways than our own frame. A program of the workspace's posts what they say, with a secret that it
-- holds; what is answered goes out to an address of the workspace's, signed, and is sent again until it was taken. A customer behind a
-- relay is a visitor like any other, with one talk, so that everything that holds for those holds for them.
create table app.relay_secrets (
  id uuid not null default gen_random_uuid(),
  workspace_id uuid not null default app.member_org(),
  name text not null,
  token_hash bytea not null,
  created_at timestamptz not null default now(),
  used_at timestamptz,
  primary key (id, workspace_id),
  unique (token_hash),
  foreign key (workspace_id) references app.desks on delete cascade,
  constraint relay_secrets_name_length check (length(name) between 1 and 80)
);
create index relay_secrets_of_workspace on app.relay_secrets (workspace_id, created_at);

create table app.webhooks (
  id uuid not null default gen_random_uuid(),
  workspace_id uuid not null default app.member_org(),
  url text not null,
  secret bytea not null,
  created_at timestamptz not null default now(),
  primary key (id, workspace_id),
  foreign key (workspace_id) references app.desks on delete cascade,
  constraint webhooks_url_form check (url ~ '^https?://' and length(url) <= 500),
  constraint webhooks_secret_length check (length(secret) between 24 and 64)
);
create index webhooks_of_workspace on app.webhooks (workspace_id, created_at);
comment on column app.webhooks.secret is 'what is signed with; shown once, when it is made';

-- What is to be sent to a webhook, in the order in which it was said.
create table app.deliveries (
  id uuid not null default gen_random_uuid(),
  workspace_id uuid not null,
  webhook_id uuid not null,
  conversation_id uuid not null,
  seq bigint not null,
  body jsonb not null,
  tries int not null default 0,
  due_at timestamptz not null default now(),
  lease uuid,
  created_at timestamptz not null default now(),
  sent_at timestamptz,
  dead_at timestamptz,
  why text not null default '',
  primary key (id, workspace_id),
  foreign key (webhook_id, workspace_id) references app.webhooks (id, workspace_id) on delete cascade,
  foreign key (conversation_id, workspace_id) references app.conversations (id, workspace_id) on delete cascade,
  constraint deliveries_ended_once check (sent_at is null or dead_at is null)
);
create index deliveries_due on app.deliveries (due_at) where sent_at is null and dead_at is null;
create index deliveries_in_order on app.deliveries (webhook_id, workspace_id, conversation_id, seq) where sent_at is null and dead_at is null;
create index deliveries_of_webhook on app.deliveries (webhook_id, workspace_id);
create index deliveries_of_conversation on app.deliveries (conversation_id, workspace_id);
create index deliveries_dead on app.deliveries (workspace_id, dead_at desc, id) where dead_at is not null;
create index deliveries_sent on app.deliveries (sent_at) where sent_at is not null;

alter table app.visitors add column relay_key text,
  add constraint visitors_relay_key_length check (length(relay_key) between 1 and 200);
create unique index visitors_of_relay on app.visitors (workspace_id, relay_key) where relay_key is not null;
comment on column app.visitors.relay_key is 'what a relay calls this customer; NULL for those of our own frame';

alter table app.relay_secrets enable row level security;
alter table app.relay_secrets force row level security;
alter table app.webhooks enable row level security;
alter table app.webhooks force row level security;
alter table app.deliveries enable row level security;
alter table app.deliveries force row level security;

create policy select_manager on app.relay_secrets for select to authenticated using (workspace_id = (select app.managed_org()));
create policy insert_manager on app.relay_secrets for insert to authenticated with check (workspace_id = (select app.managed_org()));
create policy delete_manager on app.relay_secrets for delete to authenticated using (workspace_id = (select app.managed_org()));
grant select (id, workspace_id, name, created_at, used_at), insert (name, token_hash), delete on app.relay_secrets to authenticated;
-- Not granted: the hash to anybody; update (another secret is another row).
comment on table app.relay_secrets is 'workspace; refused: update';

create policy select_manager on app.webhooks for select to authenticated using (workspace_id = (select app.managed_org()));
create policy insert_manager on app.webhooks for insert to authenticated with check (workspace_id = (select app.managed_org()));
create policy delete_manager on app.webhooks for delete to authenticated using (workspace_id = (select app.managed_org()));
grant select (id, workspace_id, url, created_at), insert (url, secret), delete on app.webhooks to authenticated;
-- Not granted: the secret to anybody; update (another address has another secret).
comment on table app.webhooks is 'workspace; refused: update';

create policy select_manager on app.deliveries for select to authenticated using (workspace_id = (select app.managed_org()));
create policy update_manager on app.deliveries for update to authenticated using (workspace_id = (select app.managed_org()));
grant select (id, workspace_id, webhook_id, conversation_id, seq, tries, due_at, created_at, sent_at, dead_at, why), update (due_at, dead_at, tries) on app.deliveries to authenticated;
-- Not granted: insert and delete. What was said makes them, and time takes them away.
comment on table app.deliveries is 'workspace; refused: insert, delete';

create policy select_definer on app.relay_secrets for select to moat_definer using (true);
create policy update_definer on app.relay_secrets for update to moat_definer using (true);
grant select, update (used_at) on app.relay_secrets to moat_definer;
create policy select_definer on app.webhooks for select to moat_definer using (true);
grant select on app.webhooks to moat_definer;
create policy select_definer on app.deliveries for select to moat_definer using (true);
create policy insert_definer on app.deliveries for insert to moat_definer with check (true);
create policy update_definer on app.deliveries for update to moat_definer using (true);
create policy delete_definer on app.deliveries for delete to moat_definer using (true);
grant select, insert, update, delete on app.deliveries to moat_definer;
grant select (relay_key), insert (relay_key, name, email) on app.visitors to moat_definer;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;
grant usage, create on schema gate to moat_definer;

-- Two more reasons: sending what was answered.
create or replace function gate.open_service(p_reason text, p_user uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_reason in ('sign_in', 'live', 'sweep', 'mail', 'operate', 'denials', 'domains', 'bot_turn', 'webhooks') and p_user is null then return 'service'; end if;
  if p_reason = 'generation' and exists (select from app.users u where u.id = p_user and u.status = 'active') then
    return 'service';
  end if;
  return 'none';
end $$;

-- The lane of a customer behind a relay, by its secret and what it calls them; they begin to exist with their first word.
-- 'none': no such secret, or the desk is gone. P0403: this customer is shut out.
create function gate.open_relay(p_hash bytea, p_key text, p_name text, p_email text) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  s record;
  v record;
begin
  select x.id, x.workspace_id into s from app.relay_secrets x join app.workspaces w on w.id = x.workspace_id
   where x.token_hash = p_hash and w.deleted_at is null;
  if not found then return 'none'; end if;
  update app.relay_secrets x set used_at = now() where x.id = s.id and x.workspace_id = s.workspace_id
    and (x.used_at is null or x.used_at < now() - interval '1 minute');
  insert into app.visitors (workspace_id, token_hash, relay_key, name, email)
    values (s.workspace_id, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), p_key, p_name, p_email)
    on conflict (workspace_id, relay_key) where relay_key is not null do nothing;
  select x.id, x.blocked_at into v from app.visitors x where x.workspace_id = s.workspace_id and x.relay_key = p_key;
  if v.blocked_at is not null then raise exception using errcode = 'P0403', message = 'blocked'; end if;
  perform set_config('request.jwt.claims',
    jsonb_build_object('role', 'visitor', 'visitor', v.id, 'org_id', s.workspace_id)::text, true);
  return 'visitor';
end $$;

-- As before, and by which way they come.
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
      select v.workspace_id, v.id, case when v.relay_key is null then 'web' else 'relay' end, v.name, v.email,
             case when d.bot then 'bot' else 'waiting' end, case when d.bot then d.bot_user_id end
        from app.desks d where d.workspace_id = v.workspace_id
      returning id into conversation;
  end if;
  return conversation;
end $$;

-- What agents and the assistant say to a customer behind a relay goes to every webhook of the workspace.
create function app.deliver() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  insert into app.deliveries (workspace_id, webhook_id, conversation_id, seq, body)
    select new.workspace_id, h.id, new.conversation_id, new.seq, jsonb_build_object(
             'type', 'conversation.message', 'timestamp', new.created_at,
             'data', jsonb_build_object('conversation', new.conversation_id, 'customer', v.relay_key, 'message', new.id, 'role', new.role,
                                        'author', new.author_name, 'text', new.content ->> 'text'))
      from app.conversations t join app.visitors v on v.id = t.visitor_id and v.workspace_id = t.workspace_id
      join app.webhooks h on h.workspace_id = t.workspace_id
     where t.id = new.conversation_id and t.workspace_id = new.workspace_id and v.relay_key is not null;
  return null;
end $$;

-- The next thing to send, for as long as a lease: the oldest that is due, and of a talk nothing before what was said before it has
-- been taken or given up. No row: nothing is due.
create function app.take_delivery(p_lease uuid, out id uuid, out url text, out secret bytea, out body text, out tries int)
language plpgsql volatile security definer set search_path = '' as $$
#variable_conflict use_column
declare
  d app.deliveries;
begin
  perform app.require_reason('webhooks');
  select x.* into d from app.deliveries x join app.workspaces w on w.id = x.workspace_id
   where x.sent_at is null and x.dead_at is null and x.due_at <= now() and w.deleted_at is null
     and not exists (select from app.deliveries e where e.webhook_id = x.webhook_id and e.workspace_id = x.workspace_id
                       and e.conversation_id = x.conversation_id and e.seq < x.seq and e.sent_at is null and e.dead_at is null)
   order by x.due_at, x.seq limit 1 for no key update of x skip locked;
  if not found then return; end if;
  update app.deliveries x set lease = p_lease, tries = x.tries + 1, due_at = now() + interval '60 seconds'
   where x.id = d.id and x.workspace_id = d.workspace_id;
  select h.url, h.secret into url, secret from app.webhooks h where h.id = d.webhook_id and h.workspace_id = d.workspace_id;
  id := d.id;
  body := d.body::text;
  tries := d.tries + 1;
end $$;

-- How it went. It was taken; or it is tried again after so many seconds; or, with none, it is given up and an admin sees it.
create function app.end_delivery(p_id uuid, p_lease uuid, p_taken boolean, p_why text, p_again double precision) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('webhooks');
  update app.deliveries x
     set lease = null, why = p_why, sent_at = case when p_taken then now() end,
         dead_at = case when not p_taken and p_again is null then now() end,
         due_at = case when p_taken or p_again is null then x.due_at else now() + make_interval(secs => p_again) end
   where x.id = p_id and x.lease = p_lease;
end $$;

-- What was taken a week ago is forgotten; how many there were.
create function app.sweep_deliveries(p_limit int) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  n int;
begin
  perform app.require_reason('sweep');
  delete from app.deliveries d where (d.id, d.workspace_id) in (
    select x.id, x.workspace_id from app.deliveries x where x.sent_at < now() - interval '7 days' order by x.sent_at limit p_limit for update skip locked);
  get diagnostics n = row_count;
  return n;
end $$;

create trigger deliver after insert on app.conversation_messages for each row when (new.role in ('agent', 'bot')) execute function app.deliver();
create trigger audit after insert or delete on app.relay_secrets for each row execute function app.audit_row('relay', 'name', '');
create trigger audit after insert or delete on app.webhooks for each row execute function app.audit_row('webhook', 'url', '');

alter function gate.open_relay(bytea, text, text, text) owner to moat_definer;
alter function app.deliver() owner to moat_definer;
alter function app.take_delivery(uuid) owner to moat_definer;
alter function app.end_delivery(uuid, uuid, boolean, text, double precision) owner to moat_definer;
alter function app.sweep_deliveries(int) owner to moat_definer;
grant execute on function app.take_delivery(uuid), app.end_delivery(uuid, uuid, boolean, text, double precision), app.sweep_deliveries(int) to service;
revoke create on schema app from moat_definer;
revoke create on schema gate from moat_definer;
revoke moat_definer from current_user;
