-- Claims in one write, what agents say of a customer, and blocking that shows in the conversation.

grant update (customer_name, customer_email) on app.conversations to authenticated;
grant update (name) on app.replies to authenticated;
drop function app.hand_conversation(uuid, uuid);
drop function app.set_conversation(uuid, text, timestamptz, bigint);

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;
grant usage, create on schema gate to moat_definer;

-- As before, and somebody who was blocked, and somebody whose desk is closed, is told apart from somebody whom nobody knows any more:
-- the one stays out, the other may come back, the last may begin anew.
create or replace function gate.open_visitor(p_hash bytea) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  v record;
begin
  select x.id, x.workspace_id, x.blocked_at, w.deleted_at into v from app.visitors x join app.workspaces w on w.id = x.workspace_id
   where x.token_hash = p_hash;
  if not found then return 'none'; end if;
  if v.deleted_at is not null then raise exception using errcode = 'P0404', message = 'no such desk'; end if;
  if v.blocked_at is not null then raise exception using errcode = 'P0403', message = 'blocked'; end if;
  perform set_config('request.jwt.claims',
    jsonb_build_object('role', 'visitor', 'visitor', v.id, 'org_id', v.workspace_id)::text, true);
  return 'visitor';
end $$;

-- As before, but the lease is written down only when it would be shorter by a minute otherwise: each claim would write it again.
create or replace function app.hold_agent() returns app.agents
language plpgsql volatile security definer set search_path = '' as $$
declare
  a app.agents;
begin
  select x.* into a from app.agents x where x.workspace_id = app.member_org() and x.user_id = auth.uid() for no key update;
  if not found then raise exception using errcode = 'P0441', message = 'no agent'; end if;
  if a.here_until is null or a.here_until < now() + interval '4 minutes' then
    update app.agents x set here_until = now() + interval '5 minutes'
     where x.workspace_id = a.workspace_id and x.user_id = a.user_id returning x.* into a;
  end if;
  return a;
end $$;

-- As before, and what is given back of a customer who is blocked waits for nobody: no answer to it would be sent.
create or replace function app.guard_conversation() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    if exists (select from app.workspaces w where w.id = new.workspace_id and w.personal_of is not null) then
      raise exception using errcode = 'P0433', message = 'a personal workspace has no desk';
    end if;
    update app.visitors v set silent = false where v.id = new.visitor_id and v.workspace_id = new.workspace_id;
    return new;
  end if;
  -- A customer opens their talk again, and steers it no further: not when it waits since, nor how many messages it has.
  if nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role' = 'visitor' then
    if new.status not in (old.status, 'waiting') or new.last_seq not between old.last_seq and old.last_seq + 1 then
      raise exception using errcode = 'P0403', message = 'for the staff';
    end if;
    if new.waiting_since is distinct from old.waiting_since then new.waiting_since := coalesce(old.waiting_since, now()); end if;
    if new.active_at is distinct from old.active_at then new.active_at := clock_timestamp(); end if;
  end if;
  if old.claimed_by is not null and new.claimed_by is null then
    new.claimed_at := null;
    if new.status = 'claimed' then
      new.status := 'waiting';
      new.waiting_since := coalesce(old.waiting_since, now());
    end if;
    if new.status = 'waiting' and exists (
        select from app.visitors v where v.id = new.visitor_id and v.workspace_id = new.workspace_id and v.blocked_at is not null) then
      new.status := 'resolved';
      new.resolved_at := now();
      new.waiting_since := null;
    end if;
  end if;
  if new.claimed_by is distinct from old.claimed_by or (new.status = 'bot') <> (old.status = 'bot') then
    new.epoch := old.epoch + 1;
  end if;
  return new;
end $$;

