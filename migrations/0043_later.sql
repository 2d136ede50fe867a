-- Why: an answer that leaves later: in some seconds, so that it can be undone, or tomorrow. It is written down, with what its writer
-- had read; when its time comes and something else has been said, or somebody else has the talk, it is no answer any more, and its
-- writer is told instead of the customer.
create table app.later_answers (
  id uuid not null,
  conversation_id uuid not null,
  workspace_id uuid not null default app.member_org(),
  user_id uuid not null default auth.uid(),
  text text not null,
  seen bigint not null,
  send_at timestamptz not null,
  taken_back_at timestamptz,
  created_at timestamptz not null default now(),
  primary key (id, workspace_id),
  foreign key (conversation_id, workspace_id) references app.conversations (id, workspace_id) on delete cascade,
  foreign key (workspace_id, user_id) references app.workspace_members (workspace_id, user_id) on delete cascade,
  constraint later_answers_text_length check (length(text) between 1 and 32000)
);
create index later_answers_of_conversation on app.later_answers (conversation_id, workspace_id, send_at);
create index later_answers_of_member on app.later_answers (workspace_id, user_id);
create index later_answers_due on app.later_answers (send_at) where taken_back_at is null;
create index later_answers_taken_back on app.later_answers (taken_back_at) where taken_back_at is not null;
comment on column app.later_answers.taken_back_at is 'kept for a day, so that a late copy of the request that made it makes it not again';
comment on column app.later_answers.id is 'made by its writer: the message that it becomes has it as its client id';
comment on column app.later_answers.seen is 'the newest message that its writer had before them';

alter table app.desks add column undo_seconds int not null default 0,
  add constraint desks_undo_seconds_known check (undo_seconds between 0 and 60);
comment on column app.desks.undo_seconds is 'each answer waits so long, and can be undone until then';
grant update (undo_seconds) on app.desks to authenticated;

alter table app.later_answers enable row level security;
alter table app.later_answers force row level security;
-- Everybody at the desk sees what is about to be said there; it is its writer's to take back.
create policy select_member on app.later_answers for select to authenticated using (workspace_id = (select app.member_org()));
create policy insert_own on app.later_answers for insert to authenticated
  with check (workspace_id = (select app.member_org()) and user_id = (select auth.uid()));
-- A row goes with the membership that it hangs on: the claim alone is compared, without a third look-up.
create policy update_own on app.later_answers for update to authenticated
  using (workspace_id = (select (auth.jwt() ->> 'org_id')::uuid) and user_id = (select auth.uid()));
grant select, insert (id, conversation_id, text, seen, send_at), update (taken_back_at) on app.later_answers to authenticated;
-- Not granted: other words, which are another answer; delete.
comment on table app.later_answers is 'workspace; refused: delete';

create policy select_definer on app.later_answers for select to moat_definer using (true);
create policy delete_definer on app.later_answers for delete to moat_definer using (true);
create policy update_definer on app.later_answers for update to moat_definer using (true);
grant select, delete, update (send_at) on app.later_answers to moat_definer;
grant update (first_reply_at) on app.conversations to moat_definer;
grant insert (client_id) on app.conversation_messages to moat_definer;
grant select (author_id) on app.conversation_messages to moat_definer;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- To the desk alone: the customer learns of an answer when it is one.
create function app.tell_later() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.tell(coalesce(new.workspace_id, old.workspace_id), 'conversation.later',
    jsonb_build_object('conversation', coalesce(new.conversation_id, old.conversation_id)));
  return null;
end $$;

-- Says what is due, or tells its writer why it was not said. In the order in which everything at a desk is held: the person, their
-- membership, the talk. It holds many, so it waits for none: what somebody else holds at this moment is left for the next time, and so
-- is what fails, for a minute. Gives how many there were.
create function app.send_later_answers(p_limit int) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  l record;
  t record;
  lives text;
  who text;
  gave_back boolean;
  at bigint;
  n int := 0;
