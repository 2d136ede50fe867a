-- Why: an address of a workspace's page has the place of whoever copied it. A colleague who follows it is sent to the same page in
-- their own place; to everybody else there is nothing, as before.
grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- The caller's own place in the workspace that somebody's place is in; NULL where they are no member of it.
create function app.place_beside(p_place uuid) returns uuid
language plpgsql stable security definer set search_path = '' as $$
begin
  return (
    select mine.id from (select m.workspace_id from app.workspace_members m where m.id = p_place
                         union all select m.workspace_id from app.project_members m where m.id = p_place) theirs
      join app.workspaces w on w.id = theirs.workspace_id and w.deleted_at is null
      join app.workspace_members mine on mine.workspace_id = w.id and mine.user_id = auth.uid() and mine.id <> p_place);
end $$;

alter function app.place_beside(uuid) owner to moat_definer;
grant execute on function app.place_beside(uuid) to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
