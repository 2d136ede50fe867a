-- Why: somebody whose private chat does not help asks the people of a desk in a workspace of theirs. What they pick is copied into a
-- conversation there; nothing of the chat becomes readable by that, and no policy of chats knows of desks.
alter table app.conversations add column asked_by uuid,
  add foreign key (asked_by, workspace_id) references app.workspace_members (user_id, workspace_id) on delete set null (asked_by);
create index conversations_asked on app.conversations (asked_by, workspace_id) where asked_by is not null;
comment on column app.conversations.asked_by is 'the member who asked, out of a chat of theirs; NULL for customers';

grant insert (client_id, asked_by, last_seq), update (resolved_at), select (asked_by, client_id) on app.conversations to moat_definer;
grant select (client_id), insert (client_id) on app.conversation_messages to moat_definer;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- The desks of the caller's workspaces, by their place there.
create function app.my_desks() returns table (place uuid, workspace text, desk text)
language plpgsql stable security definer set search_path = '' as $$
begin
  return query
    select m.id, w.name, d.name from app.workspace_members m join app.workspaces w on w.id = m.workspace_id join app.desks d on d.workspace_id = w.id
     where m.user_id = auth.uid() and w.deleted_at is null order by lower(w.name), m.id;
end $$;

-- A conversation of the caller's at the desk of that place, with what they picked: pairs of who said it ('customer' for themselves,
-- 'bot') and the words; nothing else, not even the chat's title. The same client id gives what there is.
create function app.escalate(p_place uuid, p_client uuid, p_said jsonb) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  m record;
  conversation uuid;
begin
  -- Their removal waits for this, or has been before.
  perform from app.users u where u.id = auth.uid() for key share;
  select x.workspace_id, x.user_id, x.name, x.email into m from app.workspace_members x join app.desks d on d.workspace_id = x.workspace_id
   where x.id = p_place and x.user_id = auth.uid()
     and not exists (select from app.workspaces w where w.id = x.workspace_id and w.deleted_at is not null)
     for key share of x;
  if not found then raise exception using errcode = 'P0404', message = 'no such place'; end if;
  insert into app.conversations (workspace_id, client_id, asked_by, channel, customer_name, customer_email, status)
    values (m.workspace_id, p_client, m.user_id, 'web', left(coalesce(nullif(m.name, ''), split_part(m.email, '@', 1)), 80), m.email, 'waiting')
    on conflict (client_id, workspace_id) do nothing returning id into conversation;
  if conversation is null then
    select t.id into conversation from app.conversations t
     where t.client_id = p_client and t.workspace_id = m.workspace_id and t.asked_by = m.user_id;
    if conversation is null then raise exception using errcode = 'P0409', message = 'this id was used for something else'; end if;
    return conversation;
  end if;
  insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_name)
    select conversation, m.workspace_id, s.n, case when s.one ->> 0 = 'bot' then 'bot' else 'customer' end, jsonb_build_object('text', s.one ->> 1),
           case when s.one ->> 0 = 'bot' then 'moat' else '' end
      from jsonb_array_elements(p_said) with ordinality s(one, n) order by s.n;
  update app.conversations t set last_seq = jsonb_array_length(p_said) where t.id = conversation and t.workspace_id = m.workspace_id;
  return conversation;
end $$;

-- Whoever asked says more. The same client id with the same text gives what is stored. Whatever it was, it is open again.
create function app.ask_on(p_conversation uuid, p_client uuid, p_text text) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  t record;
  m record;
  at bigint;
begin
  select x.id, x.workspace_id into t from app.conversations x
   where x.id = p_conversation and x.workspace_id = app.member_org() and x.asked_by = auth.uid() for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  select x.content, x.role into m from app.conversation_messages x
   where x.client_id = p_client and x.conversation_id = t.id and x.workspace_id = t.workspace_id;
  if found then
    if m.content ->> 'text' is distinct from p_text or m.role <> 'customer' then
      raise exception using errcode = 'P0409', message = 'this id was used for another text';
    end if;
    return;
  end if;
  update app.conversations x
     set last_seq = x.last_seq + 1, active_at = clock_timestamp(), waiting_since = coalesce(x.waiting_since, now()),
         status = case when x.status in ('resolved', 'snoozed') then 'waiting' else x.status end, resolved_at = null, snoozed_until = null
   where x.id = t.id and x.workspace_id = t.workspace_id returning x.last_seq into at;
  insert into app.conversation_messages (conversation_id, workspace_id, seq, client_id, role, content)
    values (t.id, t.workspace_id, at, p_client, 'customer', jsonb_build_object('text', p_text));
end $$;

alter function app.my_desks() owner to moat_definer;
alter function app.escalate(uuid, uuid, jsonb) owner to moat_definer;
alter function app.ask_on(uuid, uuid, text) owner to moat_definer;
grant execute on function app.my_desks(), app.escalate(uuid, uuid, jsonb), app.ask_on(uuid, uuid, text) to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
