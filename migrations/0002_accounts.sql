-- Why: who people are and which of their sessions are alive. A row here is read by its owner alone; passwords and refresh
-- tokens are read by no request role at all, only through the functions below.
create table app.users (
  id uuid primary key default gen_random_uuid(),
  email text not null,
  display_name text not null default '',
  status text not null default 'active',
  -- A little in the past: a token's time comes from another clock than the database's.
  tokens_valid_from timestamptz not null default now() - interval '1 minute',
  created_at timestamptz not null default now(),
  constraint users_email_key unique (email),
  constraint users_email_form check (email !~ '[A-Z[:space:]]' and length(email) between 3 and 254 and email ~ '^[^@]+@[^@]+$'),
  constraint users_display_name_length check (length(display_name) <= 80),
  constraint users_status_known check (status in ('invited', 'waitlist', 'active', 'inactive', 'banned', 'archived'))
);
alter table app.users enable row level security;
alter table app.users force row level security;
create policy select_own on app.users for select to authenticated using (id = (select auth.uid()));
create policy update_own on app.users for update to authenticated using (id = (select auth.uid()));
create policy select_definer on app.users for select to moat_definer using (true);
create policy insert_definer on app.users for insert to moat_definer with check (true);
grant select (id, email, display_name, status, created_at), update (display_name) on app.users to authenticated;
grant select (id, email, display_name, status, tokens_valid_from), insert (email, display_name) on app.users to moat_definer;
-- Not granted: insert (app.sign_up makes users), delete (closing an account is a room of its own), update of email and
-- status (they need proof or a second person).
comment on table app.users is 'private; refused: insert, delete';
comment on column app.users.tokens_valid_from is 'a token issued earlier is refused: everywhere signed out at once';

create table app.credentials (
  user_id uuid primary key references app.users on delete cascade,
  password_phc text not null,
  changed_at timestamptz not null default now()
);
alter table app.credentials enable row level security;
alter table app.credentials force row level security;
create policy select_definer on app.credentials for select to moat_definer using (true);
create policy insert_definer on app.credentials for insert to moat_definer with check (true);
grant select (user_id, password_phc), insert (user_id, password_phc) on app.credentials to moat_definer;
-- Not granted: anything to a request role. A hash that cannot be read cannot be cracked.
comment on table app.credentials is 'private; refused: select, insert, update, delete';

create table app.sessions (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null references app.users on delete cascade,
  device text not null default '',
  ip text not null default '',
  created_at timestamptz not null default now(),
  last_seen_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '30 days',
  revoked_at timestamptz,
  primary key (id, user_id),
  constraint sessions_device_length check (length(device) <= 300)
);
create index sessions_of_user on app.sessions (user_id, last_seen_at desc);
alter table app.sessions enable row level security;
alter table app.sessions force row level security;
create policy select_own on app.sessions for select to authenticated using (user_id = (select auth.uid()));
create policy update_own on app.sessions for update to authenticated using (user_id = (select auth.uid()));
create policy select_definer on app.sessions for select to moat_definer using (true);
create policy insert_definer on app.sessions for insert to moat_definer with check (true);
create policy update_definer on app.sessions for update to moat_definer using (true);
grant select, update (revoked_at) on app.sessions to authenticated;
grant select, insert (id, user_id, device, ip), update (last_seen_at, expires_at, revoked_at, ip) on app.sessions to moat_definer;
-- Not granted: insert (only a password starts a session), delete (a revoked session stays in the list).
comment on table app.sessions is 'private; refused: insert, delete';

-- Revoking is for good: a statement in the owner's own lane must not be able to bring a stolen session back to life.
create function app.keep_revoked() returns trigger language plpgsql as $$
begin
  if old.revoked_at is not null then new.revoked_at := old.revoked_at; end if;
  return new;
end $$;
create trigger keep_revoked before update on app.sessions for each row execute function app.keep_revoked();

