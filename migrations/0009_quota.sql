-- Why: how many answers somebody has asked for today. Counted here, so that it holds for all servers of this database and
-- for requests that arrive at once, and apart from the generations, which go when their thread is deleted.
create table app.quotas (
  user_id uuid primary key references app.users on delete cascade,
  day date not null,
  answers int not null
);
alter table app.quotas enable row level security;
alter table app.quotas force row level security;
create policy select_definer on app.quotas for select to moat_definer using (true);
create policy insert_definer on app.quotas for insert to moat_definer with check (true);
create policy update_definer on app.quotas for update to moat_definer using (true);
grant select, insert, update (day, answers) on app.quotas to moat_definer;
-- Not granted: anything to a request role. Nobody sets their own count back.
comment on table app.quotas is 'private; refused: select, insert, update, delete';
comment on column app.quotas.day is 'of the newest answer, in UTC; the next day begins at 1 again';

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- One answer more for the caller. 0: it is counted, and undone with the transaction if that fails. Otherwise the seconds
-- until there is another one.
create function app.spend_generation(p_limit int) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  today date := (clock_timestamp() at time zone 'UTC')::date;
begin
  -- Whoever waits for a twin's row sees it as the twin left it, be that on the next day.
  insert into app.quotas as q (user_id, day, answers) values (auth.uid(), today, 1)
    on conflict (user_id) do update
      set day = greatest(q.day, today), answers = case when q.day >= today then q.answers + 1 else 1 end
      where q.day < today or q.answers < p_limit;
  if found then return 0; end if;
  return greatest(1, ceil(extract(epoch from (today + 1)::timestamp at time zone 'UTC' - clock_timestamp()))::int);
end $$;
alter function app.spend_generation(int) owner to moat_definer;
grant execute on function app.spend_generation(int) to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
