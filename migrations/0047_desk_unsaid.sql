-- Why: an answer for later outlives its writer's place at the desk; an id stands for the words of one person; nobody has seen what was
-- not said yet; and whoever writes while they are erased or shut out is told so.

alter table app.later_answers add column author_name text not null default '';
comment on column app.later_answers.author_name is 'as the customer would have been told it; what is kept as a draft has it when the person is gone';
grant insert (author_name) on app.later_answers to authenticated;

drop function gate.read_desk(text);

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;
grant create on schema gate to moat_definer;

-- As before, and while nobody is there, when the desk's hours begin again: by the clock of whoever asks, in words; NULL within them and
-- for a desk that has none.
create function gate.read_desk(p_key text, p_zone text, out name text, out welcome text, out origins text[], out open boolean, out bot text, out opens text)
language plpgsql stable security definer set search_path = '' as $$
declare
  t record;
  z text := app.zone(p_zone);
  -- Where the first minute ends that is one of theirs.
  first timestamptz;
begin
  select d.name, d.welcome, k.origins, exists (
      select from app.agents a where a.workspace_id = k.workspace_id and a.here_until > now() and a.available) as open,
      case when d.bot then d.bot_name end as bot, d.zone, d.hours
    into t
    from app.widget_keys k join app.desks d on d.workspace_id = k.workspace_id
    join app.workspaces w on w.id = k.workspace_id where k.key = p_key and w.deleted_at is null;
  if not found then return; end if;
  name := t.name;
  welcome := t.welcome;
  origins := t.origins;
  open := t.open;
  bot := t.bot;
  first := app.working_time(now(), 1, t.zone, t.hours);
  if not open and first > now() + interval '1 minute' then
    -- The last of their seconds now are no time to come back in, and count at the beginning of the next ones.
    first := case when extract(second from first) > 0 then date_trunc('minute', first) else first - interval '1 minute' end;
    opens := case when (first at time zone z)::date = (now() at time zone z)::date then 'today' else 'on ' || to_char(first at time zone z, 'FMDay') end
      || to_char(first at time zone z, '" at "HH24:MI');
  end if;
end $$;

-- What its writer meant to say, and answers no more to say it: a draft for whoever goes on, who is sought now. With the agent's row by
-- itself, with their membership or with their account, whose name may be gone by then.
create function app.keep_unsaid() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  at bigint;
begin
  if exists (select from app.agents a where a.workspace_id = old.workspace_id and a.user_id = old.user_id)
      or exists (select from app.conversation_messages x
                  where x.client_id = old.id and x.conversation_id = old.conversation_id and x.workspace_id = old.workspace_id) then
    return null;
  end if;
  update app.conversations t
     set last_seq = t.last_seq + 1,
         status = case when o.opens then 'waiting' else t.status end,
         waiting_since = case when o.opens then coalesce(t.waiting_since, now()) else t.waiting_since end,
         snoozed_until = case when o.opens then null else t.snoozed_until end,
         resolved_at = case when o.opens then null else t.resolved_at end
    from (select x.id, x.status in ('snoozed', 'resolved') and x.merged_into is null and not exists (
              select from app.visitors v where v.id = x.visitor_id and v.workspace_id = x.workspace_id and v.blocked_at is not null) as opens
            from app.conversations x where x.id = old.conversation_id and x.workspace_id = old.workspace_id for no key update) o
   where t.id = o.id and t.workspace_id = old.workspace_id returning t.last_seq into at;
  -- It goes as well.
  if not found then return null; end if;
  insert into app.conversation_messages (conversation_id, workspace_id, seq, client_id, role, content, author_id, author_name)
    values (old.conversation_id, old.workspace_id, at, old.id, 'note', jsonb_build_object('text', old.text, 'draft', true, 'late', true),
            (select u.id from app.users u where u.id = old.user_id), old.author_name);
  -- The talk is held by now, and memberships come before those: whoever is being removed at this moment is told nothing.
  insert into app.readings as r (conversation_id, workspace_id, user_id, mentioned)
    select old.conversation_id, old.workspace_id, n.user_id, at from (
      select m.user_id from app.workspace_members m where m.workspace_id = old.workspace_id and m.user_id = old.user_id
         for key share skip locked) n
  on conflict (conversation_id, workspace_id, user_id) do update set mentioned = excluded.mentioned;
  return null;
