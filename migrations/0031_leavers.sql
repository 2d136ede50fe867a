-- Why: whoever was removed from a workspace stays out of it, until somebody invites them. An address that was confirmed once is
-- at its domain for ever, so that without this they would be in again at one press.
create table app.removed_members (
  id uuid not null default gen_random_uuid(),
  workspace_id uuid not null references app.workspaces on delete cascade,
  -- Both: the address may change, and the account may be erased and made anew with it.
  user_id uuid references app.users on delete set null,
  address bytea not null,
  removed_at timestamptz not null default now(),
  primary key (workspace_id, id)
);
create index removed_members_of_user on app.removed_members (user_id, workspace_id);
create index removed_members_of_address on app.removed_members (workspace_id, address);
comment on column app.removed_members.address is 'a hash: the address itself goes with its account';

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

alter table app.removed_members enable row level security;
alter table app.removed_members force row level security;
create policy select_definer on app.removed_members for select to moat_definer using (true);
create policy insert_definer on app.removed_members for insert to moat_definer with check (true);
grant select, insert (workspace_id, user_id, address) on app.removed_members to moat_definer;
-- Not granted: update and delete. An invitation does not look here, so nothing has to be forgotten.
comment on table app.removed_members is 'operations; refused: select, insert, update, delete';

create function app.address_hash(p_workspace uuid, p_email text) returns bytea
language sql immutable security invoker set search_path = '' as $$
  select sha256(convert_to(p_workspace::text || ' ' || lower(p_email), 'UTF8'));
$$;

-- Whether somebody was removed there, or whoever had their address was.
create function app.was_removed(p_workspace uuid, p_user uuid) returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  return exists (select from app.removed_members r where r.workspace_id = p_workspace and r.user_id = p_user)
    or exists (select from app.removed_members r join app.users u on u.id = p_user
                where r.workspace_id = p_workspace and r.address = app.address_hash(p_workspace, u.email));
end $$;

-- By somebody else; whoever leaves may come back by themselves.
create function app.note_removed() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if auth.uid() is distinct from old.user_id
    and exists (select from app.workspaces w where w.id = old.workspace_id)
    and exists (select from app.users u where u.id = old.user_id)
  then
    insert into app.removed_members (workspace_id, user_id, address)
      values (old.workspace_id, old.user_id, app.address_hash(old.workspace_id, old.email));
  end if;
  return null;
end $$;
create trigger note_removed after delete on app.workspace_members for each row execute function app.note_removed();

-- As before, but not for whoever was removed there, and locking the workspace before its domain, as its deletion does: in the
-- other order the two wait for each other. A removal locks the workspace as well, so it comes before this or after all of it.
create or replace function app.domain_for(p_user uuid) returns app.workspace_domains
language plpgsql volatile security definer set search_path = '' as $$
declare
  mine text;
  org uuid;
  d app.workspace_domains;
begin
  select app.domain_of(u.email) into mine from app.users u
   where u.id = p_user and u.email_verified_at is not null and u.status in ('active', 'waitlist') for no key update;
  select x.workspace_id into org from app.workspace_domains x where x.proven = mine;
  perform from app.workspaces w where w.id = org and w.deleted_at is null for share;
  if not found or app.was_removed(org, p_user) then
    return null;
  end if;
  select x.* into d from app.workspace_domains x where x.proven = mine and x.workspace_id = org for share;
  return d;
end $$;

create or replace function app.my_offers() returns table (id uuid, workspace text, domain text)
language plpgsql stable security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
begin
  return query select d.id, w.name, d.domain from app.users u
    join app.workspace_domains d on d.proven = app.domain_of(u.email)
    join app.workspaces w on w.id = d.workspace_id and w.deleted_at is null
   where u.id = me and u.email_verified_at is not null
     and not exists (select from app.workspace_members m where m.workspace_id = d.workspace_id and m.user_id = me)
     and not app.was_removed(d.workspace_id, me);
end $$;

-- As before, but that nothing is locked or written for whoever is in already, which is nearly everybody who asks.
create or replace function app.admit(p_user uuid, p_domains text[], p_vouched boolean) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  u app.users;
  d app.workspace_domains;
  welcome boolean;
  becomes text;
begin
  perform app.require_reason('sign_in');
  select x.id, x.status, x.created_at into u.id, u.status, u.created_at from app.users x where x.id = p_user;
  if p_domains is null or not (u.status = 'waitlist' or (u.status = 'active' and u.created_at = now())) then
    return coalesce(u.status = 'active', false);
  end if;
  select x.email, x.status, x.email_verified_at into u.email, u.status, u.email_verified_at
    from app.users x where x.id = p_user for no key update;
  -- Somebody let them in, or shut them out, meanwhile.
  if u.status not in ('waitlist', 'active') or (u.status = 'active' and u.created_at <> now()) then
    return coalesce(u.status = 'active', false);
  end if;
  d := app.domain_for(p_user);
  welcome := d.id is not null
    or coalesce((p_vouched or u.email_verified_at is not null) and app.domain_of(u.email) = any (p_domains), false);
  becomes := case when welcome then 'active' else 'waitlist' end;
  if u.status <> becomes then
    update app.users x set status = becomes where x.id = p_user;
  end if;
  if d.id is not null then perform app.enter_by_domain(p_user, d.workspace_id); end if;
  return welcome;
end $$;

alter function app.note_removed() owner to moat_definer;
alter function app.was_removed(uuid, uuid) owner to moat_definer;
alter function app.address_hash(uuid, text) owner to moat_definer;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
