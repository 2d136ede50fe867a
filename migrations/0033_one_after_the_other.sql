-- Why: what somebody may do in a workspace is decided when it is done. A statement that waits for a lock goes on with what its policy
-- said before, so that a change of somebody who was removed meanwhile came after their removal. Whoever changes something holds the
-- workspace first: changes, removals and joining come one after the other, and none waits for another the other way round.
grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- Of the lane's workspace. P0404 where the caller does not belong to it any more, or it was deleted.
create function app.hold_workspace() returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  me uuid := c ->> 'sub';
  org uuid := c ->> 'org_id';
begin
  perform from app.workspaces w where w.id = org and w.deleted_at is null for no key update;
  if not found
    or not exists (select from app.workspace_members m where m.workspace_id = org and m.user_id = me
                   union all select from app.project_members m where m.workspace_id = org and m.user_id = me) then
    raise exception using errcode = 'P0404', message = 'not in this workspace';
  end if;
end $$;

alter function app.hold_workspace() owner to moat_definer;
grant execute on function app.hold_workspace() to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