end $$;
-- What goes back or is kept when an agent goes is held before any of it is changed, in the order in which everybody holds several: the
-- answers for later go with the agent, and whoever sends or erases them holds their talk first.
create function app.hold_theirs() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform from app.conversations t where t.workspace_id = old.workspace_id
     and (t.claimed_by = old.user_id or t.kept_for = old.user_id or t.id in (
       select x.conversation_id from app.later_answers x where x.workspace_id = old.workspace_id and x.user_id = old.user_id))
   order by t.id for no key update;
  return old;
end $$;
create trigger hold_theirs before delete on app.agents for each row execute function app.hold_theirs();
create trigger keep_unsaid after delete on app.later_answers for each row when (old.taken_back_at is null) execute function app.keep_unsaid();

-- As before; what is late by more than a day, of a workspace that was away or a server that stood still, is asked about first.
create or replace function app.send_later_answers(p_limit int) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  l record;
  t record;
  lives text;
  who text;
  gave_back boolean;
  opens boolean;
  at bigint;
  n int := 0;
begin
  perform app.require_reason('sweep');
  for l in select x.id, x.workspace_id, x.user_id, x.conversation_id, x.text, x.seen, x.send_at from app.later_answers x
            where x.taken_back_at is null
              -- What something has come before will not leave: its writer hears of it now, and not when its time has come.
              and (x.send_at <= now() or exists (
                select from app.conversations c where c.id = x.conversation_id and c.workspace_id = x.workspace_id and c.last_seq > x.seen
                   and (c.claimed_by <> x.user_id or exists (
                     select from app.conversation_messages m where m.conversation_id = c.id and m.workspace_id = c.workspace_id and m.seq > x.seen
                        and m.role <> 'system' and (m.author_id is distinct from x.user_id or m.content ? 'from') and not m.content ? 'draft'))))
              and not exists (select from app.workspaces w where w.id = x.workspace_id and w.deleted_at is not null)
            order by x.send_at, x.id limit p_limit loop
   begin
    select u.status into lives from app.users u where u.id = l.user_id for key share skip locked;
    continue when not found;
    select a.name into who from app.workspace_members m
      join app.agents a on a.workspace_id = m.workspace_id and a.user_id = m.user_id
     where m.workspace_id = l.workspace_id and m.user_id = l.user_id for key share of m, a skip locked;
    continue when not found;
    -- Its deletion waits for the membership, or has been before.
    continue when exists (select from app.workspaces w where w.id = l.workspace_id and w.deleted_at is not null);
    select x.claimed_by, x.status, x.visitor_id, x.merged_into into t from app.conversations x
     where x.id = l.conversation_id and x.workspace_id = l.workspace_id for no key update skip locked;
    continue when not found;
    -- Taken back, or said by another process, meanwhile.
    delete from app.later_answers x where x.id = l.id and x.workspace_id = l.workspace_id and x.taken_back_at is null;
    continue when not found;
    -- Sent at once after all, under the same id.
    continue when exists (select from app.conversation_messages x
                           where x.client_id = l.id and x.conversation_id = l.conversation_id and x.workspace_id = l.workspace_id);
    -- What is looked at before its time is no answer, whatever has become of what came before it.
    if l.send_at > now() or lives <> 'active' or l.send_at < now() - interval '1 day' or t.status = 'bot' or (t.status = 'resolved' and t.merged_into is not null) or t.claimed_by <> l.user_id
        or exists (select from app.visitors v where v.id = t.visitor_id and v.workspace_id = l.workspace_id and v.blocked_at is not null)
        or exists (select from app.conversation_messages x where x.conversation_id = l.conversation_id and x.workspace_id = l.workspace_id
                     and x.seq > l.seen and (x.author_id is distinct from l.user_id or x.content ? 'from') and not x.content ? 'draft'
                     -- That somebody else took, resolved or joined it is something, and how urgent it is is not.
                     and not (x.role = 'system' and x.content ->> 'text' like 'made this %')) then
      -- Whoever may not sign in reads no draft: their customer waits for somebody else.
      opens := lives <> 'active' and t.status in ('snoozed', 'resolved') and t.merged_into is null and not exists (
        select from app.visitors v where v.id = t.visitor_id and v.workspace_id = l.workspace_id and v.blocked_at is not null);
      update app.conversations x
         set last_seq = x.last_seq + 1,
             status = case when opens then 'waiting' else x.status end,
             waiting_since = case when opens then coalesce(x.waiting_since, now()) else x.waiting_since end,
             snoozed_until = case when opens then null else x.snoozed_until end,
             resolved_at = case when opens then null else x.resolved_at end
       where x.id = l.conversation_id and x.workspace_id = l.workspace_id returning x.last_seq into at;
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
    -- What an exception undoes is not counted, or whoever asks until nothing is left would ask for ever.
    n := n + 1;
   exception when others then
    -- One that can't be said stops nobody else's.
    raise warning 'an answer for later: %', sqlerrm;
    update app.later_answers x set send_at = greatest(x.send_at, now() + interval '1 minute') where x.id = l.id and x.workspace_id = l.workspace_id;
   end;
  end loop;
  delete from app.later_answers x where x.taken_back_at < now() - interval '1 day';
  return n;
