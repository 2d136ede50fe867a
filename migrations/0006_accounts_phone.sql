-- Why: signing in by telephone. A number belongs to one user, whose rows it opens like any other way in: the session that a
-- code starts is the user's, and the policies see no difference.
alter table app.users
  add column phone text,
  add constraint users_phone_key unique (phone),
  add constraint users_phone_form check (phone ~ '^\+[1-9][0-9]{6,14}$');
grant select (phone) on app.users to authenticated;
grant select (phone), insert (phone), update (phone) on app.users to moat_definer;
-- Not granted: update of phone to the user. A number is proven by a code first.

create table app.codes (
  id uuid primary key,
  phone text not null,
  user_id uuid references app.users on delete cascade,
  hash bytea not null,
  tries int not null default 0,
  expires_at timestamptz not null default now() + interval '10 minutes',
  used_at timestamptz
);
create index codes_of_user on app.codes (user_id);
create index codes_old on app.codes (expires_at);
alter table app.codes enable row level security;
alter table app.codes force row level security;
create policy select_definer on app.codes for select to moat_definer using (true);
create policy insert_definer on app.codes for insert to moat_definer with check (true);
create policy update_definer on app.codes for update to moat_definer using (true);
create policy delete_definer on app.codes for delete to moat_definer using (true);
grant select, insert (id, phone, user_id, hash), update (hash, tries, expires_at, used_at), delete on app.codes to moat_definer;
-- Not granted: anything to a request role.
comment on table app.codes is 'private; refused: select, insert, update, delete';
comment on column app.codes.id is 'the request for a code: a code is tried against the one that was asked for, so that a stranger''s tries use up nobody else''s';
comment on column app.codes.user_id is 'who wants to link the number; NULL: somebody who wants to sign in';
comment on column app.codes.hash is 'HMAC of the request and the code under the server''s key: six digits can be guessed from a bare hash';

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

create function app.ask_code(p_id uuid, p_phone text) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('sign_in');
  insert into app.outgoing (id, kind, address) values (p_id, 'code', p_phone);
end $$;

create function app.ask_my_code(p_id uuid, p_phone text) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  insert into app.outgoing (id, kind, address, user_id) values (p_id, 'code', p_phone, auth.uid());
end $$;

-- False: there is nobody to send it to. The row is made all the same, with a code that nobody is told: a wrong code then
-- gets the same answer, in the same time, whether the number has an account or not.
create function app.prepare_code(p_id uuid, p_hash bytea, p_open boolean) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  o app.outgoing;
begin
  perform app.require_reason('mail');
  select x.* into o from app.outgoing x where x.id = p_id and x.kind = 'code';
  if not found then return false; end if;
  -- A second try at sending makes a new code; the tries that were used up stay so.
  insert into app.codes as c (id, phone, user_id, hash) values (o.id, o.address, o.user_id, p_hash)
    on conflict (id) do update set hash = excluded.hash, expires_at = excluded.expires_at;
  return case when o.user_id is not null then true
    else coalesce((select u.status = 'active' from app.users u where u.phone = o.address), p_open) end;
end $$;

-- One try of a code, under the row's lock: five of them, however many come at once. Gives the number when it is right.
create function app.try_code(p_id uuid, p_user uuid, p_hash bytea) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  c app.codes;
begin
  select x.* into c from app.codes x where x.id = p_id and x.user_id is not distinct from p_user for update;
  if not found or c.used_at is not null or c.expires_at <= now() or c.tries >= 5 then return null; end if;
  if c.hash <> p_hash then
    update app.codes x set tries = x.tries + 1 where x.id = p_id;
    return null;
  end if;
  update app.codes x set used_at = now() where x.id = p_id;
  return c.phone;
end $$;

-- The user of a number that was proven; made new when p_open. NULL: the code is wrong or over, or nobody may come in by it.
create function app.finish_code(p_id uuid, p_hash bytea, p_open boolean) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  number text;
  who uuid;
  state text;
begin
  perform app.require_reason('sign_in');
  number := app.try_code(p_id, null, p_hash);
  if number is null then return null; end if;
  if p_open then insert into app.users (phone) values (number) on conflict (phone) do nothing; end if;
  select u.id, u.status into who, state from app.users u where u.phone = number;
  return case when state = 'active' then who end;
end $$;

-- outcome: ok, wrong (or over), taken.
create function app.link_phone(p_id uuid, p_hash bytea) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  number text := app.try_code(p_id, auth.uid(), p_hash);
begin
  if number is null then return 'wrong'; end if;
  update app.users u set phone = number where u.id = auth.uid();
  return 'ok';
exception when unique_violation then
  return 'taken';
end $$;

-- False: it is the only way in.
create function app.unlink_phone() returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.users u set phone = null where u.id = auth.uid() and u.email is not null;
  return found;
end $$;

create function app.sweep_codes() returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('sweep');
  delete from app.codes c where c.expires_at < now() - interval '1 hour';
end $$;

alter function app.ask_code(uuid, text) owner to moat_definer;
alter function app.ask_my_code(uuid, text) owner to moat_definer;
alter function app.prepare_code(uuid, bytea, boolean) owner to moat_definer;
alter function app.try_code(uuid, uuid, bytea) owner to moat_definer;
alter function app.finish_code(uuid, bytea, boolean) owner to moat_definer;
alter function app.link_phone(uuid, bytea) owner to moat_definer;
alter function app.unlink_phone() owner to moat_definer;
alter function app.sweep_codes() owner to moat_definer;
grant execute on function app.ask_code(uuid, text), app.prepare_code(uuid, bytea, boolean), app.finish_code(uuid, bytea, boolean),
  app.sweep_codes() to service;
grant execute on function app.ask_my_code(uuid, text), app.link_phone(uuid, bytea), app.unlink_phone() to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