begin
  perform app.require_reason('sweep');
  for l in select x.id, x.workspace_id, x.user_id, x.conversation_id, x.text, x.seen from app.later_answers x
            where x.send_at <= now() and x.taken_back_at is null and not exists (select from app.workspaces w where w.id = x.workspace_id and w.deleted_at is not null)
            order by x.send_at, x.id limit p_limit loop
   begin
    select u.status into lives from app.users u where u.id = l.user_id for key share skip locked;
    continue when not found;
    select coalesce(a.name, nullif(m.name, ''), split_part(m.email, '@', 1)) into who from app.workspace_members m
      left join app.agents a on a.workspace_id = m.workspace_id and a.user_id = m.user_id
     where m.workspace_id = l.workspace_id and m.user_id = l.user_id for key share of m skip locked;
    continue when not found;
    -- Its deletion waits for the membership, or has been before.
    continue when exists (select from app.workspaces w where w.id = l.workspace_id and w.deleted_at is not null);
    select x.claimed_by, x.status, x.visitor_id, x.merged_into into t from app.conversations x
     where x.id = l.conversation_id and x.workspace_id = l.workspace_id for no key update skip locked;
    continue when not found;
    -- Taken back, or said by another process, meanwhile.
    delete from app.later_answers x where x.id = l.id and x.workspace_id = l.workspace_id and x.taken_back_at is null;
    continue when not found;
    n := n + 1;
    -- Sent at once after all, under the same id.
    continue when exists (select from app.conversation_messages x
                           where x.client_id = l.id and x.conversation_id = l.conversation_id and x.workspace_id = l.workspace_id);
    if lives <> 'active' or t.status = 'bot' or (t.status = 'resolved' and t.merged_into is not null) or t.claimed_by <> l.user_id
        or not exists (select from app.agents a where a.workspace_id = l.workspace_id and a.user_id = l.user_id)
        or exists (select from app.visitors v where v.id = t.visitor_id and v.workspace_id = l.workspace_id and v.blocked_at is not null)
        or exists (select from app.conversation_messages x where x.conversation_id = l.conversation_id and x.workspace_id = l.workspace_id
                     and x.seq > l.seen and (x.author_id is distinct from l.user_id or x.content ? 'from') and not x.content ? 'draft'
                     -- That somebody else took, resolved or joined it is something, and how urgent it is is not.
                     and not (x.role = 'system' and x.content ->> 'text' like 'made this %')) then
      update app.conversations x set last_seq = x.last_seq + 1 where x.id = l.conversation_id and x.workspace_id = l.workspace_id returning x.last_seq into at;
      insert into app.conversation_messages (conversation_id, workspace_id, seq, client_id, role, content, author_id, author_name)
        values (l.conversation_id, l.workspace_id, at, l.id, 'note', jsonb_build_object('text', l.text, 'draft', true, 'late', true), l.user_id, who);
      insert into app.readings as r (conversation_id, workspace_id, user_id, mentioned) values (l.conversation_id, l.workspace_id, l.user_id, at)
        on conflict (conversation_id, workspace_id, user_id) do update set mentioned = excluded.mentioned;
    else
      -- What lapsed into the queue is answered now, and comes back when the customer writes; what was given to it on purpose stays.
      gave_back := t.status = 'waiting' and exists (
        select from app.conversation_messages x where x.conversation_id = l.conversation_id and x.workspace_id = l.workspace_id
           and x.seq > l.seen and x.role = 'system' and x.author_id = l.user_id and x.content ->> 'text' = 'gave this back');
      update app.conversations x
         set last_seq = x.last_seq + 1, active_at = clock_timestamp(), first_reply_at = coalesce(x.first_reply_at, now()),
             waiting_since = case when gave_back then x.waiting_since end,
             status = case when x.status = 'waiting' and not gave_back then 'snoozed' else x.status end
       where x.id = l.conversation_id and x.workspace_id = l.workspace_id returning x.last_seq into at;
      insert into app.conversation_messages (conversation_id, workspace_id, seq, client_id, role, content, author_id, author_name)
        values (l.conversation_id, l.workspace_id, at, l.id, 'agent', jsonb_build_object('text', l.text), l.user_id, who);
    end if;
   exception when others then
    -- One that can't be said stops nobody else's.
    raise warning 'an answer for later: %', sqlerrm;
    update app.later_answers x set send_at = now() + interval '1 minute' where x.id = l.id and x.workspace_id = l.workspace_id;
   end;
  end loop;
  delete from app.later_answers x where x.taken_back_at < now() - interval '1 day';
  return n;
end $$;

