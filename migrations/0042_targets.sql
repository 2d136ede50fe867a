-- Why: a desk says by when customers are to be answered, in the hours in which somebody works, and looks at how that goes. What is due
-- next is written down where it changes, so that the list of it has an index.
create function app.are_hours(p_hours int[]) returns boolean
language sql immutable as $$
  select cardinality(p_hours) = 0 or (cardinality(p_hours) = 14 and not exists (
    select from generate_series(1, 13, 2) n
     where p_hours[n] is null or p_hours[n + 1] is null or not p_hours[n] between 0 and p_hours[n + 1] or p_hours[n + 1] > 1440))
$$;
grant execute on function app.are_hours(int[]) to authenticated, moat_definer;

alter table app.desks
  add column reply_minutes int,
  add column resolve_minutes int,
  add column zone text not null default 'UTC',
  add column hours int[] not null default '{}',
  add constraint desks_reply_minutes_known check (reply_minutes between 1 and 43200),
  add constraint desks_resolve_minutes_known check (resolve_minutes between 1 and 525600),
  add constraint desks_zone_length check (length(zone) between 1 and 60),
  add constraint desks_hours_form check (app.are_hours(hours));
comment on column app.desks.reply_minutes is 'a customer who waits is to be answered within so many minutes of the hours; NULL: no target';
comment on column app.desks.resolve_minutes is 'as reply_minutes, from when a conversation came to people until it is resolved';
comment on column app.desks.hours is 'from and until in minutes after midnight, Monday to Sunday, in the zone; the same twice: closed; none: always open';

alter table app.conversations
  add column opened_at timestamptz not null default now(),
  add column due_at timestamptz,
  add column reply_seconds int;
comment on column app.conversations.opened_at is 'when it came to people, or was opened again';
comment on column app.conversations.due_at is 'what of the desk''s targets is due next; NULL: nothing is';
comment on column app.conversations.reply_seconds is 'how long the customer waited for the first answer of a person';
alter table app.conversations no force row level security;
update app.conversations set opened_at = created_at,
  reply_seconds = case when first_reply_at is not null then greatest(0, extract(epoch from first_reply_at - created_at))::int end;
alter table app.conversations force row level security;
create index conversations_due on app.conversations (workspace_id, due_at, id) where due_at is not null;
create index conversations_replied on app.conversations (workspace_id, first_reply_at) where first_reply_at is not null;
create index conversations_resolved on app.conversations (workspace_id, resolved_at) where resolved_at is not null;

grant update (reply_minutes, resolve_minutes, zone, hours) on app.desks to authenticated;
grant select (reply_minutes, resolve_minutes, zone, hours) on app.desks to moat_definer;
grant update (due_at) on app.conversations to moat_definer;
-- What policies and other functions need of it stays with them; a customer is not told by when they are to be answered.

-- So many minutes of the hours after a moment. A desk that never opens counts every minute.
create function app.working_time(p_since timestamptz, p_minutes int, p_zone text, p_hours int[]) returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  left_over interval;
  begins timestamptz := p_since;
  day date;
  opens timestamptz;
  closes timestamptz;
  week int := 0;
  n int;
  z text;
begin
  if p_minutes is null or p_since is null then return null; end if;
  for n in 1..cardinality(p_hours) by 2 loop
    week := week + p_hours[n + 1] - p_hours[n];
  end loop;
  if week > 0 then
    -- A zone that this server does not know is none: nothing that is written may fail for it.
    z := app.zone(p_zone);
    -- Whole weeks first, by the clock on the wall; less than one is left then.
    begins := ((p_since at time zone z) + make_interval(days => 7 * ((p_minutes - 1) / week))) at time zone z;
    left_over := make_interval(mins => (p_minutes - 1) % week + 1);
    day := (begins at time zone z)::date;
    for step in 0..14 loop
      n := extract(isodow from day)::int * 2 - 1;
      opens := greatest(begins, (day + make_interval(mins => p_hours[n])) at time zone z);
      closes := (day + make_interval(mins => p_hours[n + 1])) at time zone z;
      if closes > opens then
        if closes - opens >= left_over then return opens + left_over; end if;
        left_over := left_over - (closes - opens);
      end if;
      day := day + 1;
    end loop;
  end if;
  return p_since + make_interval(mins => p_minutes);
end $$;

-- What is due next of a conversation: an answer while its customer waits, and that it is resolved. Nothing while the assistant
-- answers, while it is put off, and once it is resolved.
create function app.next_due(p_desk app.desks, p_status text, p_waiting timestamptz, p_opened timestamptz) returns timestamptz
language sql stable set search_path = '' as $$
  select case when p_status in ('waiting', 'claimed') then least(
    app.working_time(p_waiting, p_desk.reply_minutes, p_desk.zone, p_desk.hours),
    app.working_time(p_opened, p_desk.resolve_minutes, p_desk.zone, p_desk.hours)) end
$$;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- After the guard, whose word on who waits stands.
create function app.mark_due() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  d app.desks;
begin
  if tg_op = 'UPDATE' then
    if old.status in ('bot', 'resolved') and new.status in ('waiting', 'claimed') then new.opened_at := now(); end if;
    if old.first_reply_at is null and new.first_reply_at is not null then
      new.reply_seconds := least(greatest(0, extract(epoch from new.first_reply_at - coalesce(old.waiting_since, old.opened_at))), 2147483647)::int;
    end if;
    if (new.status, new.waiting_since, new.opened_at) is not distinct from (old.status, old.waiting_since, old.opened_at) then return new; end if;
  end if;
  select x.reply_minutes, x.resolve_minutes, x.zone, x.hours into d.reply_minutes, d.resolve_minutes, d.zone, d.hours
    from app.desks x where x.workspace_id = new.workspace_id;
  new.due_at := app.next_due(d, new.status, new.waiting_since, new.opened_at);
  return new;
end $$;

-- Other targets hold for what is open already.
create function app.mark_all_due() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  -- In the order in which everybody holds many: by their ids.
  perform from app.conversations t where t.workspace_id = new.workspace_id and t.status in ('waiting', 'claimed') order by t.id for no key update;
  update app.conversations t set due_at = app.next_due(new, t.status, t.waiting_since, t.opened_at)
   where t.workspace_id = new.workspace_id and t.status in ('waiting', 'claimed');
  return null;
end $$;

create trigger mark_due before insert or update on app.conversations for each row execute function app.mark_due();
create trigger mark_all_due after update of reply_minutes, resolve_minutes, zone, hours on app.desks for each row
  when ((old.reply_minutes, old.resolve_minutes, old.zone, old.hours) is distinct from (new.reply_minutes, new.resolve_minutes, new.zone, new.hours))
  execute function app.mark_all_due();
drop trigger audit on app.desks;
create trigger audit after insert or update of name, welcome, bot, bot_name, bot_words, reply_minutes, resolve_minutes, zone, hours on app.desks
  for each row execute function app.audit_row('desk', 'name welcome bot bot_name bot_words reply_minutes resolve_minutes zone hours', '');
alter function app.mark_due() owner to moat_definer;
alter function app.mark_all_due() owner to moat_definer;
grant execute on function app.zone(text) to moat_definer;
grant execute on function app.working_time(timestamptz, int, text, int[]), app.next_due(app.desks, text, timestamptz, timestamptz) to moat_definer;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