end $$;

-- As before; one who was erased since, or shut out, is told so.
create or replace function app.begin_conversation() returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  v app.visitors;
  conversation uuid;
begin
  -- One after the other for each visitor: two first words at once begin one talk.
  select x.* into v from app.visitors x join app.workspaces w on w.id = x.workspace_id
   where x.id = (c ->> 'visitor')::uuid and x.workspace_id = (c ->> 'org_id')::uuid and w.deleted_at is null
     for no key update of x;
  if not found then
    -- A desk that was deleted since their token was looked at may come back; whoever was erased is known to nobody any more.
    if exists (select from app.workspaces w where w.id = (c ->> 'org_id')::uuid and w.deleted_at is not null) then
      raise exception using errcode = 'P0404', message = 'no such desk';
    end if;
    raise exception using errcode = 'P0401', message = 'no such visitor';
  end if;
  if v.blocked_at is not null then raise exception using errcode = 'P0403', message = 'blocked'; end if;
  select t.id into conversation from app.conversations t where t.visitor_id = v.id and t.workspace_id = v.workspace_id;
  if conversation is null then
    insert into app.conversations (workspace_id, visitor_id, channel, customer_name, customer_email, status, bot_user_id)
      select v.workspace_id, v.id, case when v.relay_key is null then 'web' else 'relay' end, v.name, v.email,
             case when d.bot then 'bot' else 'waiting' end, case when d.bot then d.bot_user_id end
        from app.desks d where d.workspace_id = v.workspace_id
      returning id into conversation;
  end if;
  return conversation;
end $$;

-- As before, and NULL leaves what there is.
create or replace function app.introduce(p_name text, p_email text) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  me uuid := c ->> 'visitor';
  o uuid := c ->> 'org_id';
begin
  update app.visitors v set name = coalesce(p_name, v.name), email = coalesce(p_email, v.email)
   where v.id = me and v.workspace_id = o and v.blocked_at is null;
  if not found then raise exception using errcode = 'P0404', message = 'no such visitor'; end if;
  update app.conversations t set customer_name = coalesce(p_name, t.customer_name), customer_email = coalesce(p_email, t.customer_email)
   where t.visitor_id = me and t.workspace_id = o;
end $$;

-- Rows are locked for those who act by turns that let others in between: whoever removes a member would wait for as long as that member
-- goes on, and so would whoever deletes the workspace. This lock is given in the order in which it is asked for.
create function app.acting_lock(p_org uuid) returns bigint
language sql immutable set search_path = '' as $$ select hashtextextended(p_org::text, 7005137) $$;

-- As before, and behind whoever waits to remove somebody.
create or replace function app.hold_membership() returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  org uuid := app.member_org();
begin
  -- The person first: whoever erases them waits for the workspace, and whoever holds that for those who act.
  perform from app.users u where u.id = auth.uid() for key share;
  perform pg_advisory_xact_lock_shared(app.acting_lock(org));
  perform from app.workspace_members m where m.workspace_id = org and m.user_id = auth.uid() for key share;
  if not found or exists (select from app.workspaces w where w.id = org and w.deleted_at is not null) then raise exception using errcode = 'P0404', message = 'not in this workspace'; end if;
end $$;

-- Waits for those who act in the caller's workspace at this moment, and lets nobody begin until the end of this. Its row is held by now.
create function app.hold_acting() returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform pg_advisory_xact_lock(app.acting_lock(app.member_org()));
end $$;

