-- Why: the audit trail. Each change to the people, projects, invitations and settings of a workspace, and to the sessions and
-- settings of an account, is noted in its own transaction, by triggers. Nobody changes an event afterwards, and each carries a
-- hash over itself and all before it, so that whoever keeps an old copy notices what superusers do.
create table app.audit_events (
  workspace_id uuid not null references app.workspaces on delete cascade,
  seq bigint not null,
  -- JSON as it was hashed, to the letter. The columns below are read from it, so that they can't say anything else.
  body text not null,
  -- SHA-256 of the event before and of the body. The first one stands on the workspace's id.
  hash bytea not null,
  kind text not null generated always as (body::jsonb ->> 'kind') stored,
  at bigint not null generated always as ((body::jsonb ->> 'at')::bigint) stored,
  actor uuid generated always as ((body::jsonb ->> 'actor')::uuid) stored,
  person uuid generated always as ((body::jsonb ->> 'person')::uuid) stored,
  project_id uuid generated always as ((body::jsonb ->> 'project')::uuid) stored,
  primary key (workspace_id, seq),
  constraint audit_events_kind_known check (kind ~ '^[a-z]+\.(added|changed|removed|denied)$'),
  constraint audit_events_seq_is_its_own check (seq = (body::jsonb ->> 'seq')::bigint)
);
comment on column app.audit_events.at is 'microseconds since 1970';

-- What tells who somebody is. The event holds a salted hash of it, so that it can be erased and the chain still holds.
create table app.audit_people (
  workspace_id uuid not null,
  seq bigint not null,
  side text not null,
  about uuid,
  project_id uuid,
  salt bytea not null,
  data text not null,
  email text not null generated always as (coalesce(data::jsonb ->> 'email', '')) stored,
  primary key (workspace_id, seq, side),
  foreign key (workspace_id, seq) references app.audit_events on delete cascade,
  constraint audit_people_side_known check (side in ('actor', 'person'))
);
comment on column app.audit_people.data is 'JSON as it was hashed: email, name, ip, user_agent';

-- Where each chain ends: the lock that makes one event follow the other.
create table app.audit_heads (
  workspace_id uuid primary key references app.workspaces on delete cascade,
  seq bigint not null,
  hash bytea not null
);

-- What this transaction has noted so far. It goes into the chains when the transaction commits and not before: by then it waits
-- for no other row that people change, so that the heads, taken in one order, lock nobody out.
create table app.audit_pending (
  id bigint generated always as identity primary key,
  xid xid8 not null default pg_current_xact_id(),
  workspace_id uuid not null,
  kind text not null,
  hand text not null,
  actor uuid,
  person uuid,
  email text,
  ip text,
  user_agent text,
  project_id uuid,
  project text,
  old jsonb not null default '{}',
  new jsonb not null default '{}'
);

create index audit_events_by_kind on app.audit_events (workspace_id, kind, seq);
create index audit_events_by_time on app.audit_events (workspace_id, at);
create index audit_events_of_project on app.audit_events (workspace_id, project_id, seq) where project_id is not null;
create index audit_people_by_email on app.audit_people (workspace_id, email, seq);
create index audit_people_of_user on app.audit_people (about);
create index audit_people_of_address on app.audit_people (email) where email <> '';
create index audit_pending_of_transaction on app.audit_pending (xid);

alter table app.audit_events enable row level security;
alter table app.audit_events force row level security;
create policy select_manager on app.audit_events for select to authenticated
  using (workspace_id = (select (auth.jwt() ->> 'org_id')::uuid)
    and (workspace_id = (select app.managed_org()) or project_id = any((select app.managed_projects())::uuid[])));
create policy select_definer on app.audit_events for select to moat_definer using (true);
create policy insert_definer on app.audit_events for insert to moat_definer with check (true);
grant select (workspace_id, seq, body, hash, kind, at, actor, person, project_id) on app.audit_events to authenticated;
grant select, insert (workspace_id, seq, body, hash) on app.audit_events to moat_definer;
-- Not granted: insert (triggers and jobs write), update and delete, to anybody at all.
comment on table app.audit_events is 'workspace; refused: insert, update, delete';