-- As before, and the customer hears who has their question by now.
create or replace function app.tell_conversation() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' or (new.status, new.claimed_by, new.priority, new.subject, new.labels, new.customer_name, new.customer_email, new.rating)
      is distinct from (old.status, old.claimed_by, old.priority, old.subject, old.labels, old.customer_name, old.customer_email, old.rating) then
    perform app.tell(new.workspace_id, 'conversation.changed', jsonb_build_object('conversation', new.id));
    if tg_op = 'UPDATE' and (new.status, new.claimed_by) is distinct from (old.status, old.claimed_by) then
      perform app.tell(new.id, 'conversation.changed', '{}');
    end if;
  end if;
  return null;
end $$;

-- As before, and an answer that was taken back, which is remembered for a day, keeps nobody from being dealt.
create or replace function app.deal(p_limit int) returns int
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
                and not exists (select from app.later_answers o where o.conversation_id = x.id and o.workspace_id = x.workspace_id
                                  and o.taken_back_at is null)
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

-- As before, and visitors are not held harder than by whoever writes: somebody who answers looks at theirs again (a foreign key) while
-- they hold the talk, and each would wait for the other.
create or replace function app.erase_customer(p_conversation uuid, p_all boolean) returns int
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
    order by v.id for no key update;
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

-- As before, and what somebody does not say stays as it is known: whoever leaves an address alone keeps their name.
create or replace function app.introduce(p_name text, p_email text) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  me uuid := c ->> 'visitor';
  o uuid := c ->> 'org_id';
begin
  update app.visitors v set name = coalesce(nullif(p_name, ''), v.name), email = coalesce(nullif(p_email, ''), v.email)
   where v.id = me and v.workspace_id = o and v.blocked_at is null;
  if not found then raise exception using errcode = 'P0404', message = 'no such visitor'; end if;
  update app.conversations t set customer_name = coalesce(nullif(p_name, ''), t.customer_name),
         customer_email = coalesce(nullif(p_email, ''), t.customer_email)
   where t.visitor_id = me and t.workspace_id = o;
end $$;

-- The newest of the visitor's own words that somebody of the staff has had before them, or that was answered. NULL: none.
create function app.own_read() returns uuid
language sql stable security definer set search_path = '' as $$
  select m.id from app.conversations t
    -- The bound once, each from its index: a talk may be long, and its page is read often.
    cross join lateral (select greatest(
      (select max(r.seq) from app.readings r where r.conversation_id = t.id and r.workspace_id = t.workspace_id),
      (select x.seq from app.conversation_messages x where x.conversation_id = t.id and x.workspace_id = t.workspace_id
          and x.role in ('agent', 'bot') order by x.seq desc limit 1)) as seq) s
    cross join lateral (select x.id from app.conversation_messages x where x.conversation_id = t.id and x.workspace_id = t.workspace_id
          and x.role = 'customer' and x.seq <= s.seq order by x.seq desc limit 1) m
   where t.id = app.visitor_conversation()
$$;

-- As before; and to the customer that their words were read.
create or replace function app.tell_reading() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  came boolean := tg_op = 'INSERT' or old.looking_until < now();
  typing boolean := (new.typing_until > now()) is distinct from (tg_op = 'UPDATE' and old.typing_until > now());
  was bigint := case when tg_op = 'UPDATE' then old.seq else 0 end;
begin
  if came and new.looking_until > now() or typing or (new.mentioned > new.seq) is distinct from (tg_op = 'UPDATE' and old.mentioned > old.seq) then
    perform app.tell(new.workspace_id, 'conversation.looking', jsonb_build_object('conversation', new.conversation_id));
  elsif new.seq > was then
    perform app.tell(new.user_id, 'conversation.read', jsonb_build_object('conversation', new.conversation_id));
  end if;
  if typing and exists (select from app.conversations t where t.id = new.conversation_id and t.workspace_id = new.workspace_id
                           and t.claimed_by = new.user_id) then
    perform app.tell(new.conversation_id, 'conversation.typing', '{}');
  end if;
  if new.seq > was and exists (select from app.conversation_messages m where m.conversation_id = new.conversation_id
       and m.workspace_id = new.workspace_id and m.role = 'customer' and m.seq > was and m.seq <= new.seq) then
    perform app.tell(new.conversation_id, 'conversation.read', '{}');
  end if;
  return null;
