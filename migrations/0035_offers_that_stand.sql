-- Why: an invitation stands for as long as whoever invited may give what it offers. Whoever renews one that does not stand any more, or
-- raises what it offers above that, gives it themselves from then on: otherwise they would be told that it is on its way, to nowhere.
grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

create or replace function app.guard_invitation() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  org uuid := case when tg_op = 'DELETE' then old.workspace_id else new.workspace_id end;
begin
  if tg_op = 'INSERT' and exists (select from app.workspaces w where w.id = org and w.personal_of is not null) then
    raise exception using errcode = 'P0433', message = 'a personal workspace';
  end if;
  if pg_trigger_depth() = 1 and c ->> 'role' = 'authenticated'
    and ((tg_op <> 'DELETE' and new.role = 'owner') or (tg_op <> 'INSERT' and old.role = 'owner'))
    and not exists (select from app.workspace_members m where m.workspace_id = org and m.user_id = auth.uid() and m.role = 'owner') then
    raise exception using errcode = 'P0431', message = 'for owners';
  end if;
  if tg_op = 'UPDATE' and c ->> 'role' = 'authenticated' and not app.invitation_stands(org, new.invited_by, new.role)
    and app.invitation_stands(org, auth.uid(), new.role) then
    new.invited_by := auth.uid();
  end if;
  return coalesce(new, old);
end $$;

revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
