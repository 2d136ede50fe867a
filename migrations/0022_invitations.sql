-- Why: invitations. One is for one address and one workspace, or for some of its projects alone. The token in its link is
-- stored as a hash, is used once, and only by an account with that address, which may be made by it. It stands for as long as
-- whoever invited may still invite.
create table app.invitations (
  id uuid not null default gen_random_uuid(),
  workspace_id uuid not null default app.member_org() references app.workspaces on delete cascade,
  email text not null,
  -- NULL: a guest, of the projects below and of nothing else.
  role text,
  token_hash bytea,
  -- The token was mailed, so that whoever has it has the mailbox.
  mailed boolean not null default false,
  invited_by uuid default auth.uid(),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '7 days',
  accepted_at timestamptz,
  accepted_by uuid references app.users on delete set null,
  primary key (id, workspace_id),
  foreign key (workspace_id, invited_by) references app.workspace_members (workspace_id, user_id) on delete set null (invited_by),
  constraint invitations_role_known check (role in ('owner', 'admin', 'project_creator')),
  constraint invitations_email_form check (email !~ '[A-Z[:space:]]' and length(email) between 3 and 254 and email ~ '^[^@]+@[^@]+$')
);
create table app.invitation_projects (
  invitation_id uuid not null,
  workspace_id uuid not null default app.member_org(),
  project_id uuid not null,
  role text not null,
  primary key (invitation_id, project_id),
  foreign key (invitation_id, workspace_id) references app.invitations (id, workspace_id) on delete cascade,
  foreign key (project_id, workspace_id) references app.projects (id, workspace_id) on delete cascade,
  constraint invitation_projects_role_known check (role in ('owner', 'manager', 'contributor', 'viewer', 'customer_signer'))
);
-- One that is open for each address.
create unique index invitations_open on app.invitations (workspace_id, email) where accepted_at is null;
create unique index invitations_token on app.invitations (token_hash);
create index invitations_to on app.invitations (email) where accepted_at is null;
create index invitations_of_inviter on app.invitations (workspace_id, invited_by) where invited_by is not null;
create index invitations_of_accepter on app.invitations (accepted_by) where accepted_by is not null;
create index invitation_projects_of_project on app.invitation_projects (project_id, workspace_id);
create index invitation_projects_of_invitation on app.invitation_projects (invitation_id, workspace_id);

alter table app.invitations enable row level security;
alter table app.invitations force row level security;
create policy select_manager on app.invitations for select to authenticated using (workspace_id = (select app.managed_org()));
create policy insert_manager on app.invitations for insert to authenticated with check (workspace_id = (select app.managed_org()));
create policy update_manager on app.invitations for update to authenticated using (workspace_id = (select app.managed_org()));
create policy delete_manager on app.invitations for delete to authenticated using (workspace_id = (select app.managed_org()));
create policy select_definer on app.invitations for select to moat_definer using (true);
create policy update_definer on app.invitations for update to moat_definer using (true);
grant select (id, workspace_id, email, role, mailed, invited_by, created_at, expires_at, accepted_at), insert (email, role, token_hash),
  update (role), delete on app.invitations to authenticated;
create policy delete_definer on app.invitations for delete to moat_definer using (true);
grant select, update (token_hash, mailed, expires_at, accepted_at, accepted_by), delete on app.invitations to moat_definer;
-- Not granted: insert and update of who is invited where by whom, and whether they came; insert of id; update of the token and
-- of how it travelled, which proves an address (app.renew_invitation); select of the hash.
comment on table app.invitations is 'workspace';

alter table app.invitation_projects enable row level security;
alter table app.invitation_projects force row level security;
create policy select_manager on app.invitation_projects for select to authenticated using (workspace_id = (select app.managed_org()));
create policy insert_manager on app.invitation_projects for insert to authenticated with check (workspace_id = (select app.managed_org()));
create policy select_definer on app.invitation_projects for select to moat_definer using (true);
grant select, insert (invitation_id, project_id, role) on app.invitation_projects to authenticated;
grant select on app.invitation_projects to moat_definer;
-- Not granted: update and delete. They go with their invitation.
comment on table app.invitation_projects is 'workspace; refused: update, delete';

-- Mail for an invitation goes with it: one that is taken back sends nothing more.
alter table app.outgoing
  add column invitation_id uuid,
  add column workspace_id uuid,
  add constraint outgoing_invitation_fkey foreign key (invitation_id, workspace_id) references app.invitations (id, workspace_id) on delete cascade,
  drop constraint outgoing_kind_known,
  add constraint outgoing_kind_known check (kind in ('sign-up', 'reset', 'magic', 'confirm', 'change', 'changed', 'password', 'code', 'invitation')),
  add constraint outgoing_invitation_bound check ((kind = 'invitation') = (invitation_id is not null));