end $$;

-- Somebody takes what customers said along as a file: that stands in the trail before there is one.
create function app.note_file() returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  org uuid := app.managed_org();
begin
  if org is null then raise exception using errcode = 'P0403', message = 'for whoever looks after it'; end if;
  insert into app.audit_pending (workspace_id, kind, hand, actor, ip, user_agent)
    values (org, 'file.added', 'person', auth.uid(), c ->> 'ip', c ->> 'user_agent');
end $$;

alter function gate.open_visitor(bytea) owner to moat_definer;
alter function app.note_file() owner to moat_definer;
alter function app.own_read() owner to moat_definer;
alter function app.tell_reading() owner to moat_definer;
grant execute on function app.own_read() to visitor;
grant execute on function app.note_file() to authenticated;
alter function app.introduce(text, text) owner to moat_definer;
alter function app.tell_conversation() owner to moat_definer;
alter function app.deal(int) owner to moat_definer;
alter function app.erase_customer(uuid, boolean) owner to moat_definer;
alter function app.guard_conversation() owner to moat_definer;
alter function app.hold_agent() owner to moat_definer;
revoke create on schema app from moat_definer;
revoke create on schema gate from moat_definer;
revoke moat_definer from current_user;

-- The agent's, with the line that says so: one write of the talk for both.
create or replace function app.claim(p_agent app.agents, p_conversation uuid) returns void
language plpgsql volatile security invoker set search_path = '' as $$
declare
  at bigint;
begin
  if (select count(*) from app.conversations t where t.claimed_by = p_agent.user_id) >= p_agent.capacity then
    raise exception using errcode = 'P0442', message = 'as many as they can have';
  end if;
  update app.conversations t
     set status = 'claimed', claimed_by = p_agent.user_id, claimed_at = now(), snoozed_until = null, resolved_at = null,
         last_seq = t.last_seq + 1
   where t.id = p_conversation returning t.last_seq into at;
  insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_id, author_name)
    values (p_conversation, p_agent.workspace_id, at, 'system', '{"text": "took this"}', p_agent.user_id, p_agent.name);
end $$;

create or replace function app.take_conversation(p_conversation uuid, out had_by uuid)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  a app.agents := app.hold_agent();
begin
  select t.claimed_by into had_by from app.conversations t where t.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  if had_by is null then perform app.claim(a, p_conversation); end if;
end $$;

create or replace function app.take_next() returns uuid
language plpgsql volatile security invoker set search_path = '' as $$
declare
  a app.agents := app.hold_agent();
  found_one uuid;
begin
  select t.id into found_one from app.conversations t where t.workspace_id = a.workspace_id and t.status = 'waiting'
   order by t.priority desc, t.waiting_since, t.id limit 1 for no key update skip locked;
  if found_one is not null then perform app.claim(a, found_one); end if;
  return found_one;
end $$;

-- Why the caller's answer to what they had seen may not be said now: 'taken', 'news' or 'blocked'. NULL: it may, and the talk is the
-- caller's from then on. Whoever calls this holds the talk.
create function app.held(p_agent app.agents, p_conversation uuid, p_seen bigint, p_drafts boolean) returns text
language plpgsql volatile security invoker set search_path = '' as $$
declare
  t record;
begin
  select x.claimed_by, v.blocked_at into t from app.conversations x
    left join app.visitors v on v.id = x.visitor_id and v.workspace_id = x.workspace_id where x.id = p_conversation;
  if t.claimed_by <> p_agent.user_id then return 'taken'; end if;
  if t.blocked_at is not null then return 'blocked'; end if;
  if exists (select from app.conversation_messages x where x.conversation_id = p_conversation and x.seq > p_seen and x.role <> 'system'
               and (x.author_id is distinct from p_agent.user_id or x.content ? 'from') and (p_drafts or not x.content ? 'draft')) then
    return 'news';
  end if;
  if t.claimed_by is null then perform app.claim(p_agent, p_conversation); end if;
  return null;