-- As before, in its turn among those who act there.
create or replace function app.delete_workspace(p_place uuid, p_gone boolean) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  org uuid;
begin
  select w.id into org from app.workspaces w where w.personal_of is null and w.id = (
    select m.workspace_id from app.workspace_members m where m.id = p_place and m.user_id = auth.uid() and m.role = 'owner') for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such workspace'; end if;
  perform pg_advisory_xact_lock(app.acting_lock(org));
  update app.workspaces w set deleted_at = case when p_gone then coalesce(w.deleted_at, now()) end where w.id = org;
end $$;

-- Whoever may not sign in any more is at no desk: what they have goes back, and nobody hands them more.
create function app.leave_desks() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.agents a set here_until = now() where a.user_id = new.id and a.here_until > now();
  return null;
end $$;
create trigger leave_desks after update of status on app.users for each row when (new.status <> 'active') execute function app.leave_desks();

-- As before; and the customer of what was joined to this hears how it goes on.
create or replace function app.tell_conversation() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' or (new.status, new.claimed_by, new.priority, new.subject, new.labels, new.customer_name, new.customer_email, new.rating)
      is distinct from (old.status, old.claimed_by, old.priority, old.subject, old.labels, old.customer_name, old.customer_email, old.rating) then
    perform app.tell(new.workspace_id, 'conversation.changed', jsonb_build_object('conversation', new.id));
    if tg_op = 'UPDATE' and (new.status, new.claimed_by) is distinct from (old.status, old.claimed_by) then
      perform app.tell(new.id, 'conversation.changed', '{}');
      if (new.status = 'resolved') <> (old.status = 'resolved') then
        perform app.tell(t.id, 'conversation.changed', '{}') from app.conversations t where t.merged_into = new.id and t.workspace_id = new.workspace_id;
      end if;
    end if;
  end if;
  return null;
end $$;

-- As before; and not that one more of the staff reads what one of them has read.
create or replace function app.tell_reading() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  looked boolean := tg_op = 'UPDATE' and old.looking_until > now();
  typing boolean := (new.typing_until > now()) is distinct from (tg_op = 'UPDATE' and old.typing_until > now());
  was bigint := case when tg_op = 'UPDATE' then old.seq else 0 end;
begin
  if (new.looking_until > now()) <> looked or typing or (new.mentioned > new.seq) is distinct from (tg_op = 'UPDATE' and old.mentioned > old.seq) then
    perform app.tell(new.workspace_id, 'conversation.looking', jsonb_build_object('conversation', new.conversation_id));
  elsif new.seq > was then
    perform app.tell(new.user_id, 'conversation.read', jsonb_build_object('conversation', new.conversation_id));
  end if;
  if typing and exists (select from app.conversations t where t.id = new.conversation_id and t.workspace_id = new.workspace_id
                           and t.claimed_by = new.user_id) then
    perform app.tell(new.conversation_id, 'conversation.typing', '{}');
  end if;
  if new.seq > was and exists (select from app.conversation_messages m where m.conversation_id = new.conversation_id
       and m.workspace_id = new.workspace_id and m.role = 'customer' and m.seq > was and m.seq <= new.seq
       and not exists (select from app.readings r where r.conversation_id = new.conversation_id and r.workspace_id = new.workspace_id
                         and r.user_id <> new.user_id and r.seq >= m.seq)) then
    perform app.tell(new.conversation_id, 'conversation.read', '{}');
  end if;
  return null;
end $$;

-- Who belongs to a workspace, and as what, is told to whoever has its members before them; not that they were seen.
create function app.tell_member() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if not exists (select from app.workspaces w where w.id = coalesce(new.workspace_id, old.workspace_id) and w.deleted_at is null and w.personal_of is null) then return null; end if;
  perform app.tell(coalesce(new.workspace_id, old.workspace_id), 'workspace.members', '{}');
  return null;
end $$;
create trigger tell_member after insert or delete or update of role, email, name, status on app.workspace_members
  for each row execute function app.tell_member();
alter function app.tell_member() owner to moat_definer;

-- As before, and everything that it changes is held before anything is changed, visitors no harder than by whoever writes: a link that
-- goes with a talk was written out of order, and whoever answers looks at the visitor again while they hold the talk.
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
  -- All talks at once, those that were joined to them among them, whose link goes: in the order in which everybody holds several.
  perform from app.conversations x where x.workspace_id = org
     and (x.id = t.id or (p_all and t.customer_email <> '' and x.customer_email = t.customer_email)
       or x.merged_into in (select y.id from app.conversations y where y.workspace_id = org
            and (y.id = t.id or (p_all and t.customer_email <> '' and y.customer_email = t.customer_email))))
   order by x.id for update;
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

