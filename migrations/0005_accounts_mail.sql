-- Why: mail. What asks for a mail writes a row here, in its own transaction, and a job sends it: it is neither lost nor sent
-- for something that was rolled back. What a mail's link may do is a token of its own, made when the mail is sent.
alter table app.users
  alter column email drop not null,
  add column email_verified_at timestamptz,
  add column language text not null default 'en',
  add column time_zone text,
  add constraint users_language_known check (language in ('en')),
  add constraint users_time_zone_form check (time_zone ~ '^[A-Za-z0-9_+/-]{1,64}$');
create policy update_definer on app.users for update to moat_definer using (true);
grant select (email_verified_at, language, time_zone), update (language, time_zone) on app.users to authenticated;
grant select (email_verified_at, time_zone), insert (email_verified_at), update (email, email_verified_at) on app.users to moat_definer;
comment on column app.users.email is 'NULL for somebody who came by telephone or by an issuer that told none';
comment on column app.users.email_verified_at is 'when a link that was mailed there was used; NULL: nobody has shown that the address is theirs';
comment on column app.users.time_zone is 'NULL until somebody has chosen one';

create policy update_definer on app.credentials for update to moat_definer using (true);
grant update (password_phc, changed_at) on app.credentials to moat_definer;

-- What waits to be sent. Taking a row moves its due_at on, so that a sender who dies leaves it to the next one.
create table app.outgoing (
  id uuid primary key default gen_random_uuid(),
  kind text not null,
  address text not null,
  user_id uuid references app.users on delete cascade,
  phc text,
  tries int not null default 0,
  due_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  constraint outgoing_kind_known check (kind in ('sign-up', 'reset', 'magic', 'confirm', 'change', 'changed', 'password', 'code')),
  constraint outgoing_phc_for_sign_up check ((kind = 'sign-up') = (phc is not null)),
  constraint outgoing_address_length check (length(address) between 3 and 254)
);
create index outgoing_due on app.outgoing (due_at);
create index outgoing_of_user on app.outgoing (user_id);
alter table app.outgoing enable row level security;
alter table app.outgoing force row level security;
create policy select_definer on app.outgoing for select to moat_definer using (true);
create policy insert_definer on app.outgoing for insert to moat_definer with check (true);
create policy update_definer on app.outgoing for update to moat_definer using (true);
create policy delete_definer on app.outgoing for delete to moat_definer using (true);
grant select, insert (id, kind, address, user_id, phc), update (tries, due_at), delete on app.outgoing to moat_definer;
-- Not granted: anything to a request role. Who asks for a mail is not told whether there is somebody to send it to.
comment on table app.outgoing is 'operations; refused: select, insert, update, delete';
comment on column app.outgoing.user_id is 'whose it is, where that was known when it was asked for; NULL where only the address is';