end $$;

-- As before, and nobody answers a customer who is blocked.
create or replace function app.answer_later(p_conversation uuid, p_client uuid, p_text text, p_seen bigint, p_seconds int, out held text)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  a app.agents := app.hold_agent();
  t record;
  m record;
begin
  select x.last_seq into t from app.conversations x where x.id = p_conversation for no key update;
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
  held := app.held(a, p_conversation, p_seen, false);
  if held is not null then return; end if;
  insert into app.later_answers (id, conversation_id, text, seen, send_at)
    -- Nobody has seen what was not said yet.
    values (p_client, p_conversation, p_text, least(p_seen, t.last_seq), now() + make_interval(secs => p_seconds));
end $$;

create or replace function app.answer_conversation(p_conversation uuid, p_client uuid, p_text text, p_seen bigint, p_note boolean,
    out message_id uuid, out held text)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  a app.agents;
  t record;
  m record;
  at bigint;
begin
  if not p_note then a := app.hold_agent(); end if;
  select x.workspace_id into t from app.conversations x where x.id = p_conversation for no key update;
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
    held := app.held(a, p_conversation, p_seen, true);
    if held is not null then return; end if;
  end if;
  update app.conversations x
     set last_seq = x.last_seq + 1, active_at = clock_timestamp(),
         first_reply_at = case when p_note then x.first_reply_at else coalesce(x.first_reply_at, now()) end,
         waiting_since = case when p_note then x.waiting_since end
   where x.id = p_conversation returning x.last_seq into at;
  insert into app.conversation_messages (conversation_id, workspace_id, seq, client_id, role, content, author_id, author_name)
    values (p_conversation, t.workspace_id, at, p_client, case when p_note then 'note' else 'agent' end,
            jsonb_build_object('text', p_text), (select auth.uid()), coalesce(a.name, app.my_name(t.workspace_id)))
    returning id into message_id;
end $$;

-- To a colleague who is there, with a note for them, which may be empty: under the same id it is stored once. What somebody else has,
-- managers alone give away, or take over themselves.
create function app.hand_conversation(p_conversation uuid, p_member uuid, p_client uuid, p_note text) returns void
language plpgsql volatile security invoker set search_path = '' as $$
declare
  me uuid := (select auth.uid());
  t record;
  a app.agents;
begin
  -- Whoever takes something over is there.
  if exists (select from app.workspace_members m where m.id = p_member and m.user_id = me) then a := app.hold_agent();
  else a := app.hold_colleague(p_member); end if;
  if not exists (select from app.agents x where x.user_id = me) and app.managed_org() is null then
    raise exception using errcode = 'P0441', message = 'no agent';
  end if;
  select x.claimed_by into t from app.conversations x where x.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  if t.claimed_by is not null and t.claimed_by <> me and app.managed_org() is null then
    raise exception using errcode = 'P0403', message = 'somebody else has it';
  end if;
  if p_note <> '' then perform app.answer_conversation(p_conversation, p_client, p_note, 0, true); end if;
  if t.claimed_by = a.user_id then return; end if;
  if (select count(*) from app.conversations x where x.claimed_by = a.user_id) >= a.capacity then
    raise exception using errcode = 'P0442', message = 'as many as they can have';
  end if;
  perform app.log_line(p_conversation, case when a.user_id <> me then 'handed this to ' || a.name when t.claimed_by is null then 'took this' else 'took this over' end);
  update app.conversations x set status = 'claimed', claimed_by = a.user_id, claimed_at = now(), snoozed_until = null, resolved_at = null
   where x.id = p_conversation;
end $$;

-- As before, and it says whether anything was done: whoever asks twice goes on to the next one once.
create function app.set_conversation(p_conversation uuid, p_status text, p_until timestamptz, p_seen bigint, out held text, out done boolean)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  me uuid := (select auth.uid());
  a app.agents := app.hold_agent();
  t record;