alter table app.audit_people enable row level security;
alter table app.audit_people force row level security;
create policy select_manager on app.audit_people for select to authenticated
  using (workspace_id = (select (auth.jwt() ->> 'org_id')::uuid)
    and (workspace_id = (select app.managed_org()) or project_id = any((select app.managed_projects())::uuid[])));
create policy select_definer on app.audit_people for select to moat_definer using (true);
create policy insert_definer on app.audit_people for insert to moat_definer with check (true);
create policy delete_definer on app.audit_people for delete to moat_definer using (true);
grant select on app.audit_people to authenticated;
grant select, insert (workspace_id, seq, side, about, project_id, salt, data), delete on app.audit_people to moat_definer;
comment on table app.audit_people is 'workspace; refused: insert, update, delete';

alter table app.audit_heads enable row level security;
alter table app.audit_heads force row level security;
create policy select_definer on app.audit_heads for select to moat_definer using (true);
create policy insert_definer on app.audit_heads for insert to moat_definer with check (true);
create policy update_definer on app.audit_heads for update to moat_definer using (true);
grant select, insert, update (seq, hash) on app.audit_heads to moat_definer;
comment on table app.audit_heads is 'operations; refused: select, insert, update, delete';

alter table app.audit_pending enable row level security;
alter table app.audit_pending force row level security;
create policy select_definer on app.audit_pending for select to moat_definer using (true);
create policy insert_definer on app.audit_pending for insert to moat_definer with check (true);
create policy delete_definer on app.audit_pending for delete to moat_definer using (true);
grant select, insert, delete on app.audit_pending to moat_definer;
comment on table app.audit_pending is 'operations; refused: select, insert, update, delete';

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;
grant usage, create on schema gate to moat_definer;

