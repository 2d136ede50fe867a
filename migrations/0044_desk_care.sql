-- Why: what is done at a desk in one step: words with what follows from them, two talks of one customer joined, a customer forgotten on
-- request, and talks that are dealt to whoever is there.
alter table app.replies
  add column labels text[] not null default '{}',
  add column priority smallint,
  add column next text not null default '',
  drop constraint replies_text_length,
  add constraint replies_labels_few check (cardinality(labels) <= 20 and length(array_to_string(labels, '')) <= 600),
  add constraint replies_priority_known check (priority between 0 and 3),
  add constraint replies_next_known check (next in ('', 'resolved', 'snoozed', 'waiting')),
  add constraint replies_does_something check (length(text) <= 8000 and (text <> '' or priority is not null or next <> '' or cardinality(labels) > 0));
grant insert (labels, priority, next), update (labels, priority, next) on app.replies to authenticated;
-- What agents say by a click is kept by owners and admins.
drop policy insert_member on app.replies;
drop policy update_member on app.replies;
drop policy delete_member on app.replies;
create policy insert_manager on app.replies for insert to authenticated with check (workspace_id = (select app.managed_org()));
create policy update_manager on app.replies for update to authenticated using (workspace_id = (select app.managed_org()));
create policy delete_manager on app.replies for delete to authenticated using (workspace_id = (select app.managed_org()));
comment on column app.replies.next is 'what is done with the conversation after the words were sent; empty: nothing';

alter table app.conversations add column merged_into uuid,
  add foreign key (merged_into, workspace_id) references app.conversations (id, workspace_id) on delete set null (merged_into);
create index conversations_merged on app.conversations (merged_into, workspace_id) where merged_into is not null;
comment on column app.conversations.merged_into is 'where the staff goes on with this customer; each customer still reads their own talk alone';
grant update (merged_into) on app.conversations to authenticated;

alter table app.desks add column deals boolean not null default false;
comment on column app.desks.deals is 'who waits is given to whoever is there, in turn';
create index desks_that_deal on app.desks (workspace_id) where deals;
alter table app.agents add column dealt_at timestamptz not null default '-infinity';
comment on column app.agents.dealt_at is 'when they were last given somebody; the longest ago is next';
grant update (deals) on app.desks to authenticated;
grant select (deals) on app.desks to moat_definer;
grant update (dealt_at) on app.agents to moat_definer;
grant update (claimed_at) on app.conversations to moat_definer;
create policy delete_definer on app.conversations for delete to moat_definer using (true);
grant delete on app.conversations to moat_definer;
create policy update_definer on app.conversation_messages for update to moat_definer using (true);
grant update (content) on app.conversation_messages to moat_definer;
create index conversation_messages_copied on app.conversation_messages (workspace_id, (content ->> 'from')) where content ? 'from';

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- Gives those who wait to whoever is there and has room, the longest waiting first within their urgency, each to whom was given
-- somebody longest ago. Held in the order of everything at a desk: the person, their membership, their agent's row, the talk; what
-- somebody else holds at this moment is left for the next time. Gives how many were given.
create function app.deal(p_limit int) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  w record;
  g record;
  a app.agents;
  at bigint;
  n int := 0;