begin
  done := false;
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
  done := true;
end $$;

-- The next one, if there is room for it. NULL: none, or no room: what was done before stays done.
create function app.go_on() returns uuid
language plpgsql volatile security invoker set search_path = '' as $$
begin
  return app.take_next();
exception when sqlstate 'P0442' then
  return null;
end $$;

-- What the staff calls a customer, and their address; NULL leaves it. For agents. What a customer says of themselves later stands above it.
create function app.name_customer(p_conversation uuid, p_name text, p_email text) returns void
language plpgsql volatile security invoker set search_path = '' as $$
begin
  perform app.hold_agent();
  perform from app.conversations t where t.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  update app.conversations t set customer_name = coalesce(p_name, t.customer_name), customer_email = coalesce(p_email, t.customer_email)
   where t.id = p_conversation and (t.customer_name, t.customer_email) <> (coalesce(p_name, t.customer_name), coalesce(p_email, t.customer_email));
  if found then perform app.log_line(p_conversation, 'changed who the customer is'); end if;
end $$;

-- Shuts the customer of a talk out, or lets them in again. What is nobody's, or the caller's, is resolved with it: nobody waits there
-- any more. P0445: it is a colleague's question, who is no customer.
create function app.block_customer(p_conversation uuid, p_blocked boolean) returns void
language plpgsql volatile security invoker set search_path = '' as $$
declare
  who uuid;
  t record;
  was timestamptz;
begin
  select x.visitor_id, x.workspace_id into t from app.conversations x where x.id = p_conversation;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  who := t.visitor_id;
  if who is null then raise exception using errcode = 'P0445', message = 'no customer'; end if;
  -- Visitors before their talks, as when they write.
  select v.blocked_at into was from app.visitors v where v.id = who and v.workspace_id = t.workspace_id for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such customer'; end if;
  -- Said twice it is done once.
  if (was is not null) = p_blocked then return; end if;
  update app.visitors v set blocked_at = case when p_blocked then now() end where v.id = who and v.workspace_id = t.workspace_id;
  select x.claimed_by, x.status into t from app.conversations x where x.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  if p_blocked and t.status <> 'resolved' and coalesce(t.claimed_by, (select auth.uid())) = (select auth.uid()) then
    update app.conversations x
       set status = 'resolved', claimed_by = null, claimed_at = null, resolved_at = now(), waiting_since = null, snoozed_until = null
     where x.id = p_conversation;
  end if;
  perform app.log_line(p_conversation, case when p_blocked then 'blocked this customer' else 'let this customer write again' end);
end $$;

-- As before, and nobody has seen what was not said yet: whose words they are is told that they were read.
create or replace function app.look_at(p_conversation uuid, p_seq bigint, p_typing boolean) returns void
language plpgsql volatile security invoker set search_path = '' as $$
declare
  last bigint;
begin
  select t.last_seq into last from app.conversations t where t.id = p_conversation;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  insert into app.readings as r (conversation_id, seq, looking_until, typing_until)
    values (p_conversation, least(p_seq, last), now() + interval '40 seconds', case when p_typing then now() + interval '10 seconds' else '-infinity' end)
  on conflict (conversation_id, workspace_id, user_id) do update
    set seq = greatest(r.seq, excluded.seq), looking_until = excluded.looking_until, typing_until = excluded.typing_until;
end $$;

grant execute on function app.set_conversation(uuid, text, timestamptz, bigint), app.go_on(), app.held(app.agents, uuid, bigint, boolean), app.name_customer(uuid, text, text),
  app.hand_conversation(uuid, uuid, uuid, text),
  app.block_customer(uuid, boolean) to authenticated;

alter table app.readings disable trigger tell_reading;
update app.readings r set seq = t.last_seq from app.conversations t
 where t.id = r.conversation_id and t.workspace_id = r.workspace_id and r.seq > t.last_seq;
alter table app.readings enable trigger tell_reading;
