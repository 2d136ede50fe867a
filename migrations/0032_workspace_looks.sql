-- Why: a workspace shows whose it is: the company's name, and a colour by which somebody in several tells them apart.
alter table app.workspaces
  add column company text not null default '',
  add column colour text not null default '',
  add constraint workspaces_company_length check (length(company) <= 80),
  add constraint workspaces_colour_known check (colour in ('', 'teal', 'green', 'orange', 'red', 'pink', 'violet'));
grant select (company, colour), update (company, colour) on app.workspaces to authenticated;

drop trigger touch on app.workspaces;
create trigger touch before update of name, description, company, colour on app.workspaces for each row execute function app.touch();
-- Making a trigger needs EXECUTE on its function.
grant moat_definer to current_user;
drop trigger audit on app.workspaces;
create trigger audit after insert or update of name, description, company, colour, deleted_at on app.workspaces
  for each row execute function app.audit_row('workspace', 'name description company colour deleted_at', '');
revoke moat_definer from current_user;