begin
  perform app.require_reason('sweep');
  for w in select t.id, t.workspace_id from app.desks d cross join lateral (
             select x.id, x.workspace_id, x.priority, x.waiting_since from app.conversations x
              where x.workspace_id = d.workspace_id and x.status = 'waiting'
                and not exists (select from app.later_answers o where o.conversation_id = x.id and o.workspace_id = x.workspace_id)
              order by x.priority desc, x.waiting_since, x.id limit p_limit) t
            where d.deals and exists (
                select from app.agents y join app.users u on u.id = y.user_id and u.status = 'active'
                 where y.workspace_id = d.workspace_id and y.available and y.here_until > now()
                   and (select count(*) from app.conversations c where c.claimed_by = y.user_id and c.workspace_id = y.workspace_id) < y.capacity)
              and not exists (select from app.workspaces y where y.id = d.workspace_id and y.deleted_at is not null)
            order by t.priority desc, t.waiting_since, t.id limit p_limit loop
    for g in select x.user_id from app.agents x join app.users u on u.id = x.user_id and u.status = 'active'
            where x.workspace_id = w.workspace_id and x.available and x.here_until > now()
              -- Whoever has just given it back is not given it again.
              and not exists (select from app.conversation_messages m where m.conversation_id = w.id and m.workspace_id = w.workspace_id
                                and m.role = 'system' and m.author_id = x.user_id and m.content ->> 'text' = 'gave this back'
                                and m.created_at > now() - interval '10 minutes')
              and (select count(*) from app.conversations c where c.claimed_by = x.user_id and c.workspace_id = x.workspace_id) < x.capacity
              order by x.dealt_at, x.user_id loop
      perform from app.users u where u.id = g.user_id and u.status = 'active' for key share skip locked;
      continue when not found;
      perform from app.workspace_members m where m.workspace_id = w.workspace_id and m.user_id = g.user_id for key share skip locked;
      continue when not found;
      exit when exists (select from app.workspaces y where y.id = w.workspace_id and y.deleted_at is not null);
      select x.* into a from app.agents x where x.workspace_id = w.workspace_id and x.user_id = g.user_id and x.available and x.here_until > now()
         for no key update skip locked;
      continue when not found;
      -- Counted once more, now that nobody else can give them anything.
      continue when (select count(*) from app.conversations c where c.claimed_by = a.user_id and c.workspace_id = a.workspace_id) >= a.capacity;
      perform from app.conversations x where x.id = w.id and x.workspace_id = w.workspace_id and x.status = 'waiting' for no key update skip locked;
      exit when not found;
      update app.conversations x set status = 'claimed', claimed_by = a.user_id, claimed_at = now(), last_seq = x.last_seq + 1
       where x.id = w.id and x.workspace_id = w.workspace_id returning x.last_seq into at;
      update app.agents x set dealt_at = clock_timestamp() where x.workspace_id = a.workspace_id and x.user_id = a.user_id;
      insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_id, author_name)
        values (w.id, w.workspace_id, at, 'system', '{"text": "was given this"}', a.user_id, a.name);
      n := n + 1;
      exit;
    end loop;
  end loop;
  return n;
end $$;

-- A customer and everything that they said, forgotten: this talk, and with `p_all` those of the same address. For whoever manages the
-- workspace. The trail keeps that it was done, by whom, when, and the ids; nothing that was said.
create function app.erase_customer(p_conversation uuid, p_all boolean) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  org uuid := app.managed_org();
  t record;
  gone record;
  copy record;
  n int := 0;
begin
  select x.id, x.customer_email into t from app.conversations x where x.id = p_conversation and x.workspace_id = org;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  -- Visitors before their talks, as when they write, and all in one order, so that two who erase the same customer wait for one another.
  perform from app.visitors v where v.workspace_id = org and v.id in (
      select x.visitor_id from app.conversations x where x.workspace_id = org
         and (x.id = t.id or (p_all and t.customer_email <> '' and x.customer_email = t.customer_email)))
    order by v.id for update;
  for gone in select x.id, x.visitor_id from app.conversations x where x.workspace_id = org
                 and (x.id = t.id or (p_all and t.customer_email <> '' and x.customer_email = t.customer_email))
               order by x.id for update loop
    perform app.tell(gone.id, 'conversation.closed', '{}');
    perform app.tell(org, 'conversation.changed', jsonb_build_object('conversation', gone.id));
    -- What of it stands in others, to which it was joined.
    for copy in update app.conversation_messages x set content = '{"text": "This was erased with its customer."}'
                 where x.workspace_id = org and x.content ? 'from' and x.content ->> 'from' = gone.id::text returning x.conversation_id loop
      perform app.tell(org, 'conversation.changed', jsonb_build_object('conversation', copy.conversation_id));
    end loop;
    delete from app.conversations x where x.id = gone.id and x.workspace_id = org;
    delete from app.visitors v where v.id = gone.visitor_id and v.workspace_id = org;
    insert into app.audit_pending (workspace_id, kind, hand, actor, new)
      values (org, 'customer.removed', 'person', auth.uid(), jsonb_build_object('id', gone.id));
    n := n + 1;
  end loop;
  return n;
end $$;

