-- Why: the next one is taken once however often the request arrives; what was put off comes back to whoever put it off; two talks that
-- are joined become one for the staff, and their customer is told so; whoever leaves a page looks at it no longer.

-- No foreign key: it would be checked again by whoever writes a talk twice, who then waits for somebody's membership with the talk in hand.
-- It goes with the agent.
alter table app.conversations add column kept_for uuid;
create index conversations_kept_for on app.conversations (kept_for, workspace_id) where kept_for is not null;
comment on column app.conversations.kept_for is 'the agent who put it off, and has it again once it waits, if they are there and have room';
grant update (kept_for) on app.conversations to authenticated;
grant update (kept_for) on app.conversations to moat_definer;
-- What was opened again is joined no more.
alter table app.conversations no force row level security;
update app.conversations set merged_into = null where merged_into is not null and status <> 'resolved';
alter table app.conversations force row level security;

alter table app.desks add column retargeted_at timestamptz;
comment on column app.desks.retargeted_at is 'when its targets, hours or zone were changed last';
grant select (retargeted_at) on app.desks to moat_definer;
create index desks_retargeted on app.desks (retargeted_at) where retargeted_at is not null;

drop function app.claim(app.agents, uuid);
drop function app.take_next();
drop function app.look_at(uuid, bigint, boolean);

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- Once somebody has it, or it is over, nobody comes back to it by themselves.
create function app.release_keeper() returns trigger
language plpgsql volatile set search_path = '' as $$
begin
  new.kept_for := null;
  return new;
end $$;
-- Whoever writes in a talk that was joined to another opens it: the staff goes on here as well.
create function app.part_again() returns trigger
language plpgsql volatile set search_path = '' as $$
begin
  new.merged_into := null;
  return new;
end $$;
-- Both after the guard, whose word on the status stands.
create trigger part_again before update on app.conversations for each row
  when (new.merged_into is not null and new.status <> 'resolved') execute function app.part_again();
create trigger release_keeper before update on app.conversations for each row
  when (new.kept_for is not null and new.status not in ('snoozed', 'waiting')) execute function app.release_keeper();

create function app.mark_retargeted() returns trigger
language plpgsql volatile set search_path = '' as $$
begin
  new.retargeted_at := clock_timestamp();
  return new;
end $$;
create trigger mark_retargeted before update of reply_minutes, resolve_minutes, zone, hours on app.desks for each row
  when ((old.reply_minutes, old.resolve_minutes, old.zone, old.hours) is distinct from (new.reply_minutes, new.resolve_minutes, new.zone, new.hours))
  execute function app.mark_retargeted();

-- What a talk owes that was begun or opened again in the moment in which its desk's targets changed: whoever wrote it had the old ones.
create function app.sweep_due(p_limit int) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  d app.desks;
  one record;
  changed int;
  n int := 0;
begin
  perform app.require_reason('sweep');
  for one in select x.workspace_id, x.reply_minutes, x.resolve_minutes, x.zone, x.hours from app.desks x
              where x.retargeted_at > now() - interval '10 minutes' order by x.workspace_id limit p_limit loop
    d.reply_minutes := one.reply_minutes;
    d.resolve_minutes := one.resolve_minutes;
    d.zone := one.zone;
    d.hours := one.hours;
    update app.conversations t set due_at = app.next_due(d, t.status, t.waiting_since, t.opened_at)
     where t.workspace_id = one.workspace_id and t.id in (
       select x.id from app.conversations x where x.workspace_id = one.workspace_id and x.status in ('waiting', 'claimed')
          and x.due_at is distinct from app.next_due(d, x.status, x.waiting_since, x.opened_at)
        limit p_limit for no key update skip locked);
    get diagnostics changed = row_count;
    n := n + changed;
  end loop;
  return n;
end $$;

-- Gives a talk that waits to an agent who is there and has room, with a line that says so; `p_again`: because they put it off. Nobody is
-- waited for: whoever is busy at this moment is passed over. False: not this talk. NULL: not this agent, who is held before the talk,
-- or whoever could give it to nobody would keep it from somebody else.
create function app.give_to(p_conversation uuid, p_workspace uuid, p_user uuid, p_again boolean) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  a app.agents;
  at bigint;