-- Two more reasons: what was asked for in vain, and the chains on the command line (which is 'operate').
create or replace function gate.open_service(p_reason text, p_user uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_reason in ('sign_in', 'live', 'sweep', 'mail', 'operate', 'denials') and p_user is null then return 'service'; end if;
  if p_reason = 'generation' and exists (select from app.users u where u.id = p_user and u.status = 'active') then
    return 'service';
  end if;
  return 'none';
end $$;

-- The trigger of every table that is in the trail. Its arguments: what a row is called, the columns that an event shows, and
-- those of which it says only that they changed.
create function app.audit_row() returns trigger
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC' as $$
declare
  noun text := tg_argv[0];
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  was jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  becomes jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  whole jsonb := coalesce(becomes, was);
  before jsonb;
  after jsonb;
  org uuid;
  personal boolean;
  actor uuid;
  person uuid;
  address text;
  hand text;
begin
  select coalesce(jsonb_object_agg(f.k, f.b) filter (where f.b not in ('null', '""')), '{}'), coalesce(jsonb_object_agg(f.k, f.a) filter (where f.a not in ('null', '""')), '{}')
    into before, after from (
      select k, coalesce(was -> k, 'null') as b, coalesce(becomes -> k, 'null') as a from unnest(string_to_array(tg_argv[1], ' ')) k
       where was -> k is distinct from becomes -> k
      union all
      select k, case when was ->> k <> '' then '"(not shown)"'::jsonb else 'null' end, case when becomes ->> k <> '' then '"(not shown)"'::jsonb else 'null' end
        from unnest(string_to_array(tg_argv[2], ' ')) k where was -> k is distinct from becomes -> k) f;
  if tg_op = 'UPDATE' and before = '{}' and after = '{}' then return null; end if;

  person := case tg_table_name when 'users' then whole ->> 'id' when 'invitations' then whole ->> 'accepted_by' else whole ->> 'user_id' end;
  org := case tg_table_name when 'workspaces' then whole ->> 'id' else whole ->> 'workspace_id' end;
  -- Of an account: into its own workspace. And nothing of a workspace that is just going for good.
  select w.id, w.personal_of is not null into org, personal from app.workspaces w
   where w.id = org or (org is null and w.personal_of = person);
  if not found then return null; end if;

  address := case tg_table_name when 'invitations' then whole ->> 'email' when 'invitation_projects' then
    (select i.email from app.invitations i where i.id = (whole ->> 'invitation_id')::uuid and i.workspace_id = org) end;
  -- Somebody who is erased takes invitations along, and leaves no address here.
  if tg_op = 'DELETE' and tg_table_name = 'invitations' and (was ->> 'accepted_at' is not null or pg_trigger_depth() > 1) then return null; end if;

  actor := case when c ->> 'role' = 'authenticated' then c ->> 'sub' when c ->> 'reason' = 'sign_in' and not (tg_table_name = 'sessions' and tg_op = 'UPDATE') then person::text end;
  hand := case when actor is not null then 'person' when c ->> 'reason' = 'operate' then 'operator' when c is null then 'database' else 'server' end;
  -- What is made with an account is no news in it, nor that its owner is what the account is.
  if personal and (noun in ('member', 'person')
      or (tg_op = 'INSERT' and noun in ('workspace', 'project') and c ->> 'role' is distinct from 'authenticated')) then
    return null;
  end if;
  -- Whoever runs the server is not introduced to those whom they keep out: it is they who change other people's accounts, and
  -- what follows from that by triggers.
  if actor <> person and (noun = 'account' or (tg_op = 'UPDATE' and noun in ('member', 'person') and pg_trigger_depth() > 1)) then
    actor := null;
    hand := 'operator';
  end if;
  insert into app.audit_pending (workspace_id, kind, hand, actor, person, email, ip, user_agent, project_id, project, old, new)
    select org, noun || case tg_op when 'INSERT' then '.added' when 'UPDATE' then '.changed' else '.removed' end, x.hand, x.actor, x.person, x.address,
           case when x.hand = 'person' then coalesce(c ->> 'ip', whole ->> 'ip', '') end, case when x.hand = 'person' then coalesce(c ->> 'user_agent', whole ->> 'device', '') end,
           x.project, case when tg_table_name = 'projects' then whole ->> 'name' else (select p.name from app.projects p where p.id = x.project and p.workspace_id = org) end,
           before, after
      from (values (hand, actor, person, address, (case tg_table_name when 'projects' then whole ->> 'id' else whole ->> 'project_id' end)::uuid)) x (hand, actor, person, address, project);
  return null;
end $$;

-- One side of an event: stores what tells who it is and gives the hash of that. Nothing of somebody who is erased.
create function app.audit_label(p_about uuid, p_email text, p_ip text, p_agent text, out salt bytea, out data text, out hash text)
language plpgsql volatile security definer set search_path = '' as $$
begin
  select jsonb_build_object('email', coalesce(u.email, ''), 'name', u.display_name, 'ip', coalesce(p_ip, ''), 'user_agent', coalesce(p_agent, ''))::text
    into data from app.users u where u.id = p_about and u.erased_at is null;
  if p_about is null and p_email is not null then
    data := jsonb_build_object('email', p_email, 'name', '', 'ip', '', 'user_agent', '')::text;
  end if;
  if data is null then return; end if;
  salt := uuid_send(gen_random_uuid());
  hash := encode(sha256(salt || convert_to(data, 'UTF8')), 'hex');
end $$;

-- At the end of the transaction: what it has noted becomes the next links of the chains.
create function app.seal_audit() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  p app.audit_pending;
  n bigint;
  prev bytea;
  link bytea;
  whole text;
  org uuid;
  doer record;
  other record;
begin
  -- All of them the first time it is asked, since only then they come in one order.
  if not exists (select from app.audit_pending x where x.id = new.id) then return null; end if;
  for p in select x.* from app.audit_pending x where x.xid = pg_current_xact_id() order by x.workspace_id, x.id loop
    if p.workspace_id is distinct from org then
      if n is not null then update app.audit_heads h set seq = n, hash = prev where h.workspace_id = org; end if;
      org := p.workspace_id;
      insert into app.audit_heads (workspace_id, seq, hash) select w.id, 0, sha256(uuid_send(w.id)) from app.workspaces w where w.id = org
        on conflict (workspace_id) do nothing;
      select h.seq, h.hash into n, prev from app.audit_heads h where h.workspace_id = org for update;
    end if;
    continue when n is null;
    n := n + 1;
    select * into doer from app.audit_label(p.actor, null, p.ip, p.user_agent);
    select * into other from app.audit_label(nullif(p.person, p.actor), case when p.person is null then p.email end, null, null);
    whole := jsonb_build_object('seq', n, 'at', (extract(epoch from clock_timestamp()) * 1000000)::bigint, 'kind', p.kind, 'by', p.hand, 'actor', p.actor,
      'actor_hash', doer.hash, 'person', p.person, 'person_hash', other.hash, 'project', p.project_id, 'project_name', p.project,
      'old', p.old, 'new', p.new)::text;
    link := sha256(prev || convert_to(whole, 'UTF8'));
    insert into app.audit_events (workspace_id, seq, body, hash) values (p.workspace_id, n, whole, link);
    if doer.data is not null then
      insert into app.audit_people (workspace_id, seq, side, about, project_id, salt, data) values (p.workspace_id, n, 'actor', p.actor, p.project_id, doer.salt, doer.data);
    end if;
    if other.data is not null then
      insert into app.audit_people (workspace_id, seq, side, about, project_id, salt, data) values (p.workspace_id, n, 'person', p.person, p.project_id, other.salt, other.data);
    end if;
    prev := link;
  end loop;
  if n is not null then update app.audit_heads h set seq = n, hash = prev where h.workspace_id = org; end if;
  delete from app.audit_pending x where x.xid = pg_current_xact_id();
  return null;
end $$;

-- Not even a superuser changes an event by mistake. A trail goes with its workspace, and in no other way.
create function app.keep_audit() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if tg_op = 'DELETE' and not exists (select from app.workspaces w where w.id = old.workspace_id) then return old; end if;
  raise exception using errcode = '42501', message = 'the audit trail is kept as it is';
end $$;

-- Whoever is erased leaves what they did and not who they were.
create function app.forget_audit() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  -- Of labels about an address alone: all addresses that they have had here. Not of somebody else who has one of them now.
  delete from app.audit_people p where p.about is null
    and (p.email = old.email or p.email in (select x.email from app.audit_people x where x.about = old.id and x.email <> ''));
  delete from app.audit_people p where p.about = old.id;
  return null;
end $$;

-- What take_token does, for whichever reason: the caller asks for theirs.
create function app.fill_bucket(p_key text, p_burst int, p_every interval) returns double precision
language plpgsql volatile security definer set search_path = '' as $$
declare
  t timestamptz := clock_timestamp();
  free timestamptz;
begin
  insert into app.rate_limits (key, free_at) values (p_key, t) on conflict (key) do nothing;
  select r.free_at into free from app.rate_limits r where r.key = p_key for update;
  free := greatest(free, t) + p_every;
  if free > t + p_every * p_burst then
    return extract(epoch from free - (t + p_every * p_burst));
  end if;
  update app.rate_limits r set free_at = free where r.key = p_key;
  return 0;
end $$;
create or replace function app.take_token(p_key text, p_burst int, p_every interval) returns double precision
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('sign_in');
  return app.fill_bucket(p_key, p_burst, p_every);
end $$;

-- Ids that people asked for and were told that there is nothing: [{sub, id, n}]. Those that are there, and not theirs, are noted
-- where they are. Nobody sees by it whether anything is there: it runs after the answers, and what it limits is how much
-- somebody asks in vain, not how much of that exists.
create function app.note_misses(p_misses jsonb) returns void
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
      select 'invitation', i.workspace_id from app.invitations i where i.id = m.id) f
     -- Whoever looks after a workspace sees all of that there; from elsewhere they were told of nothing, and that is no denial.
     where not exists (select from app.workspace_members x where x.workspace_id = f.org and x.user_id = m.sub
                        and (x.role in ('owner', 'admin') or f.what = 'member'))
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

