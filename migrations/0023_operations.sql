-- Why: whoever runs the server lets people in who wait, and keeps people out. A super user does that in the browser; one is made
-- on the command line alone, and is shown accounts and nothing that is in them.
alter table app.users add column superuser boolean not null default false;
grant select (superuser) on app.users to authenticated;
grant select (created_at, superuser), update (superuser) on app.users to moat_definer;
comment on column app.users.superuser is 'may look accounts up and change their status; no policy asks for it';

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- One more reason: what is said on the command line.
create or replace function gate.open_service(p_reason text, p_user uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_reason in ('sign_in', 'live', 'sweep', 'mail', 'operate') and p_user is null then return 'service'; end if;
  if p_reason = 'generation' and exists (select from app.users u where u.id = p_user and u.status = 'active') then
    return 'service';
  end if;
  return 'none';
end $$;

-- To everybody else there is no such thing.
create function app.require_superuser() returns void
language plpgsql stable security definer set search_path = '' as $$
begin
  if not exists (select from app.users u where u.id = auth.uid() and u.superuser and u.status = 'active') then
    raise exception using errcode = 'P0404', message = 'for super users';
  end if;
end $$;

-- Accounts whose address or name has these letters, the newest first.
create function app.find_accounts(p_query text, p_status text, p_limit int)
returns table (id uuid, email text, name text, status text, superuser boolean, created_at timestamptz)
language plpgsql stable security definer set search_path = '' as $$
begin
  perform app.require_superuser();
  return query select u.id, coalesce(u.email, ''), u.display_name, u.status, u.superuser, u.created_at from app.users u
    where u.erased_at is null and (p_status = '' or u.status = p_status)
      and (p_query = '' or strpos(coalesce(u.email, ''), lower(p_query)) > 0 or strpos(lower(u.display_name), lower(p_query)) > 0)
    order by u.created_at desc, u.id limit p_limit;
end $$;

-- Nobody shuts themselves out, and a super user is changed on the command line.
create function app.set_account_status(p_user uuid, p_status text) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_superuser();
  update app.users u set status = p_status where u.id = p_user and u.erased_at is null and not u.superuser;
  if not found then raise exception using errcode = 'P0404', message = 'no such account'; end if;
end $$;

-- From the command line. NULL leaves a thing as it is. False: nobody has this address.
create function app.operate(p_email text, p_status text, p_superuser boolean) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('operate');
  update app.users u set status = coalesce(p_status, u.status), superuser = coalesce(p_superuser, u.superuser)
   where u.email = p_email and u.erased_at is null;
  return found;
end $$;

alter function app.require_superuser() owner to moat_definer;
alter function app.find_accounts(text, text, int) owner to moat_definer;
alter function app.set_account_status(uuid, text) owner to moat_definer;
alter function app.operate(text, text, boolean) owner to moat_definer;
grant execute on function app.operate(text, text, boolean) to service;
grant execute on function app.find_accounts(text, text, int), app.set_account_status(uuid, text) to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
