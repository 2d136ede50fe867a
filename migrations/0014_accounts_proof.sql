-- Why: an account can stand there with an address that nobody has shown to be theirs: from before there was a mail server, or
-- made by a stranger. Whoever shows it first, by a mailed link, gets the account alone: a password, a session or a number of
-- somebody else's in it would be a way in that stays. And a link that confirms an address works only for whoever is signed in
-- to the account that asked: pressed by somebody else it would give a stranger's account an address that is not the stranger's.
create policy delete_definer on app.credentials for delete to moat_definer using (true);
grant delete on app.credentials to moat_definer;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- Everything by which anybody could get into an account, but its mailbox. Only with the user's row locked for update: then a
-- session that is being started meanwhile is either there to be ended or finds its password gone. What an outside issuer has
-- vouched for stays: it says the same of the address as the mail does.
create function app.leave_mailbox_alone(p_user uuid) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.users u set email_verified_at = now(), phone = null where u.id = p_user;
  delete from app.credentials c where c.user_id = p_user;
  update app.sessions s set revoked_at = now() where s.user_id = p_user and s.revoked_at is null;
  -- A change of address that was asked for before would take the account away again.
  delete from app.outgoing o where o.user_id = p_user and o.kind in ('confirm', 'change', 'code');
  perform app.spend_tokens_of(p_user);
end $$;

-- As before, and '-first' behind 'reset' and 'magic' when the link will be the first proof of the address.
create or replace function app.prepare_mail(p_id uuid, p_hash bytea) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  o app.outgoing;
  holder uuid;
  state text;
  unproven boolean;
  lives interval;
begin
  perform app.require_reason('mail');
  select x.* into o from app.outgoing x where x.id = p_id;
  if not found then return 'nothing'; end if;
  if o.kind in ('changed', 'password') then return o.kind; end if;
  select u.id, u.status, u.email_verified_at is null into holder, state, unproven from app.users u where u.email = o.address;
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
    return o.kind || case when unproven then '-first' else '' end;
  end if;
  if not exists (select from app.users u where u.id = o.user_id and u.status = 'active') then return 'nothing'; end if;
  if o.kind = 'confirm' and holder is distinct from o.user_id then return 'nothing'; end if;
  if o.kind = 'change' and holder is not null then return case when holder = o.user_id then 'nothing' else 'taken' end; end if;
  insert into app.mail_tokens (hash, purpose, user_id, address, expires_at)
    values (p_hash, o.kind, o.user_id, o.address, now() + interval '1 day');
  return o.kind;
end $$;

-- Other columns than before: whose link it is, and whether using it is the first proof of the address.
drop function app.read_token(bytea);
create function app.read_token(p_hash bytea, out purpose text, out state text, out address text, out phc text, out user_id uuid, out first boolean)
language plpgsql stable security definer set search_path = '' as $$
begin
  perform app.require_reason('sign_in');
  select t.purpose, case when t.used_at is not null then 'used' when t.expires_at <= now() then 'expired' else 'good' end,
         t.address, t.phc, t.user_id, t.purpose in ('reset', 'magic') and u.email = t.address and u.email_verified_at is null
    into purpose, state, address, phc, user_id, first
    from app.mail_tokens t left join app.users u on u.id = t.user_id where t.hash = p_hash;
end $$;

-- Whom a mailed link signs in; user_id is NULL when it can't be used. first: it was the first proof of the address.
drop function app.finish_magic(bytea);
create function app.finish_magic(p_hash bytea, out user_id uuid, out first boolean)
language plpgsql volatile security definer set search_path = '' as $$
declare
  t record;
begin
  perform app.require_reason('sign_in');
  t := app.spend_token(p_hash, array['magic']);
  select u.id, u.email_verified_at is null into user_id, first
    from app.users u where u.id = t.user_id and u.email = t.address and u.status = 'active' for update;
  if first then perform app.leave_mailbox_alone(finish_magic.user_id); end if;
end $$;

-- A new password by a mailed link. Whoever knew the old one is signed out everywhere.
drop function app.finish_reset(bytea, text);
create function app.finish_reset(p_hash bytea, p_phc text, out user_id uuid, out first boolean)
language plpgsql volatile security definer set search_path = '' as $$
declare
  t record;
begin
  perform app.require_reason('sign_in');
  t := app.spend_token(p_hash, array['reset']);
  select u.id, u.email_verified_at is null into user_id, first
    from app.users u where u.id = t.user_id and u.email = t.address and u.status = 'active' for update;
  if finish_reset.user_id is null then return; end if;
  if first then perform app.leave_mailbox_alone(finish_reset.user_id); end if;
  insert into app.credentials as c (user_id, password_phc) values (finish_reset.user_id, p_phc)
    on conflict on constraint credentials_pkey do update set password_phc = excluded.password_phc, changed_at = now();
  update app.sessions s set revoked_at = now() where s.user_id = finish_reset.user_id and s.revoked_at is null;
  perform app.spend_tokens_of(finish_reset.user_id);
  insert into app.outgoing (kind, address, user_id) values ('password', t.address, finish_reset.user_id);
end $$;

-- Confirms the caller's address or changes it. outcome: confirmed, changed, taken, or over, which is also what somebody
-- else's link says.
drop function app.finish_address(bytea);
create function app.finish_my_address(p_hash bytea) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
  t record;
  was text;
begin
  if not exists (select from app.mail_tokens m where m.hash = p_hash and m.user_id = me) then return 'over'; end if;
  t := app.spend_token(p_hash, array['confirm', 'change']);
  if t.purpose is null then return 'over'; end if;
  select u.email into was from app.users u where u.id = me for update;
  if t.purpose = 'confirm' then
    update app.users u set email_verified_at = coalesce(u.email_verified_at, now()) where u.id = me and u.email = t.address;
    return case when found then 'confirmed' else 'over' end;
  end if;
  begin
    update app.users u set email = t.address, email_verified_at = now() where u.id = me;
  exception when unique_violation then
    return 'taken';
  end;
  perform app.spend_tokens_of(me);
  if was is not null then
    insert into app.outgoing (kind, address, user_id) values ('changed', was, me);
  end if;
  return 'changed';
end $$;

-- Whether this is still the hash of somebody's password; it stays so until the transaction ends. Comparing takes a while, and a
-- session that starts on it must not outlive a change that came in between.
create function app.hold_password(p_user uuid, p_phc text) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('sign_in');
  -- The user first, as whoever takes a password away does.
  perform from app.users u where u.id = p_user for key share;
  perform from app.credentials c where c.user_id = p_user and c.password_phc = p_phc for share;
  return found;
end $$;

alter function app.leave_mailbox_alone(uuid) owner to moat_definer;
alter function app.read_token(bytea) owner to moat_definer;
alter function app.finish_magic(bytea) owner to moat_definer;
alter function app.finish_reset(bytea, text) owner to moat_definer;
alter function app.finish_my_address(bytea) owner to moat_definer;
alter function app.hold_password(uuid, text) owner to moat_definer;
grant execute on function app.read_token(bytea), app.finish_magic(bytea), app.finish_reset(bytea, text),
  app.hold_password(uuid, text) to service;
grant execute on function app.finish_my_address(bytea) to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