begin
  perform from app.users u where u.id = p_user and u.status = 'active' for key share skip locked;
  if not found then return null; end if;
  perform from app.workspace_members m where m.workspace_id = p_workspace and m.user_id = p_user for key share skip locked;
  if not found then return null; end if;
  if exists (select from app.workspaces y where y.id = p_workspace and y.deleted_at is not null) then return false; end if;
  select x.* into a from app.agents x where x.workspace_id = p_workspace and x.user_id = p_user and x.available and x.here_until > now()
     for no key update skip locked;
  if not found then return null; end if;
  -- Counted once more, now that nobody else can give them anything.
  if (select count(*) from app.conversations c where c.claimed_by = a.user_id and c.workspace_id = a.workspace_id) >= a.capacity then return null; end if;
  perform from app.conversations x where x.id = p_conversation and x.workspace_id = p_workspace and x.status = 'waiting'
     and (not p_again or x.kept_for = p_user) for no key update skip locked;
  if not found then return false; end if;
  update app.conversations x set status = 'claimed', claimed_by = a.user_id, claimed_at = now(), last_seq = x.last_seq + 1
   where x.id = p_conversation and x.workspace_id = p_workspace returning x.last_seq into at;
  insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_id, author_name)
    values (p_conversation, p_workspace, at, 'system', jsonb_build_object('text', case when p_again then 'has this again' else 'was given this' end), a.user_id, a.name);
  return true;
end $$;

-- As before, and nothing comes back to somebody who answers no more.
create or replace function app.give_back() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.conversations t set claimed_by = null where t.claimed_by = old.user_id and t.workspace_id = old.workspace_id;
  update app.conversations t set kept_for = null where t.kept_for = old.user_id and t.workspace_id = old.workspace_id;
  return null;
end $$;

-- As before, by the one way in which anything is given; and not what somebody who is there, with room, has put off: it comes back to them.
create or replace function app.deal(p_limit int) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  w record;
  g record;
  given boolean;
  n int := 0;
begin
  perform app.require_reason('sweep');
  for w in select t.id, t.workspace_id from app.desks d cross join lateral (
             select x.id, x.workspace_id, x.priority, x.waiting_since from app.conversations x
              where x.workspace_id = d.workspace_id and x.status = 'waiting'
                and not exists (select from app.later_answers o where o.conversation_id = x.id and o.workspace_id = x.workspace_id
                                  and o.taken_back_at is null)
                and not exists (select from app.agents k where k.workspace_id = x.workspace_id and k.user_id = x.kept_for
                                  and k.available and k.here_until > now()
                                  and (select count(*) from app.conversations c where c.claimed_by = k.user_id and c.workspace_id = k.workspace_id) < k.capacity)
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
      given := app.give_to(w.id, w.workspace_id, g.user_id, false);
      continue when given is null;
      exit when not given;
      update app.agents x set dealt_at = clock_timestamp() where x.workspace_id = w.workspace_id and x.user_id = g.user_id;
      n := n + 1;
      exit;
    end loop;
  end loop;
  return n;
end $$;

-- What was put off and waits by now goes back to whoever put it off, if they are there and have room; until then it waits for anybody.
create function app.bring_back(p_limit int) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  w record;
  n int := 0;
begin
  perform app.require_reason('sweep');
  for w in select t.id, t.workspace_id, t.kept_for from app.conversations t
             join app.agents a on a.workspace_id = t.workspace_id and a.user_id = t.kept_for and a.available and a.here_until > now()
             join app.users u on u.id = a.user_id and u.status = 'active'
            where t.status = 'waiting' and t.kept_for is not null
              and not exists (select from app.workspaces y where y.id = t.workspace_id and y.deleted_at is not null)
              and (select count(*) from app.conversations c where c.claimed_by = a.user_id and c.workspace_id = a.workspace_id) < a.capacity
            order by t.priority desc, t.waiting_since, t.id limit p_limit loop
    if app.give_to(w.id, w.workspace_id, w.kept_for, true) then n := n + 1; end if;
  end loop;
  return n;
end $$;

-- As before; and to colleagues that somebody has left.
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
       and m.workspace_id = new.workspace_id and m.role = 'customer' and m.seq > was and m.seq <= new.seq) then
    perform app.tell(new.conversation_id, 'conversation.read', '{}');
  end if;
  return null;
end $$;

-- Whether the visitor's talk was joined to another one, where the staff goes on with it.
create function app.goes_on_elsewhere() returns boolean
language sql stable security definer set search_path = '' as $$
  select exists (select from app.conversations t join app.conversations o on o.id = t.merged_into and o.workspace_id = t.workspace_id
                  where t.id = app.visitor_conversation() and t.status = 'resolved' and o.status <> 'resolved')
$$;

alter function app.sweep_due(int) owner to moat_definer;
alter function app.give_to(uuid, uuid, uuid, boolean) owner to moat_definer;
alter function app.deal(int) owner to moat_definer;
alter function app.give_back() owner to moat_definer;
alter function app.bring_back(int) owner to moat_definer;
alter function app.tell_reading() owner to moat_definer;
alter function app.goes_on_elsewhere() owner to moat_definer;
grant execute on function app.sweep_due(int), app.bring_back(int) to service;
grant execute on function app.goes_on_elsewhere() to visitor;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;