-- For `moat audit verify`: where each chain begins and ends, and its links.
create function app.audit_chains(p_after uuid, p_limit int) returns table (workspace uuid, name text, begins bytea, seq bigint, hash bytea)
language plpgsql stable security definer set search_path = '' as $$
begin
  perform app.require_reason('operate');
  return query select w.id, w.name, sha256(uuid_send(w.id)), coalesce(h.seq, 0), coalesce(h.hash, sha256(uuid_send(w.id)))
    from app.workspaces w left join app.audit_heads h on h.workspace_id = w.id
   where p_after is null or w.id > p_after order by w.id limit p_limit;
end $$;

create function app.audit_chain(p_workspace uuid, p_after bigint, p_limit int)
returns table (seq bigint, body text, hash bytea, actor_salt bytea, actor text, person_salt bytea, person text)
language plpgsql stable security definer set search_path = '' as $$
begin
  perform app.require_reason('operate');
  return query select e.seq, e.body, e.hash, a.salt, a.data, p.salt, p.data from app.audit_events e
    left join app.audit_people a on a.workspace_id = e.workspace_id and a.seq = e.seq and a.side = 'actor'
    left join app.audit_people p on p.workspace_id = e.workspace_id and p.seq = e.seq and p.side = 'person'
   where e.workspace_id = p_workspace and e.seq > p_after order by e.seq limit p_limit;