-- As before; and to themselves how far they have read, for their other windows.
create or replace function app.tell_reading() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  came boolean := tg_op = 'INSERT' or old.looking_until < now();
  typing boolean := (new.typing_until > now()) is distinct from (tg_op = 'UPDATE' and old.typing_until > now());
begin
  if came and new.looking_until > now() or typing or (new.mentioned > new.seq) is distinct from (tg_op = 'UPDATE' and old.mentioned > old.seq) then
    perform app.tell(new.workspace_id, 'conversation.looking', jsonb_build_object('conversation', new.conversation_id));
  elsif new.seq > old.seq then
    perform app.tell(new.user_id, 'conversation.read', jsonb_build_object('conversation', new.conversation_id));
  end if;
  if typing and exists (select from app.conversations t where t.id = new.conversation_id and t.workspace_id = new.workspace_id
                           and t.claimed_by = new.user_id) then
    perform app.tell(new.conversation_id, 'conversation.typing', '{}');
  end if;
  return null;
end $$;

-- As before; and the desk, whose other windows show who is shut out.
create or replace function app.tell_visitor() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  conversation uuid;
begin
  if (new.blocked_at is null) = (old.blocked_at is null) then return null; end if;
  select t.id into conversation from app.conversations t where t.visitor_id = new.id and t.workspace_id = new.workspace_id;
  if new.blocked_at is not null then perform app.tell(conversation, 'conversation.closed', '{}') where conversation is not null; end if;
  perform app.tell(new.workspace_id, 'conversation.changed', jsonb_build_object('conversation', conversation)) where conversation is not null;
  return null;
end $$;

-- As before, and when somebody comes back: they can be handed something again.
create or replace function app.tell_agent() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if tg_op = 'UPDATE' and (new.name, new.available, new.capacity) is not distinct from (old.name, old.available, old.capacity)
      and not (old.here_until < now() and new.here_until > now()) then
    return null;
  end if;
  perform app.tell(coalesce(new.workspace_id, old.workspace_id), 'desk.agents', '{}');
  return null;
end $$;

-- What stands around conversations on every screen of a desk: its name, lists and words that are kept.
create function app.tell_desk() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.tell(coalesce(new.workspace_id, old.workspace_id), 'desk.changed', '{}');
  return null;
end $$;
create trigger tell_desk after update on app.desks for each row execute function app.tell_desk();
create trigger audit after insert or delete or update of name, text, labels, priority, next on app.replies
  for each row execute function app.audit_row('reply', 'name text labels priority next', '');
create trigger tell_desk after insert or update or delete on app.replies for each row execute function app.tell_desk();
create trigger tell_desk after insert or update or delete on app.saved_views for each row execute function app.tell_desk();

-- What customers wrote stands in such a note, and they name nobody.
drop trigger note_mentions on app.conversation_messages;
create trigger note_mentions after insert on app.conversation_messages for each row
  when (new.role = 'note' and strpos(new.content ->> 'text', '@') > 0 and not new.content ? 'from') execute function app.note_mentions();

drop trigger audit on app.desks;
create trigger audit after insert or update of name, welcome, bot, bot_name, bot_words, reply_minutes, resolve_minutes, zone, hours, undo_seconds, deals
  on app.desks for each row execute function
  app.audit_row('desk', 'name welcome bot bot_name bot_words reply_minutes resolve_minutes zone hours undo_seconds deals', '');
alter function app.tell_desk() owner to moat_definer;
alter function app.deal(int) owner to moat_definer;
alter function app.erase_customer(uuid, boolean) owner to moat_definer;
grant execute on function app.deal(int) to service;
grant execute on function app.erase_customer(uuid, boolean) to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;

-- Joins one talk to another of the same customer, by their address: what was said there stands here as a note, and it is resolved with a line that leads
-- here. Two customers stay two: neither reads what the other wrote. What somebody else has is not joined ('taken').
create function app.join_conversations(p_from uuid, p_into uuid, out held text)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  me uuid := (select auth.uid());
  a app.agents := app.hold_agent();
  f record;
  t record;
  said text;
  at bigint;
