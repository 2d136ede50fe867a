-- Why: programs, which have no page whose address says where they act. Their token names the workspace; whether they still belong to
-- it is looked up at each opening, as for everybody.
grant moat_definer to current_user;
grant usage, create on schema gate to moat_definer;

-- The opening of a lane in the workspace of a token. If the request names a place as well, it has to be the caller's in that one.
create function gate.open_org(p_claims text, p_sub uuid, p_sid uuid, p_iat timestamptz, p_org uuid, p_place uuid) returns text
language plpgsql volatile security definer set search_path = '' as $$
begin
  if exists (select from app.workspaces w where w.id = p_org and w.deleted_at is null)
    and exists (
      select from (select m.id from app.workspace_members m where m.workspace_id = p_org and m.user_id = p_sub
                   union all select m.id from app.project_members m where m.workspace_id = p_org and m.user_id = p_sub) mine
       where p_place is null or mine.id = p_place)
  then
    perform set_config('request.jwt.claims', (p_claims::jsonb || jsonb_build_object('org_id', p_org))::text, true);
    return gate.open(p_sub, p_sid, p_iat, null::uuid);
  end if;
  return 'none';
end $$;

alter function gate.open_org(text, uuid, uuid, timestamptz, uuid, uuid) owner to moat_definer;
revoke create on schema gate from moat_definer;
revoke moat_definer from current_user;
