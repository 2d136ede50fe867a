-- Why: plans that fit a large workspace among many small ones. What Postgres knows of a column is an average: with 10,000 workspaces it
-- takes each for one of twenty people, reads all 20,000 of a large one and sorts them for a page of 50. Told that there are few
-- different ones, it reads the page from the index that is sorted already.
alter table app.workspace_members alter column workspace_id set (n_distinct = 100);
alter table app.audit_events alter column workspace_id set (n_distinct = 10);
alter table app.audit_people alter column workspace_id set (n_distinct = 10);
-- Not lower for members: whether there is another owner would then be looked for without an index. Not set for projects.
-- It counts from the next ANALYZE on. An empty table is left to Postgres: told that it is empty, it would believe it for a while.
do $$
declare
  t text;
begin
  for t in select c.oid::regclass from pg_class c
            where c.oid in ('app.workspace_members'::regclass, 'app.audit_events'::regclass, 'app.audit_people'::regclass) and c.reltuples > 0 loop
    execute 'analyze ' || t;
  end loop;
end $$;