create table app.refresh_tokens (
  hash bytea primary key,
  session_id uuid not null,
  user_id uuid not null,
  created_at timestamptz not null default now(),
  used_at timestamptz,
  foreign key (session_id, user_id) references app.sessions (id, user_id) on delete cascade
);
create index refresh_tokens_of_session on app.refresh_tokens (session_id, user_id);
create index refresh_tokens_spent on app.refresh_tokens (used_at);
alter table app.refresh_tokens enable row level security;
alter table app.refresh_tokens force row level security;
create policy select_definer on app.refresh_tokens for select to moat_definer using (true);
create policy insert_definer on app.refresh_tokens for insert to moat_definer with check (true);
create policy update_definer on app.refresh_tokens for update to moat_definer using (true);
create policy delete_definer on app.refresh_tokens for delete to moat_definer using (true);
grant select, insert (hash, session_id, user_id), update (used_at), delete on app.refresh_tokens to moat_definer;
-- Not granted: anything to a request role.
comment on table app.refresh_tokens is 'private; refused: select, insert, update, delete';
comment on column app.refresh_tokens.hash is 'SHA-256 of the opaque token; the token itself is stored nowhere';

create table app.rate_limits (
  key text primary key,
  free_at timestamptz not null
);
alter table app.rate_limits enable row level security;
alter table app.rate_limits force row level security;
create policy select_definer on app.rate_limits for select to moat_definer using (true);
create policy insert_definer on app.rate_limits for insert to moat_definer with check (true);
create policy update_definer on app.rate_limits for update to moat_definer using (true);
create policy delete_definer on app.rate_limits for delete to moat_definer using (true);
grant select, insert, update, delete on app.rate_limits to moat_definer;
comment on table app.rate_limits is 'operations; refused: select, insert, update, delete';

-- What follows looks across users, so it runs as moat_definer: a role that nobody can become, with policies of its own.
grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;
grant usage, create on schema gate to moat_definer;