-- As before, and an id that was used for other words is refused: these would be lost in silence.
create or replace function app.escalate(p_place uuid, p_client uuid, p_said jsonb) returns uuid
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
    -- What was asked with it then was written in the moment in which the talk was.
    if (select jsonb_agg(x.content ->> 'text' order by x.seq) from app.conversation_messages x join app.conversations t
          on t.id = x.conversation_id and t.workspace_id = x.workspace_id where t.id = conversation and x.created_at = t.created_at)
       is distinct from (select jsonb_agg(s.one ->> 1 order by s.n) from jsonb_array_elements(p_said) with ordinality s(one, n)) then
      raise exception using errcode = 'P0409', message = 'this id was used for another text';
    end if;
    return conversation;
  end if;
  insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_name)
    select conversation, m.workspace_id, s.n, case when s.one ->> 0 = 'bot' then 'bot' else 'customer' end, jsonb_build_object('text', s.one ->> 1),
           case when s.one ->> 0 = 'bot' then 'moat' else '' end
      from jsonb_array_elements(p_said) with ordinality s(one, n) order by s.n;
  update app.conversations t set last_seq = jsonb_array_length(p_said) where t.id = conversation and t.workspace_id = m.workspace_id;
  return conversation;
end $$;

alter function app.erase_customer(uuid, boolean) owner to moat_definer;
alter function app.escalate(uuid, uuid, jsonb) owner to moat_definer;

alter function app.acting_lock(uuid) owner to moat_definer;
alter function app.hold_membership() owner to moat_definer;
alter function app.hold_acting() owner to moat_definer;
alter function app.delete_workspace(uuid, boolean) owner to moat_definer;
alter function app.leave_desks() owner to moat_definer;
alter function app.tell_conversation() owner to moat_definer;
alter function app.tell_reading() owner to moat_definer;
grant execute on function app.hold_acting() to authenticated;
alter function app.introduce(text, text) owner to moat_definer;
alter function app.hold_theirs() owner to moat_definer;
alter function app.keep_unsaid() owner to moat_definer;
alter function app.send_later_answers(int) owner to moat_definer;
alter function app.begin_conversation() owner to moat_definer;
alter function gate.read_desk(text, text) owner to moat_definer;
revoke create on schema gate from moat_definer;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;

-- With the agent, not with the member: who does not answer here any more has nothing that leaves by itself.
-- Whoever writes this reads those tables as well: under the force of their policies it would find no agent, and delete everybody's.
alter table app.later_answers no force row level security;
alter table app.agents no force row level security;
alter table app.workspace_members no force row level security;
alter table app.later_answers disable trigger tell_later;
update app.later_answers x set author_name = coalesce((select a.name from app.agents a where a.workspace_id = x.workspace_id and a.user_id = x.user_id),
  (select coalesce(nullif(m.name, ''), split_part(m.email, '@', 1)) from app.workspace_members m where m.workspace_id = x.workspace_id and m.user_id = x.user_id), '');
alter table app.later_answers enable trigger tell_later;
delete from app.later_answers x where not exists (select from app.agents a where a.workspace_id = x.workspace_id and a.user_id = x.user_id);
alter table app.workspace_members force row level security;
alter table app.agents force row level security;
alter table app.later_answers force row level security;
alter table app.later_answers drop constraint later_answers_workspace_id_user_id_fkey,
  add foreign key (workspace_id, user_id) references app.agents (workspace_id, user_id) on delete cascade;

-- As before; whoever says that they have seen what was not said yet has seen nothing.
create or replace function app.held(p_agent app.agents, p_conversation uuid, p_seen bigint, p_drafts boolean) returns text
language plpgsql volatile security invoker set search_path = '' as $$
declare
  t record;
begin
  select x.claimed_by, x.last_seq, v.blocked_at into t from app.conversations x
    left join app.visitors v on v.id = x.visitor_id and v.workspace_id = x.workspace_id where x.id = p_conversation;
  if t.claimed_by <> p_agent.user_id then return 'taken'; end if;
  if t.blocked_at is not null then return 'blocked'; end if;
  if exists (select from app.conversation_messages x where x.conversation_id = p_conversation and x.seq > case when p_seen > t.last_seq then 0 else p_seen end and x.role <> 'system'
               and (x.author_id is distinct from p_agent.user_id or x.content ? 'from') and (p_drafts or not x.content ? 'draft')) then
    return 'news';
  end if;
  if t.claimed_by is null then perform app.claim(p_agent, p_conversation); end if;
  return null;