create index outgoing_of_invitation on app.outgoing (invitation_id, workspace_id) where invitation_id is not null;
grant insert (invitation_id, workspace_id) on app.outgoing to moat_definer;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- Only an owner invites an owner or changes such an invitation, and nobody is invited into somebody's personal workspace.
create function app.guard_invitation() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  org uuid := case when tg_op = 'DELETE' then old.workspace_id else new.workspace_id end;
begin
  if tg_op = 'INSERT' and exists (select from app.workspaces w where w.id = org and w.personal_of is not null) then
    raise exception using errcode = 'P0433', message = 'a personal workspace';
  end if;
  if pg_trigger_depth() = 1 and nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role' = 'authenticated'
    and ((tg_op <> 'DELETE' and new.role = 'owner') or (tg_op <> 'INSERT' and old.role = 'owner'))
    and not exists (select from app.workspace_members m where m.workspace_id = org and m.user_id = auth.uid() and m.role = 'owner') then
    raise exception using errcode = 'P0431', message = 'for owners';
  end if;
  return coalesce(new, old);
end $$;
create trigger guard_invitation before insert or update of role, expires_at or delete on app.invitations
  for each row execute function app.guard_invitation();

-- Another 7 days and another token, which nobody was mailed. Gives the address.
create function app.renew_invitation(p_id uuid, p_hash bytea) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  address text;
begin
  update app.invitations i set expires_at = now() + interval '7 days', token_hash = p_hash, mailed = false
   where i.id = p_id and i.workspace_id = app.managed_org() and i.accepted_at is null returning i.email into address;
  if address is null then raise exception using errcode = 'P0404', message = 'no such invitation'; end if;
  return address;
end $$;

-- Whether whoever invited may still give what they offered.
create function app.invitation_stands(p_workspace uuid, p_inviter uuid, p_role text) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
  return exists (select from app.workspaces w where w.id = p_workspace and w.deleted_at is null)
    and exists (select from app.workspace_members m where m.workspace_id = p_workspace and m.user_id = p_inviter and m.status = 'active'
                  and (m.role = 'owner' or (m.role = 'admin' and p_role is distinct from 'owner')));
end $$;

-- Whoever is erased leaves no address behind.
create function app.forget_invitations() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  delete from app.invitations i where i.accepted_by = new.id or i.email = old.email;
  return null;
end $$;
create trigger forget_invitations after update of erased_at on app.users for each row
  when (new.erased_at is not null and old.erased_at is null) execute function app.forget_invitations();

-- A mail for an invitation of the caller's workspace. Its link is made when it is sent; the one before ends then.
create function app.mail_invitation(p_id uuid) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  insert into app.outgoing (kind, address, invitation_id, workspace_id)
    select 'invitation', i.email, i.id, i.workspace_id from app.invitations i
     where i.id = p_id and i.workspace_id = app.managed_org() and i.accepted_at is null
       -- One that waits is enough.
       and not exists (select from app.outgoing o where o.invitation_id = i.id and o.workspace_id = i.workspace_id);
  if not exists (select from app.invitations i where i.id = p_id and i.workspace_id = app.managed_org() and i.accepted_at is null) then raise exception using errcode = 'P0404', message = 'no such invitation'; end if;
end $$;

alter function app.prepare_mail(uuid, bytea) rename to prepare_account_mail;
create function app.prepare_mail(p_id uuid, p_hash bytea) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  o app.outgoing;
begin
  perform app.require_reason('mail');
  select x.* into o from app.outgoing x where x.id = p_id;
  if o.kind is distinct from 'invitation' then return app.prepare_account_mail(p_id, p_hash); end if;
  update app.invitations i set token_hash = p_hash, mailed = true
   where i.id = o.invitation_id and i.workspace_id = o.workspace_id and i.accepted_at is null and i.expires_at > now()
     and app.invitation_stands(i.workspace_id, i.invited_by, i.role);
  return case when found then 'invitation' else 'nothing' end;
end $$;

-- What the page of a link shows: where it leads, and nothing else of that place. p_user: who looks, if anybody is signed in.
create function app.read_invitation(p_hash bytea, p_user uuid, out state text, out workspace text, out projects text[], out role text,
  out inviter text, out email text, out has_account boolean, out place uuid)
language plpgsql volatile security definer set search_path = '' as $$
declare
  i app.invitations;
begin
  perform app.require_reason('sign_in');
  select x.* into i from app.invitations x where x.token_hash = p_hash;
  if not found then return; end if;
  select w.name into workspace from app.workspaces w where w.id = i.workspace_id and w.deleted_at is null;
  if workspace is null or (i.accepted_at is null and not app.invitation_stands(i.workspace_id, i.invited_by, i.role)) then return; end if;
  state := case when i.accepted_at is not null then 'used' when i.expires_at <= now() then 'expired' else 'good' end;
  role := i.role;
  email := i.email;
  select array_agg(p.name order by p.sort_name) into projects
    from app.invitation_projects g join app.projects p on p.id = g.project_id and p.workspace_id = g.workspace_id
   where g.invitation_id = i.id and g.workspace_id = i.workspace_id;
  select coalesce(nullif(u.display_name, ''), u.email) into inviter from app.users u where u.id = i.invited_by;
  has_account := exists (select from app.users u where u.email = i.email);
  select m.id into place from app.workspace_members m where m.workspace_id = i.workspace_id and m.user_id = p_user;