end $$;

-- Where the chain of the lane's workspace begins, for a copy of it: the hash tells nothing of the id.
create function app.audit_beginning() returns bytea
language plpgsql stable security definer set search_path = '' as $$
begin
  return sha256(uuid_send(app.managed_org()));
end $$;

grant select (id) on app.threads to moat_definer;
create policy select_definer on app.folders for select to moat_definer using (true);
grant select (id, user_id) on app.folders to moat_definer;

create constraint trigger seal_audit after insert on app.audit_pending deferrable initially deferred for each row execute function app.seal_audit();
create trigger keep_audit before update or delete on app.audit_events for each row execute function app.keep_audit();
create trigger keep_audit_whole before truncate on app.audit_events for each statement execute function app.keep_audit();
create trigger keep_people before update on app.audit_people for each row execute function app.keep_audit();
create trigger forget_audit_of_deleted after delete on app.users for each row execute function app.forget_audit();
create trigger forget_audit after update of erased_at on app.users for each row
  when (new.erased_at is not null and old.erased_at is null) execute function app.forget_audit();

create trigger audit after insert or update of name, description, deleted_at on app.workspaces
  for each row execute function app.audit_row('workspace', 'name description deleted_at', '');
create trigger audit after insert or delete or update of role, status on app.workspace_members
  for each row execute function app.audit_row('member', 'role status', '');
create trigger audit after insert or delete or update of name, description, archived_at on app.projects
  for each row execute function app.audit_row('project', 'name description archived_at', '');
create trigger audit after insert or delete or update of role, status on app.project_members
  for each row execute function app.audit_row('person', 'role status', '');
create trigger audit after insert or delete or update of role, token_hash, expires_at, accepted_at on app.invitations
  for each row execute function app.audit_row('invitation', 'role expires_at accepted_at', 'token_hash');
create trigger audit after insert on app.invitation_projects for each row execute function app.audit_row('offer', 'role', '');
create trigger audit after insert or update of revoked_at on app.sessions for each row execute function app.audit_row('session', 'revoked_at', '');
create trigger audit after update of email, display_name, phone, language, time_zone, status, superuser on app.users
  for each row execute function app.audit_row('account', 'status superuser language time_zone', 'email display_name phone');
create trigger audit after insert or delete or update of password_phc on app.credentials
  for each row execute function app.audit_row('password', '', 'password_phc');

do $$
declare
  f text;
begin
  foreach f in array array['audit_row()', 'audit_label(uuid, text, text, text)', 'seal_audit()', 'keep_audit()', 'forget_audit()',
      'fill_bucket(text, int, interval)', 'note_misses(jsonb)', 'audit_chains(uuid, int)', 'audit_chain(uuid, bigint, int)', 'audit_beginning()'] loop
    execute format('alter function app.%s owner to moat_definer', f);
  end loop;
end $$;
grant execute on function app.note_misses(jsonb), app.audit_chains(uuid, int), app.audit_chain(uuid, bigint, int) to service;
grant execute on function app.audit_beginning() to authenticated;
revoke create on schema app from moat_definer;
revoke create on schema gate from moat_definer;
revoke moat_definer from current_user;