begin
  if p_from = p_into then raise exception using errcode = 'P0404', message = 'one and the same'; end if;
  -- In one order, whichever way round two are joined.
  perform from app.conversations x where x.id in (p_from, p_into) order by x.id for no key update;
  select x.workspace_id, x.claimed_by, x.status, x.merged_into, x.customer_name, x.customer_email, x.waiting_since into f from app.conversations x where x.id = p_from;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  select x.claimed_by, x.customer_email into t from app.conversations x where x.id = p_into;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  if f.customer_email = '' or f.customer_email <> t.customer_email then
    raise exception using errcode = 'P0404', message = 'another customer';
  end if;
  if f.claimed_by <> me or t.claimed_by <> me then
    held := 'taken';
    return;
  end if;
  if f.merged_into = p_into and f.status = 'resolved' then return; end if;
  -- The newest of it, as much as a note holds.
  select right(string_agg(x.line, e'\n' order by x.seq), 30000) into said from (
    select m.seq, case m.role when 'customer' then coalesce(nullif(f.customer_name, ''), nullif(f.customer_email, ''), 'Visitor') else m.author_name end
             || ': ' || (m.content ->> 'text') as line
      from app.conversation_messages m where m.conversation_id = p_from and m.role in ('customer', 'bot', 'agent')
     order by m.seq desc limit 500) x;
  perform app.log_line(p_into, 'joined another conversation to this');
  update app.conversations x set last_seq = x.last_seq + 1 where x.id = p_into returning x.last_seq into at;
  insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_id, author_name)
    values (p_into, f.workspace_id, at, 'note', jsonb_build_object('text', 'From their other conversation:' || e'\n' || coalesce(said, ''), 'from', p_from), me, app.my_name(f.workspace_id));
  -- Whoever waits there waits here.
  update app.conversations x
     set merged_into = null, waiting_since = least(x.waiting_since, f.waiting_since),
         status = case when f.waiting_since is not null and x.status in ('resolved', 'snoozed', 'bot') then 'waiting' else x.status end,
         resolved_at = case when f.waiting_since is null then x.resolved_at end,
         snoozed_until = case when f.waiting_since is null then x.snoozed_until end
   where x.id = p_into;
  update app.conversations x
     set status = 'resolved', claimed_by = null, claimed_at = null, snoozed_until = null, waiting_since = null, resolved_at = now(), merged_into = p_into
   where x.id = p_from;
  perform app.log_line(p_from, 'joined this to another conversation');
end $$;
grant execute on function app.join_conversations(uuid, uuid) to authenticated;

-- As before; what came with another conversation is news as well; and one that was put off until a time can be put off until its customer writes.
create or replace function app.set_conversation(p_conversation uuid, p_status text, p_until timestamptz, p_seen bigint, out held text)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  me uuid := (select auth.uid());
  a app.agents := app.hold_agent();
  t record;
begin
  select x.status, x.claimed_by, x.handovers, x.bot_user_id, x.workspace_id, x.snoozed_until into t
    from app.conversations x where x.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  if t.claimed_by <> me then
    held := 'taken';
    return;
  end if;
  if p_status in ('resolved', 'snoozed') and exists (
      select from app.conversation_messages x where x.conversation_id = p_conversation and x.seq > p_seen and (x.role = 'customer' or x.content ? 'from')) then
    held := 'news';
    return;
  end if;
  if p_status = 'bot' and (t.handovers > 1 or t.bot_user_id is null or not exists (
      select from app.desks d where d.workspace_id = t.workspace_id and d.bot)) then
    raise exception using errcode = 'P0444', message = 'not for the assistant';
  end if;
  if t.status = p_status and p_until is not distinct from t.snoozed_until then return; end if;
  update app.conversations x
     set status = p_status, claimed_by = null, claimed_at = null,
         resolved_at = case when p_status = 'resolved' then now() end,
         snoozed_until = case when p_status = 'snoozed' then p_until end,
         waiting_since = case when p_status = 'waiting' then coalesce(x.waiting_since, now()) when p_status = 'resolved' then null else x.waiting_since end
   where x.id = p_conversation;
  perform app.log_line(p_conversation, case p_status when 'resolved' then 'resolved this' when 'snoozed' then 'put this off'
    when 'bot' then 'gave this to the assistant' else case t.status when 'claimed' then 'gave this back' else 'opened this again' end end);
end $$;