end $$;

-- Somebody joins by a link. 'over': it was used, has run out or never was; 'other': it is for another address. Whoever has
-- been in already stays what they are.
create function app.join_by(p_hash bytea, p_user uuid, out outcome text, out place uuid, out guest boolean)
language plpgsql volatile security definer set search_path = '' as $$
declare
  i app.invitations;
  mine text;
begin
  outcome := 'over';
  -- The workspace first, as whoever changes its people does: an inviter who is being demoted or removed is that before or after.
  perform from app.workspaces w where w.id = (select x.workspace_id from app.invitations x where x.token_hash = p_hash) for no key update;
  -- The lock that makes one of fifty the first.
  select x.* into i from app.invitations x where x.token_hash = p_hash for update;
  if not found or i.accepted_at is not null or i.expires_at <= now()
    or not app.invitation_stands(i.workspace_id, i.invited_by, i.role) then
    return;
  end if;
  select u.email into mine from app.users u where u.id = p_user;
  if mine is distinct from i.email then
    outcome := 'other';
    return;
  end if;
  if i.mailed then
    update app.users u set email_verified_at = now() where u.id = p_user and u.email_verified_at is null;
  end if;
  if i.role is not null then
    insert into app.workspace_members (workspace_id, user_id, role, invited_by) values (i.workspace_id, p_user, i.role, i.invited_by)
      on conflict (workspace_id, user_id) do nothing;
  end if;
  insert into app.project_members (project_id, workspace_id, user_id, role)
    select g.project_id, g.workspace_id, p_user, g.role from app.invitation_projects g
     where g.invitation_id = i.id and g.workspace_id = i.workspace_id
    on conflict (project_id, user_id, workspace_id) do nothing;
  update app.invitations x set accepted_at = now(), accepted_by = p_user where x.id = i.id and x.workspace_id = i.workspace_id;
  outcome := 'joined';
  guest := false;
  select m.id into place from app.workspace_members m where m.workspace_id = i.workspace_id and m.user_id = p_user;
  if place is null then
    guest := true;
    select m.id into place from app.project_members m where m.workspace_id = i.workspace_id and m.user_id = p_user limit 1;
  end if;
end $$;

create function app.accept_invitation(p_hash bytea, out outcome text, out place uuid, out guest boolean)
language plpgsql volatile security definer set search_path = '' as $$
begin
  select j.outcome, j.place, j.guest into outcome, place, guest from app.join_by(p_hash, auth.uid()) j;
end $$;

-- The same for somebody who has no account yet: it is made for the invited address, and no other. 'taken': it has one by now.
create function app.accept_as_new(p_hash bytea, p_phc text, out outcome text, out user_id uuid, out place uuid, out guest boolean)
language plpgsql volatile security definer set search_path = '' as $$
declare
  address text;
begin
  perform app.require_reason('sign_in');
  outcome := 'over';
  select i.email into address from app.invitations i where i.token_hash = p_hash and i.accepted_at is null and i.expires_at > now();
  if not found then return; end if;
  user_id := app.sign_up(address, '', p_phc);
  if user_id is null then
    outcome := 'taken';
    return;
  end if;
  select j.outcome, j.place, j.guest into outcome, place, guest from app.join_by(p_hash, user_id) j;
  -- Somebody else was first: no account is left behind for it.
  if outcome <> 'joined' then raise exception using errcode = 'P0404', message = 'no such invitation'; end if;
end $$;

alter function app.guard_invitation() owner to moat_definer;
alter function app.renew_invitation(uuid, bytea) owner to moat_definer;
alter function app.invitation_stands(uuid, uuid, text) owner to moat_definer;
alter function app.forget_invitations() owner to moat_definer;
alter function app.mail_invitation(uuid) owner to moat_definer;
alter function app.prepare_mail(uuid, bytea) owner to moat_definer;
alter function app.read_invitation(bytea, uuid) owner to moat_definer;
alter function app.join_by(bytea, uuid) owner to moat_definer;
alter function app.accept_invitation(bytea) owner to moat_definer;
alter function app.accept_as_new(bytea, text) owner to moat_definer;
grant execute on function app.prepare_mail(uuid, bytea), app.read_invitation(bytea, uuid), app.accept_as_new(bytea, text) to service;
revoke execute on function app.prepare_account_mail(uuid, bytea) from service;
grant execute on function app.mail_invitation(uuid), app.renew_invitation(uuid, bytea), app.accept_invitation(bytea) to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
