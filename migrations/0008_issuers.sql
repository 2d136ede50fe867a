-- Why: people who sign in elsewhere. A token of an outside issuer names its subject; this table says which of our users
-- that is. A subject belongs to its issuer: two issuers may use the same one for two people.
create table app.identities (
  issuer text not null,
  subject text not null,
  user_id uuid not null references app.users on delete cascade,
  created_at timestamptz not null default now(),
  primary key (issuer, subject),
  constraint identities_issuer_length check (length(issuer) between 1 and 300),
  constraint identities_subject_length check (length(subject) between 1 and 255)
);
create index identities_of_user on app.identities (user_id);
alter table app.identities enable row level security;
alter table app.identities force row level security;
create policy select_definer on app.identities for select to moat_definer using (true);
create policy insert_definer on app.identities for insert to moat_definer with check (true);
grant select (issuer, subject, user_id), insert (issuer, subject, user_id) on app.identities to moat_definer;
-- Not granted: anything to a request role. Whoever could write here could attach their own sign-in to another account.
comment on table app.identities is 'private; refused: select, insert, update, delete';

-- An outside issuer may name no address, or one that nobody has verified, or one that another account has.
alter table app.users alter column email drop not null;
comment on column app.users.email is 'NULL: this person signs in elsewhere, and no address of theirs is known to be theirs';
-- The first token of somebody new may be older than their row.
grant insert (tokens_valid_from) on app.users to moat_definer;

-- What `moat adopt` has taken over, by the ids of the old schema. Without it a second run would bring back what people
-- have deleted since.
create table app.adopted (
  kind text not null,
  id uuid not null,
  adopted_at timestamptz not null default now(),
  primary key (kind, id),
  constraint adopted_kind_known check (kind in ('user', 'thread'))
);
alter table app.adopted enable row level security;
alter table app.adopted force row level security;
-- Not granted: anything. The owner of the schema reads and writes it, with row security lifted for that transaction.
comment on table app.adopted is 'operations; refused: select, insert, update, delete';

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- Whose a verified token is; NULL when nobody is known by it and p_make does not allow to make somebody. An account that
-- has the address is somebody else until they say otherwise themselves: whoever can set an address at the issuer must not
-- get into accounts here by it.
create function app.outside_user(p_issuer text, p_subject text, p_email text, p_make boolean) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  who uuid;
begin
  perform app.require_reason('sign_in');
  select i.user_id into who from app.identities i where i.issuer = p_issuer and i.subject = p_subject;
  if found or not p_make then return who; end if;
  -- Two first tokens at once are one person.
  perform pg_advisory_xact_lock(hashtextextended(p_issuer || ' ' || p_subject, 7005131));
  select i.user_id into who from app.identities i where i.issuer = p_issuer and i.subject = p_subject;
  if found then return who; end if;
  insert into app.users (email, tokens_valid_from) values (p_email, to_timestamp(0))
    on conflict (email) do nothing returning id into who;
  if who is null then
    insert into app.users (tokens_valid_from) values (to_timestamp(0)) returning id into who;
  end if;
  insert into app.identities (issuer, subject, user_id) values (p_issuer, p_subject, who);
  return who;
end $$;
alter function app.outside_user(text, text, text, boolean) owner to moat_definer;
grant execute on function app.outside_user(text, text, text, boolean) to service;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