end $$;

create or replace function app.set_conversation(p_conversation uuid, p_status text, p_until timestamptz, p_seen bigint, out held text, out done boolean)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  me uuid := (select auth.uid());
  a app.agents := app.hold_agent();
  t record;
begin
  done := false;
  select x.status, x.claimed_by, x.handovers, x.bot_user_id, x.workspace_id, x.snoozed_until, x.last_seq into t
    from app.conversations x where x.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  if t.claimed_by <> me then
    held := 'taken';
    return;
  end if;
  if p_status in ('resolved', 'snoozed') and exists (
      select from app.conversation_messages x where x.conversation_id = p_conversation and x.seq > case when p_seen > t.last_seq then 0 else p_seen end and (x.role = 'customer' or x.content ? 'from')) then
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
         kept_for = case when p_status = 'snoozed' then me end,
         waiting_since = case when p_status = 'waiting' then coalesce(x.waiting_since, now()) when p_status = 'resolved' then null else x.waiting_since end
   where x.id = p_conversation;
  perform app.log_line(p_conversation, case p_status when 'resolved' then 'resolved this' when 'snoozed' then 'put this off'
    when 'bot' then 'gave this to the assistant' else case t.status when 'claimed' then 'gave this back' else 'opened this again' end end);
  done := true;
end $$;

-- As before; the id of somebody else's words is spent, the same words or not.
create or replace function app.answer_later(p_conversation uuid, p_client uuid, p_text text, p_seen bigint, p_seconds int, out held text)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  a app.agents := app.hold_agent();
  t record;
  m record;
begin
  select x.last_seq into t from app.conversations x where x.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  select x.content ->> 'text' as text, x.role, x.author_id into m from app.conversation_messages x
   where x.client_id = p_client and x.conversation_id = p_conversation
  union all select x.text, 'agent', x.user_id from app.later_answers x where x.id = p_client and x.conversation_id = p_conversation;
  if found then
    if m.text is distinct from p_text or m.role <> 'agent' or m.author_id is distinct from a.user_id then
      raise exception using errcode = 'P0409', message = 'this id was used for another text';
    end if;
    return;
  end if;
  held := app.held(a, p_conversation, p_seen, false);
  if held is not null then return; end if;
  insert into app.later_answers (id, conversation_id, text, seen, author_name, send_at)
    -- Nobody has seen what was not said yet.
    values (p_client, p_conversation, p_text, least(p_seen, t.last_seq), a.name, now() + make_interval(secs => p_seconds));
end $$;

create or replace function app.answer_conversation(p_conversation uuid, p_client uuid, p_text text, p_seen bigint, p_note boolean,
    out message_id uuid, out held text)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  me uuid := (select auth.uid());
  a app.agents;
  t record;
  m record;
  at bigint;
  kept boolean;
begin
  if not p_note then a := app.hold_agent(); end if;
  select x.workspace_id into t from app.conversations x where x.id = p_conversation for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  select x.id, x.content, x.role, x.author_id into m from app.conversation_messages x where x.client_id = p_client and x.conversation_id = p_conversation;
  if found then
    if m.content ->> 'text' is distinct from p_text or m.role <> (case when p_note then 'note' else 'agent' end) or m.author_id is distinct from me then
      raise exception using errcode = 'P0409', message = 'this id was used for another text';
    end if;
    message_id := m.id;
    return;
  end if;
  -- The id of an answer that has not left yet is spent as well, but for that answer, which leaves with this.
  select x.user_id, x.text into m from app.later_answers x where x.id = p_client and x.conversation_id = p_conversation;
  if found and (p_note or m.text <> p_text or m.user_id <> me) then
    raise exception using errcode = 'P0409', message = 'this id was used for another text';
  end if;
  kept := found;
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
            jsonb_build_object('text', p_text), me, coalesce(a.name, app.my_name(t.workspace_id)))
    returning id into message_id;
  if kept then update app.later_answers x set taken_back_at = now() where x.id = p_client and x.taken_back_at is null; end if;
end $$;