-- As before, and its line carries the id of the request that took it.
create function app.claim(p_agent app.agents, p_conversation uuid, p_client uuid default gen_random_uuid()) returns void
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
  insert into app.conversation_messages (conversation_id, workspace_id, seq, client_id, role, content, author_id, author_name)
    values (p_conversation, p_agent.workspace_id, at, p_client, 'system', '{"text": "took this"}', p_agent.user_id, p_agent.name);
end $$;

-- The one that has waited longest among the most urgent; asked again under the same id, the one that was taken then: within ten minutes,
-- after which no copy of a request is under way, and a page that somebody comes back to may have its id still. NULL: nobody waits.
create function app.take_next(p_client uuid) returns uuid
language plpgsql volatile security invoker set search_path = '' as $$
declare
  a app.agents := app.hold_agent();
  m record;
  found_one uuid;
begin
  -- By the id alone, which few lines have: with whose line it is in the condition, all that the agent ever wrote would be looked through.
  for m in select x.conversation_id, x.role, x.author_id, x.created_at from app.conversation_messages x where x.client_id = p_client loop
    if m.role = 'system' and m.author_id = a.user_id and m.created_at > now() - interval '10 minutes' then return m.conversation_id; end if;
    -- In one talk an id stands for one line: this one is of a claim long ago, or somebody else's.
    p_client := gen_random_uuid();
  end loop;
  select t.id into found_one from app.conversations t where t.workspace_id = a.workspace_id and t.status = 'waiting'
   order by t.priority desc, t.waiting_since, t.id limit 1 for no key update skip locked;
  if found_one is not null then perform app.claim(a, found_one, p_client); end if;
  return found_one;
end $$;

create or replace function app.go_on() returns uuid
language plpgsql volatile security invoker set search_path = '' as $$
begin
  return app.take_next(gen_random_uuid());
exception when sqlstate 'P0442' then
  return null;
end $$;

-- As before, and whoever puts something off has it again when it comes back.
create or replace function app.set_conversation(p_conversation uuid, p_status text, p_until timestamptz, p_seen bigint, out held text, out done boolean)
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
         kept_for = case when p_status = 'snoozed' then me end,
         waiting_since = case when p_status = 'waiting' then coalesce(x.waiting_since, now()) when p_status = 'resolved' then null else x.waiting_since end
   where x.id = p_conversation;
  perform app.log_line(p_conversation, case p_status when 'resolved' then 'resolved this' when 'snoozed' then 'put this off'
    when 'bot' then 'gave this to the assistant' else case t.status when 'claimed' then 'gave this back' else 'opened this again' end end);
  done := true;
end $$;

-- As before, and the one is as urgent as the other was and has its labels, as many as there is room for. Its customer's name and its
-- subject stay with it: they would outlive the customer's erasure here.
create or replace function app.join_conversations(p_from uuid, p_into uuid, out held text)
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
  select x.workspace_id, x.claimed_by, x.status, x.merged_into, x.customer_name, x.customer_email, x.waiting_since, x.priority, x.labels
    into f from app.conversations x where x.id = p_from;
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
         snoozed_until = case when f.waiting_since is null then x.snoozed_until end,
         priority = greatest(x.priority, f.priority),
         labels = (select coalesce(array_agg(l.label order by l.n), '{}') from (
                     select y.label, min(y.n) as n from unnest(x.labels || f.labels) with ordinality y(label, n) group by y.label order by n limit 20) l)
   where x.id = p_into;
  update app.conversations x
     set status = 'resolved', claimed_by = null, claimed_at = null, snoozed_until = null, waiting_since = null, resolved_at = now(), merged_into = p_into
   where x.id = p_from;
  perform app.log_line(p_from, 'joined this to another conversation');
end $$;

-- As before; whoever leaves looks no longer.
create function app.look_at(p_conversation uuid, p_seq bigint, p_typing boolean, p_gone boolean) returns void
language plpgsql volatile security invoker set search_path = '' as $$
declare
  last bigint;
begin
  select t.last_seq into last from app.conversations t where t.id = p_conversation;
  if not found then raise exception using errcode = 'P0404', message = 'no such conversation'; end if;
  insert into app.readings as r (conversation_id, seq, looking_until, typing_until)
    values (p_conversation, least(p_seq, last), case when p_gone then now() else now() + interval '40 seconds' end,
            case when p_typing and not p_gone then now() + interval '10 seconds' else '-infinity' end)
  on conflict (conversation_id, workspace_id, user_id) do update
    set seq = greatest(r.seq, excluded.seq), looking_until = excluded.looking_until, typing_until = excluded.typing_until;
end $$;

grant execute on function app.claim(app.agents, uuid, uuid), app.take_next(uuid), app.look_at(uuid, bigint, boolean, boolean) to authenticated;