create trigger tell_later after insert or update of taken_back_at or delete on app.later_answers for each row execute function app.tell_later();
alter function app.tell_later() owner to moat_definer;
alter function app.send_later_answers(int) owner to moat_definer;
grant execute on function app.send_later_answers(int) to service;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;

-- An answer for later, held as one for now is: to all that was said, by whoever has the talk. The same id with the same text gives
-- what is kept, or what it has become.
create function app.answer_later(p_conversation uuid, p_client uuid, p_text text, p_seen bigint, p_seconds int, out held text)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  me uuid := (select auth.uid());
  a app.agents := app.hold_agent();
  t record;
  m record;
begin
  select x.claimed_by, x.last_seq into t from app.conversations x where x.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  select x.content ->> 'text' as text, x.role into m from app.conversation_messages x
   where x.client_id = p_client and x.conversation_id = p_conversation
  union all select x.text, 'agent' from app.later_answers x where x.id = p_client and x.conversation_id = p_conversation;
  if found then
    if m.text is distinct from p_text or m.role <> 'agent' then
      raise exception using errcode = 'P0409', message = 'this id was used for another text';
    end if;
    return;
  end if;
  if t.claimed_by is not null and t.claimed_by <> me then
    held := 'taken';
    return;
  end if;
  if exists (select from app.conversation_messages x where x.conversation_id = p_conversation and x.seq > p_seen
               and x.role <> 'system' and (x.author_id is distinct from me or x.content ? 'from') and not x.content ? 'draft') then
    held := 'news';
    return;
  end if;
  if t.claimed_by is null then
    perform app.claim(a, p_conversation);
    perform app.log_line(p_conversation, 'took this');
  end if;
  insert into app.later_answers (id, conversation_id, text, seen, send_at)
    -- Nobody has seen what was not said yet.
    values (p_client, p_conversation, p_text, least(p_seen, t.last_seq), now() + make_interval(secs => p_seconds));
end $$;
grant execute on function app.answer_later(uuid, uuid, text, bigint, int) to authenticated;

-- As before, and nothing else is stored under the id of an answer for later.
create or replace function app.answer_conversation(p_conversation uuid, p_client uuid, p_text text, p_seen bigint, p_note boolean,
    out message_id uuid, out held text)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  me uuid := (select auth.uid());
  a app.agents;
  t record;
  m record;
  at bigint;
begin
  if not p_note then a := app.hold_agent(); end if;
  select x.workspace_id, x.last_seq, x.claimed_by, x.status into t from app.conversations x where x.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  select x.id, x.content, x.role into m from app.conversation_messages x where x.client_id = p_client and x.conversation_id = p_conversation;
  if found then
    if m.content ->> 'text' is distinct from p_text or (m.role = 'note') is distinct from p_note then
      raise exception using errcode = 'P0409', message = 'this id was used for another text';
    end if;
    message_id := m.id;
    return;
  end if;
  -- The id of an answer that has not left yet is spent as well, but for that answer.
  if exists (select from app.later_answers x where x.id = p_client and x.conversation_id = p_conversation and (p_note or x.text <> p_text)) then
    raise exception using errcode = 'P0409', message = 'this id was used for another text';
  end if;
  if not p_note then
    if t.claimed_by is not null and t.claimed_by <> me then
      held := 'taken';
      return;
    end if;
    if exists (select from app.conversation_messages x where x.conversation_id = p_conversation and x.seq > p_seen
                 and x.role <> 'system' and (x.author_id is distinct from me or x.content ? 'from')) then
      held := 'news';
      return;
    end if;
    if t.claimed_by is null then
      perform app.claim(a, p_conversation);
      perform app.log_line(p_conversation, 'took this');
    end if;
  end if;
  update app.conversations x
     set last_seq = x.last_seq + 1, active_at = clock_timestamp(),
         first_reply_at = case when p_note then x.first_reply_at else coalesce(x.first_reply_at, now()) end,
         waiting_since = case when p_note then x.waiting_since end
   where x.id = p_conversation returning x.last_seq into at;
  insert into app.conversation_messages (conversation_id, workspace_id, seq, client_id, role, content, author_id, author_name)
    values (p_conversation, t.workspace_id, at, p_client, case when p_note then 'note' else 'agent' end,
            jsonb_build_object('text', p_text), me, app.my_name(t.workspace_id))
    returning id into message_id;
end $$;