-- The opening of a user lane. Names the role the transaction goes on as; 'none' is the login role, which may do nothing.
-- p_sid is NULL for work on the command line, which has an account and no session. p_org is for workspaces.
create function gate.open(p_sub uuid, p_sid uuid, p_iat timestamptz, p_org uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_org is null
    and exists (select from app.users u
                where u.id = p_sub and u.status = 'active' and date_trunc('second', u.tokens_valid_from) <= p_iat)
    and (p_sid is null
         or exists (select from app.sessions s
                    where s.id = p_sid and s.user_id = p_sub and s.revoked_at is null and s.expires_at > now()))
  then
    return 'authenticated';
  end if;
  return 'none';
end $$;

-- The opening of a service lane, for a reason from this list. A job for a user stops when that user is no longer active.
create function gate.open_service(p_reason text, p_user uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_reason in ('sign_in', 'live', 'sweep') and p_user is null then return 'service'; end if;
  if p_reason = 'generation' and exists (select from app.users u where u.id = p_user and u.status = 'active') then
    return 'service';
  end if;
  return 'none';
end $$;

-- NULL when the address is taken.
create function app.sign_up(p_email text, p_name text, p_phc text) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  made uuid;
begin
  perform app.require_reason('sign_in');
  insert into app.users (email, display_name) values (p_email, p_name)
    on conflict (email) do nothing returning id into made;
  if made is not null then
    insert into app.credentials (user_id, password_phc) values (made, p_phc);
  end if;
  return made;
end $$;

create function app.credential(p_email text, out user_id uuid, out password_phc text, out status text)
language plpgsql stable security definer set search_path = '' as $$
begin
  perform app.require_reason('sign_in');
  select u.id, c.password_phc, u.status into user_id, password_phc, status
    from app.users u join app.credentials c on c.user_id = u.id where u.email = p_email;
end $$;

create function app.start_session(p_user uuid, p_hash bytea, p_device text, p_ip text) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  sid uuid := gen_random_uuid();
begin
  perform app.require_reason('sign_in');
  insert into app.sessions (id, user_id, device, ip) values (sid, p_user, p_device, p_ip);
  insert into app.refresh_tokens (hash, session_id, user_id) values (p_hash, sid, p_user);
  return sid;
end $$;

-- One step of a session's line of tokens. The child is derived from its parent by the server's key, so whoever replays
-- the parent within ten seconds (two tabs, a lost answer) is given the same child. A later replay means that the token
-- was copied: the whole session ends, in this transaction, with everything that was ever derived from it.
create function app.rotate_session(p_hash bytea, p_child bytea, p_ip text, out outcome text, out user_id uuid, out session_id uuid)
language plpgsql volatile security definer set search_path = '' as $$
declare
  s app.sessions;
  t app.refresh_tokens;
begin
  perform app.require_reason('sign_in');
  outcome := 'none';
  select r.* into t from app.refresh_tokens r where r.hash = p_hash;
  if not found then return; end if;
  -- The session's row is the lock: without it a hundred parallel refreshes would each see an unused parent.
  select x.* into s from app.sessions x where x.id = t.session_id and x.user_id = t.user_id for no key update;
  if s.revoked_at is not null or s.expires_at <= now() then return; end if;
  if not exists (select from app.users u
                 where u.id = s.user_id and u.status = 'active' and u.tokens_valid_from <= t.created_at) then
    return;
  end if;
  select r.* into t from app.refresh_tokens r where r.hash = p_hash;
  if t.used_at is null then
    update app.refresh_tokens r set used_at = clock_timestamp() where r.hash = p_hash;
    insert into app.refresh_tokens (hash, session_id, user_id) values (p_child, s.id, s.user_id);
    update app.sessions x set last_seen_at = now(), expires_at = now() + interval '30 days', ip = p_ip
      where x.id = s.id and x.user_id = s.user_id;
  elsif t.used_at < clock_timestamp() - interval '10 seconds' then
    update app.sessions x set revoked_at = now() where x.id = s.id and x.user_id = s.user_id;
    outcome := 'reused';
    return;
  end if;
  outcome := 'ok';
  user_id := s.user_id;
  session_id := s.id;
end $$;

-- A leaky bucket in one row: p_burst at once, then one each p_every. Gives the seconds to wait, 0 when there is room.
create function app.take_token(p_key text, p_burst int, p_every interval) returns double precision
language plpgsql volatile security definer set search_path = '' as $$
declare
  t timestamptz := clock_timestamp();
  free timestamptz;
begin
  perform app.require_reason('sign_in');
  insert into app.rate_limits (key, free_at) values (p_key, t) on conflict (key) do nothing;
  select r.free_at into free from app.rate_limits r where r.key = p_key for update;
  free := greatest(free, t) + p_every;
  if free > t + p_every * p_burst then
    return extract(epoch from free - (t + p_every * p_burst));
  end if;
  update app.rate_limits r set free_at = free where r.key = p_key;
  return 0;
end $$;

-- Spent tokens are kept for as long as a session may live without use: until then a replay has to end the session.
create function app.sweep_accounts() returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('sweep');
  delete from app.refresh_tokens r where r.used_at < now() - interval '31 days';
  delete from app.rate_limits r where r.free_at < now() - interval '1 day';
end $$;

alter function gate.open(uuid, uuid, timestamptz, uuid) owner to moat_definer;
alter function gate.open_service(text, uuid) owner to moat_definer;
alter function app.sign_up(text, text, text) owner to moat_definer;
alter function app.credential(text) owner to moat_definer;
alter function app.start_session(uuid, bytea, text, text) owner to moat_definer;
alter function app.rotate_session(bytea, bytea, text) owner to moat_definer;
alter function app.take_token(text, int, interval) owner to moat_definer;
alter function app.sweep_accounts() owner to moat_definer;
grant execute on function app.sign_up(text, text, text), app.credential(text), app.start_session(uuid, bytea, text, text),
  app.rotate_session(bytea, bytea, text), app.take_token(text, int, interval), app.sweep_accounts() to service;
-- gate.open and gate.open_service are granted to the login roles, each its own, when those are made.
revoke create on schema app, gate from moat_definer;
revoke moat_definer from current_user;