create table app.mail_tokens (
  hash bytea primary key,
  purpose text not null,
  user_id uuid references app.users on delete cascade,
  address text not null,
  phc text,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  constraint mail_tokens_purpose_known check (purpose in ('sign-up', 'reset', 'magic', 'confirm', 'change')),
  -- A sign-up has no user yet: the account is made by whoever has the mail and knows the password that was typed.
  constraint mail_tokens_bound check ((purpose = 'sign-up') = (user_id is null) and (purpose = 'sign-up') = (phc is not null))
);
create index mail_tokens_of_user on app.mail_tokens (user_id);
create index mail_tokens_old on app.mail_tokens (expires_at);
alter table app.mail_tokens enable row level security;
alter table app.mail_tokens force row level security;
create policy select_definer on app.mail_tokens for select to moat_definer using (true);
create policy insert_definer on app.mail_tokens for insert to moat_definer with check (true);
create policy update_definer on app.mail_tokens for update to moat_definer using (true);
create policy delete_definer on app.mail_tokens for delete to moat_definer using (true);
grant select, insert (hash, purpose, user_id, address, phc, expires_at), update (used_at), delete on app.mail_tokens to moat_definer;
-- Not granted: anything to a request role.
comment on table app.mail_tokens is 'private; refused: select, insert, update, delete';
comment on column app.mail_tokens.hash is 'SHA-256 of the 32 random bytes in the link; the token itself stands in the mail and nowhere else';

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- One more reason: sending what waits in app.outgoing.
create or replace function gate.open_service(p_reason text, p_user uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_reason in ('sign_in', 'live', 'sweep', 'mail') and p_user is null then return 'service'; end if;
  if p_reason = 'generation' and exists (select from app.users u where u.id = p_user and u.status = 'active') then
    return 'service';
  end if;
  return 'none';
end $$;

-- Asking looks at no account, so neither the answer nor its time can tell of one.
create function app.ask_mail(p_kind text, p_address text, p_phc text) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('sign_in');
  if p_kind not in ('sign-up', 'reset', 'magic') then
    raise exception using errcode = '42501', message = 'this mail is for somebody who is signed in';
  end if;
  insert into app.outgoing (kind, address, phc) values (p_kind, p_address, p_phc);
end $$;

-- For the caller alone: to prove the address they have, or the one they want.
create function app.ask_my_mail(p_kind text, p_address text) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  if p_kind not in ('confirm', 'change') then
    raise exception using errcode = '42501', message = 'this mail is not asked for';
  end if;
  insert into app.outgoing (kind, address, user_id) values (p_kind, p_address, auth.uid());
end $$;

create function app.take_outgoing(out id uuid, out kind text, out address text, out tries int)
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('mail');
  update app.outgoing o
     set tries = o.tries + 1,
         due_at = clock_timestamp() + least(interval '1 hour', interval '30 seconds' * (2 ^ least(o.tries, 8)))
   where o.id = (select x.id from app.outgoing x where x.due_at <= clock_timestamp() order by x.due_at limit 1 for update skip locked)
   returning o.id, o.kind, o.address, o.tries into id, kind, address, tries;
end $$;

-- What a mail is to say, decided when it is sent: the account may have changed since it was asked for. 'nothing': it is
-- not sent. p_hash is the token that its link will carry.
create function app.prepare_mail(p_id uuid, p_hash bytea) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  o app.outgoing;
  holder uuid;
  state text;
  lives interval;
begin
  perform app.require_reason('mail');
  select x.* into o from app.outgoing x where x.id = p_id;
  if not found then return 'nothing'; end if;
  if o.kind in ('changed', 'password') then return o.kind; end if;
  select u.id, u.status into holder, state from app.users u where u.email = o.address;
  if o.kind = 'sign-up' then
    if holder is null then
      insert into app.mail_tokens (hash, purpose, address, phc, expires_at)
        values (p_hash, 'sign-up', o.address, o.phc, now() + interval '1 day');
      return 'sign-up';
    end if;
    return case when state = 'active' then 'exists' else 'closed' end;
  end if;
  if o.kind in ('reset', 'magic') then
    if holder is null then return 'nothing'; end if;
    if state <> 'active' then return 'closed'; end if;
    lives := case o.kind when 'reset' then interval '1 hour' else interval '15 minutes' end;
    insert into app.mail_tokens (hash, purpose, user_id, address, expires_at) values (p_hash, o.kind, holder, o.address, now() + lives);
    return o.kind;
  end if;
  if not exists (select from app.users u where u.id = o.user_id and u.status = 'active') then return 'nothing'; end if;
  if o.kind = 'confirm' and holder is distinct from o.user_id then return 'nothing'; end if;
  if o.kind = 'change' and holder is not null then return case when holder = o.user_id then 'nothing' else 'taken' end; end if;
  insert into app.mail_tokens (hash, purpose, user_id, address, expires_at)
    values (p_hash, o.kind, o.user_id, o.address, now() + interval '1 day');
  return o.kind;
end $$;

create function app.outgoing_done(p_id uuid) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('mail');
  delete from app.outgoing o where o.id = p_id;
end $$;

-- What a link is for, and whether it can still be used. Reading it changes nothing.
create function app.read_token(p_hash bytea, out purpose text, out state text, out address text, out phc text)
language plpgsql stable security definer set search_path = '' as $$
begin
  perform app.require_reason('sign_in');
  select t.purpose, case when t.used_at is not null then 'used' when t.expires_at <= now() then 'expired' else 'good' end,
         t.address, t.phc
    into purpose, state, address, phc from app.mail_tokens t where t.hash = p_hash;
end $$;

-- Spends a token, once: of two who press at the same time the second finds it used.
create function app.spend_token(p_hash bytea, p_purposes text[], out purpose text, out user_id uuid, out address text, out phc text)
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.mail_tokens t set used_at = now()
   where t.hash = p_hash and t.purpose = any (p_purposes) and t.used_at is null and t.expires_at > now()
   returning t.purpose, t.user_id, t.address, t.phc into purpose, user_id, address, phc;
end $$;

-- Every other link that was mailed to somebody: after a new password or address none of the old ones may work.
create function app.spend_tokens_of(p_user uuid) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.mail_tokens t set used_at = now() where t.user_id = p_user and t.used_at is null;
end $$;

-- outcome: ok, over (used, expired or unknown), taken (the address got an account since).
create function app.finish_sign_up(p_hash bytea, out outcome text, out user_id uuid)
language plpgsql volatile security definer set search_path = '' as $$
declare
  t record;
begin
  perform app.require_reason('sign_in');
  t := app.spend_token(p_hash, array['sign-up']);
  if t.purpose is null then outcome := 'over'; return; end if;
  insert into app.users (email, email_verified_at) values (t.address, now()) on conflict (email) do nothing returning id into user_id;
  if user_id is null then outcome := 'taken'; return; end if;
  insert into app.credentials (user_id, password_phc) values (finish_sign_up.user_id, t.phc);
  outcome := 'ok';
end $$;

-- The user whom a mailed link signs in; NULL when it can't be used. Using it shows that the address is theirs.
create function app.finish_magic(p_hash bytea) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  t record;
  who uuid;
begin
  perform app.require_reason('sign_in');
  t := app.spend_token(p_hash, array['magic']);
  update app.users u set email_verified_at = coalesce(u.email_verified_at, now())
    where u.id = t.user_id and u.email = t.address and u.status = 'active' returning u.id into who;
  return who;
end $$;

-- A new password by a mailed link. Whoever knew the old one is signed out everywhere.
create function app.finish_reset(p_hash bytea, p_phc text) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  t record;
  who uuid;
begin
  perform app.require_reason('sign_in');
  t := app.spend_token(p_hash, array['reset']);
  update app.users u set email_verified_at = coalesce(u.email_verified_at, now())
    where u.id = t.user_id and u.email = t.address and u.status = 'active' returning u.id into who;
  if who is null then return null; end if;
  insert into app.credentials as c (user_id, password_phc) values (who, p_phc)
    on conflict (user_id) do update set password_phc = excluded.password_phc, changed_at = now();
  update app.sessions s set revoked_at = now() where s.user_id = who and s.revoked_at is null;
  perform app.spend_tokens_of(who);
  insert into app.outgoing (kind, address, user_id) values ('password', t.address, who);
  return who;
end $$;

-- Confirms an address or changes it. outcome: confirmed, changed, over, taken.
create function app.finish_address(p_hash bytea) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  t record;
  was text;
begin
  perform app.require_reason('sign_in');
  t := app.spend_token(p_hash, array['confirm', 'change']);
  select u.email into was from app.users u where u.id = t.user_id and u.status = 'active' for no key update;
  if not found then return 'over'; end if;
  if t.purpose = 'confirm' then
    update app.users u set email_verified_at = now() where u.id = t.user_id and u.email = t.address;
    return case when found then 'confirmed' else 'over' end;
  end if;
  begin
    update app.users u set email = t.address, email_verified_at = now() where u.id = t.user_id;
  exception when unique_violation then
    return 'taken';
  end;
  perform app.spend_tokens_of(t.user_id);
  if was is not null then
    insert into app.outgoing (kind, address, user_id) values ('changed', was, t.user_id);
  end if;
  return 'changed';
end $$;

-- The hash of an account's password, for comparing in the server; for somebody who is signed in and types it once more.
create function app.credential_of(p_user uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  perform app.require_reason('sign_in');
  return (select c.password_phc from app.credentials c where c.user_id = p_user);
end $$;

create function app.has_password() returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  return exists (select from app.credentials c where c.user_id = auth.uid());
end $$;

-- p_old is the hash that the typed password was compared with (NULL: there is none): only somebody who went through that can
-- name it, and a change in between is noticed. False: it is another one by now. The caller's other sessions end.
create function app.change_password(p_old text, p_new text) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
  was text;
begin
  select c.password_phc into was from app.credentials c where c.user_id = me for no key update;
  if was is distinct from p_old then return false; end if;
  insert into app.credentials as c (user_id, password_phc) values (me, p_new)
    on conflict (user_id) do update set password_phc = excluded.password_phc, changed_at = now();
  update app.sessions s set revoked_at = now()
    where s.user_id = me and s.revoked_at is null and s.id is distinct from (auth.jwt() ->> 'sid')::uuid;
  perform app.spend_tokens_of(me);
  insert into app.outgoing (kind, address, user_id)
    select 'password', u.email, u.id from app.users u where u.id = me and u.email is not null;
  return true;
end $$;

-- What a new session's browser is to know from the beginning.
create function app.time_zone_of(p_user uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  perform app.require_reason('sign_in');
  return (select u.time_zone from app.users u where u.id = p_user);
end $$;

create function app.sweep_mail() returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('sweep');
  -- Kept for a while, so that a link that is opened late says that it is over and not that it never was.
  delete from app.mail_tokens t where t.expires_at < now() - interval '30 days';
end $$;

alter function app.ask_mail(text, text, text) owner to moat_definer;
alter function app.ask_my_mail(text, text) owner to moat_definer;
alter function app.take_outgoing() owner to moat_definer;
alter function app.prepare_mail(uuid, bytea) owner to moat_definer;
alter function app.outgoing_done(uuid) owner to moat_definer;
alter function app.read_token(bytea) owner to moat_definer;
alter function app.spend_token(bytea, text[]) owner to moat_definer;
alter function app.spend_tokens_of(uuid) owner to moat_definer;
alter function app.finish_sign_up(bytea) owner to moat_definer;
alter function app.finish_magic(bytea) owner to moat_definer;
alter function app.finish_reset(bytea, text) owner to moat_definer;
alter function app.finish_address(bytea) owner to moat_definer;
alter function app.credential_of(uuid) owner to moat_definer;
alter function app.has_password() owner to moat_definer;
alter function app.change_password(text, text) owner to moat_definer;
alter function app.time_zone_of(uuid) owner to moat_definer;
alter function app.sweep_mail() owner to moat_definer;
grant execute on function app.ask_mail(text, text, text), app.take_outgoing(), app.prepare_mail(uuid, bytea), app.outgoing_done(uuid),
  app.read_token(bytea), app.finish_sign_up(bytea), app.finish_magic(bytea), app.finish_reset(bytea, text),
  app.finish_address(bytea), app.credential_of(uuid), app.time_zone_of(uuid), app.sweep_mail() to service;
grant execute on function app.ask_my_mail(text, text), app.has_password(), app.change_password(text, text) to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
