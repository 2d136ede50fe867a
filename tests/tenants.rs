//! What workspaces add to the matrix: who is in which, and a case for each of their policies.

use crate::matrix::{
    Actor::{Guest, Job, Member, Opening, Owner, User, Visitor},
    Case, case, case_as, definer,
};

/// A owns one workspace with D in it, and is a plain member of B's, with a project in each. A third was deleted long ago.
pub const WORLD: &str = "
    insert into app.users (id, email) values ('00000000-0000-4000-8000-00000000000d', 'd@example.org');
    insert into app.workspaces (id, name) values ('aa000000-0000-4000-8000-00000000000a', 'of A'), ('aa000000-0000-4000-8000-00000000000b', 'of B');
    insert into app.workspaces (id, name, deleted_at) values ('aa000000-0000-4000-8000-00000000000c', 'gone', now() - interval '40 days');
    insert into app.workspace_members (id, workspace_id, user_id, role) values
      ('ab000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000a', 'owner'),
      ('ac000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000d', 'project_creator'),
      ('ab000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-00000000000b', 'owner'),
      ('ac000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-00000000000a', 'project_creator');
    insert into app.projects (id, workspace_id, name, created_by) values
      ('ad000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'A''s', '00000000-0000-4000-8000-00000000000a'),
      ('ad000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', 'B''s', '00000000-0000-4000-8000-00000000000b'),
      ('af000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', 'B''s alone', '00000000-0000-4000-8000-00000000000b');
    insert into app.project_members (id, project_id, workspace_id, user_id, role) values
      ('ae000000-0000-4000-8000-00000000000a', 'ad000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000d', 'contributor'),
      ('ae000000-0000-4000-8000-00000000000b', 'ad000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-00000000000a', 'viewer');
    insert into app.invitations (id, workspace_id, email, role, token_hash) values
      ('a1000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'd@example.org', 'admin', 'to d'),
      ('a1000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', 'a@example.org', 'admin', 'to a'),
      ('a2000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'e@example.org', 'admin', 'to e');
    update app.invitations i set invited_by = m.user_id from app.workspace_members m where m.workspace_id = i.workspace_id and m.role = 'owner';
    insert into app.invitation_projects (invitation_id, workspace_id, project_id, role) values
      ('a1000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'ad000000-0000-4000-8000-00000000000a', 'viewer'),
      ('a1000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', 'af000000-0000-4000-8000-00000000000b', 'viewer');
    insert into app.workspace_domains (id, workspace_id, domain, token, verified_at) values
      ('a3000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'a.example', 'of a', now()),
      ('a3000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', 'b.example', 'of b', null);
    insert into app.users (id, email, status, email_verified_at) values ('00000000-0000-4000-8000-0000000000a3', 'x@a.example', 'waitlist', now());
    insert into app.removed_members (workspace_id, user_id, address) values ('aa000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-0000000000a3', '');
    insert into app.desks (workspace_id, name) values ('aa000000-0000-4000-8000-00000000000a', 'of A'), ('aa000000-0000-4000-8000-00000000000b', 'of B');
    insert into app.widget_keys (id, workspace_id, key, name) values
      ('b3000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'key of a', 'page of A'),
      ('b3000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', 'key of b', 'page of B');
    insert into app.agents (workspace_id, user_id, name) values
      ('aa000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000a', 'A'),
      ('aa000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000d', 'D'),
      ('aa000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-00000000000a', 'A at B''s'),
      ('aa000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-00000000000b', 'B');
    update app.agents set here_until = now() + interval '1 hour' where name = 'D';
    insert into app.visitors (id, workspace_id, key_id, token_hash, relay_key) values
      ('b4000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'b3000000-0000-4000-8000-00000000000a', 'visits a', 'vi'),
      ('b6000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'b3000000-0000-4000-8000-00000000000a', 'visits a too', null),
      ('b4000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', 'b3000000-0000-4000-8000-00000000000b', 'visits b', null);
    insert into app.conversations (id, workspace_id, visitor_id, last_seq) values
      ('b5000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'b4000000-0000-4000-8000-00000000000a', 2),
      ('b7000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'b6000000-0000-4000-8000-00000000000a', 2),
      ('b5000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', 'b4000000-0000-4000-8000-00000000000b', 2);
    insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content)
      select t.id, t.workspace_id, 1, 'customer', '{\"text\": \"help\"}'::jsonb from app.conversations t
      union all select t.id, t.workspace_id, 2, 'note', '{\"text\": \"between us\"}'::jsonb from app.conversations t;
    update app.conversations set status = 'bot' where id = 'b7000000-0000-4000-8000-00000000000a';
    insert into app.articles (id, workspace_id, title, published) values
      ('b8000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'of A', true),
      ('b9000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'draft of A', false),
      ('b8000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', 'of B', true);
    insert into app.readings (conversation_id, workspace_id, user_id) values
      ('b5000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000a'),
      ('b5000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000d'),
      ('b5000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-00000000000b');
    insert into app.replies (workspace_id, name, text) values
      ('aa000000-0000-4000-8000-00000000000a', 'hello', 'of A'), ('aa000000-0000-4000-8000-00000000000b', 'hello', 'of B');
    insert into app.saved_views (workspace_id, name, query) values
      ('aa000000-0000-4000-8000-00000000000a', 'late', 'of A'), ('aa000000-0000-4000-8000-00000000000b', 'late', 'of B');
    insert into app.relay_secrets (workspace_id, name, token_hash) values
      ('aa000000-0000-4000-8000-00000000000a', 'of A', 'relays a'), ('aa000000-0000-4000-8000-00000000000b', 'of B', 'relays b');
    insert into app.webhooks (id, workspace_id, url, secret) values
      ('ba000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'https://a.example', 'a secret of 32 letters, not less!'),
      ('ba000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', 'https://b.example', 'a secret of 32 letters, not less!');
    insert into app.deliveries (id, workspace_id, webhook_id, conversation_id, seq, body, sent_at) values
      ('bc000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'ba000000-0000-4000-8000-00000000000a', 'b5000000-0000-4000-8000-00000000000a', 1, '{}', null),
      ('bd000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 'ba000000-0000-4000-8000-00000000000a', 'b5000000-0000-4000-8000-00000000000a', 2, '{}', now() - interval '8 days'),
      ('bc000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', 'ba000000-0000-4000-8000-00000000000b', 'b5000000-0000-4000-8000-00000000000b', 1, '{}', now());
    insert into app.later_answers (id, conversation_id, workspace_id, user_id, text, seen, send_at) values
      ('be000000-0000-4000-8000-00000000000a', 'b5000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000a', 'of A', 2, now() - interval '1 s'),
      ('be000000-0000-4000-8000-00000000000d', 'b5000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000d', 'of D', 2, now() + interval '1 day'),
      ('be000000-0000-4000-8000-00000000000b', 'b5000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-00000000000b', 'of B', 2, now() + interval '1 day');
    delete from app.outbox where kind <> 'thread.changed';
    -- What no role is granted, so that the policies that wait behind the grants are tried as well.
    grant delete on app.conversations, app.conversation_messages to authenticated;
    grant update (content) on app.conversation_messages to authenticated;
";

/// A change, and the event of it.
const NOTED: &str = "select from app.after('update app.workspaces set name = ''z''; set constraints all immediate', 'select count(*)::text from app.audit_events where kind = ''workspace.changed''') n where n = '1'";

pub static CASES: &[Case] = &[
    case(
        "workspaces.select_member",
        Owner,
        ("select from app.workspaces where id = 'aa000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.workspaces where id = 'aa000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "workspaces.update_manager",
        Owner,
        ("update app.workspaces set name = 'x'", 1),
        ("update app.workspaces set name = 'x'", Some(1)),
    ),
    case(
        "workspace_members.select_member",
        Owner,
        ("select from app.workspace_members where workspace_id = 'aa000000-0000-4000-8000-00000000000a'", 2),
        ("select from app.workspace_members where workspace_id = 'aa000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "workspace_members.update_manager",
        Owner,
        ("update app.workspace_members set role = 'owner'", 2),
        ("update app.workspace_members set role = 'owner'", Some(2)),
    ),
    case_as(
        "workspace_members.delete_manager",
        (Owner, "delete from app.workspace_members where role = 'project_creator'", 1),
        (Member, "delete from app.workspace_members where role = 'owner'", Some(0)),
    ),
    case(
        "workspace_members.delete_self",
        Member,
        ("delete from app.workspace_members", 1),
        ("delete from app.workspace_members", Some(1)),
    ),
    case(
        "projects.select_member",
        Owner,
        ("select from app.projects where id = 'ad000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.projects where id = 'ad000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    // A member of the workspace sees the projects that they are in.
    case(
        "projects.select_member",
        Member,
        ("select from app.projects where id = 'ad000000-0000-4000-8000-00000000000b'", 1),
        ("select from app.projects where id = 'af000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case_as(
        "projects.insert_member",
        (Member, "insert into app.projects (name) values ('x')", 1),
        (Guest, "insert into app.projects (name) values ('x')", None),
    ),
    case(
        "projects.update_manager",
        Owner,
        ("update app.projects set name = 'x'", 1),
        ("update app.projects set name = 'x'", Some(1)),
    ),
    case_as(
        "projects.update_manager",
        (Owner, "update app.projects set archived_at = now()", 1),
        (Member, "update app.projects set archived_at = now()", Some(0)),
    ),
    case("projects.delete_manager", Owner, ("delete from app.projects", 1), ("delete from app.projects", Some(1))),
    case(
        "project_members.select_member",
        Owner,
        ("select from app.project_members where project_id = 'ad000000-0000-4000-8000-00000000000a'", 2),
        ("select from app.project_members where project_id = 'ad000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case(
        "project_members.update_manager",
        Owner,
        ("update app.project_members set role = 'owner'", 2),
        ("update app.project_members set role = 'owner'", Some(2)),
    ),
    case_as(
        "project_members.delete_manager",
        (Owner, "delete from app.project_members", 2),
        (Member, "delete from app.project_members where role = 'owner'", Some(0)),
    ),
    case(
        "project_members.delete_self",
        Member,
        ("delete from app.project_members", 1),
        ("delete from app.project_members", Some(1)),
    ),
    definer("workspaces.select_definer", User, "select from app.my_memberships() where personal"),
    definer("workspaces.insert_definer", User, "select app.make_workspace('x')"),
    definer(
        "workspaces.update_definer",
        User,
        "select app.delete_workspace('ab000000-0000-4000-8000-00000000000a', true)",
    ),
    definer("workspaces.delete_definer", Job("sweep"), "select from app.sweep_workspaces() s(n) where s.n = 1"),
    definer("workspace_members.select_definer", Owner, "select from app.workspaces"),
    definer("workspace_members.insert_definer", User, "select app.make_workspace('x')"),
    definer(
        "workspace_members.update_definer",
        User,
        "select from app.after('update app.users set display_name = ''New''', 'select count(*)::text from app.workspace_members where name = ''New''') n where n = '3'",
    ),
    definer("projects.select_definer", Owner, "select from app.projects"),
    definer("projects.insert_definer", Job("sign_in"), "select app.sign_up('c@example.org', '', 'phc')"),
    definer("project_members.select_definer", Member, "select from app.projects"),
    definer("project_members.insert_definer", Owner, "insert into app.projects (name) values ('x')"),
    definer(
        "project_members.update_definer",
        User,
        "select from app.after('update app.users set display_name = ''New''', 'select count(*)::text from app.project_members where name = ''New''') n where n = '3'",
    ),
    definer(
        "project_members.delete_definer",
        Owner,
        "select from app.after('delete from app.workspace_members where role = ''project_creator''', 'select count(*)::text from app.project_members where workspace_id = ''aa000000-0000-4000-8000-00000000000a''') n where n = '1'",
    ),
    case(
        "invitations.select_manager",
        Owner,
        ("select from app.invitations where id = 'a1000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.invitations where id = 'a1000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case_as(
        "invitations.insert_manager",
        (Owner, "insert into app.invitations (email, role) values ('x@example.org', 'admin')", 1),
        (Member, "insert into app.invitations (email, role) values ('x@example.org', 'admin')", None),
    ),
    case(
        "invitations.update_manager",
        Owner,
        ("update app.invitations set role = 'admin'", 2),
        ("update app.invitations set role = 'admin'", Some(2)),
    ),
    case(
        "invitations.delete_manager",
        Owner,
        ("delete from app.invitations", 2),
        ("delete from app.invitations", Some(2)),
    ),
    case(
        "invitation_projects.select_manager",
        Owner,
        ("select from app.invitation_projects where invitation_id = 'a1000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.invitation_projects where invitation_id = 'a1000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case_as(
        "invitation_projects.insert_manager",
        (
            Owner,
            "insert into app.invitation_projects (invitation_id, project_id, role) values ('a2000000-0000-4000-8000-00000000000a', 'ad000000-0000-4000-8000-00000000000a', 'viewer')",
            1,
        ),
        (
            Member,
            "insert into app.invitation_projects (invitation_id, project_id, role) values ('a1000000-0000-4000-8000-00000000000b', 'ad000000-0000-4000-8000-00000000000b', 'viewer')",
            None,
        ),
    ),
    case(
        "workspace_domains.select_manager",
        Owner,
        ("select from app.workspace_domains where id = 'a3000000-0000-4000-8000-00000000000a'", 1),
        ("select from app.workspace_domains where id = 'a3000000-0000-4000-8000-00000000000b'", Some(0)),
    ),
    case_as(
        "workspace_domains.select_manager",
        (Owner, "select from app.workspace_domains", 1),
        (Member, "select from app.workspace_domains", Some(0)),
    ),
    case_as(
        "workspace_domains.insert_manager",
        (Owner, "insert into app.workspace_domains (domain) values ('x.example')", 1),
        (Member, "insert into app.workspace_domains (domain) values ('x.example')", None),
    ),
    case(
        "workspace_domains.delete_manager",
        Owner,
        ("delete from app.workspace_domains", 1),
        ("delete from app.workspace_domains", Some(1)),
    ),
    definer(
        "workspace_domains.select_definer",
        Job("domains"),
        "select from app.domain_checked('a3000000-0000-4000-8000-00000000000a', 'of a', true) r where r = 'proven'",
    ),
    definer(
        "removed_members.select_definer",
        Job("sign_in"),
        "select where not app.admit('00000000-0000-4000-8000-0000000000a3', array[]::text[], false)",
    ),
    definer(
        "removed_members.insert_definer",
        Owner,
        "select from app.after('delete from app.workspace_members where role = ''project_creator''', 'select count(*)::text from app.removed_members') n where n = '2'",
    ),
    definer(
        "workspace_domains.update_definer",
        Job("domains"),
        "select from app.take_domain() t where t.token = 'of a'",
    ),
    definer(
        "invitations.select_definer",
        Job("sign_in"),
        "select from app.read_invitation('to a', null) r where r.state = 'good'",
    ),
    definer(
        "invitations.update_definer",
        User,
        "select from app.after('select app.accept_invitation(''to a'')', 'select count(*)::text from app.invitations where accepted_at is not null') n where n = '1'",
    ),
    definer(
        "invitation_projects.select_definer",
        Job("sign_in"),
        "select from app.read_invitation('to a', null) r where r.projects is not null",
    ),
    case(
        "desks.select_member",
        Member,
        ("select from app.desks where name = 'of B'", 1),
        ("select from app.desks where name = 'of A'", Some(0)),
    ),
    case_as(
        "desks.insert_manager",
        (Owner, "with gone as materialized (select app.probe('delete from app.desks returning name', '')) insert into app.desks (name) select 'x' from gone", 1),
        (Member, "insert into app.desks (name) values ('x')", None),
    ),
    case_as(
        "desks.update_manager",
        (Owner, "update app.desks set name = 'x'", 1),
        (Member, "update app.desks set name = 'x'", Some(0)),
    ),
    case(
        "widget_keys.select_member",
        Member,
        ("select from app.widget_keys where name = 'page of B'", 1),
        ("select from app.widget_keys where name = 'page of A'", Some(0)),
    ),
    case_as(
        "widget_keys.insert_manager",
        (Owner, "insert into app.widget_keys (name) values ('x')", 1),
        (Member, "insert into app.widget_keys (name) values ('x')", None),
    ),
    case_as(
        "widget_keys.update_manager",
        (Owner, "update app.widget_keys set name = 'x'", 1),
        (Member, "update app.widget_keys set name = 'x'", Some(0)),
    ),
    case_as(
        "widget_keys.delete_manager",
        (Owner, "delete from app.widget_keys", 1),
        (Member, "delete from app.widget_keys", Some(0)),
    ),
    case(
        "agents.select_member",
        Member,
        ("select from app.agents where workspace_id = 'aa000000-0000-4000-8000-00000000000b'", 2),
        ("select from app.agents where workspace_id = 'aa000000-0000-4000-8000-00000000000a'", Some(0)),
    ),
    case_as(
        "agents.insert_manager",
        (
            Owner,
            "with gone as materialized (select app.probe('delete from app.agents returning name', '')) insert into app.agents (user_id, name) select '00000000-0000-4000-8000-00000000000d', 'x' from gone",
            1,
        ),
        (
            Member,
            "with gone as materialized (select app.probe('delete from app.agents returning name', '')) insert into app.agents (user_id, name) select '00000000-0000-4000-8000-00000000000a', 'x' from gone",
            None,
        ),
    ),
    case(
        "agents.update_manager",
        Owner,
        ("update app.agents set capacity = 7", 2),
        ("update app.agents set capacity = 7", Some(2)),
    ),
    case_as(
        "agents.delete_manager",
        (Owner, "delete from app.agents", 2),
        (Member, "delete from app.agents", Some(0)),
    ),
    case(
        "visitors.select_member",
        Member,
        ("select id from app.visitors where id = 'b4000000-0000-4000-8000-00000000000b'", 1),
        ("select id from app.visitors where id = 'b4000000-0000-4000-8000-00000000000a'", Some(0)),
    ),
    case(
        "visitors.update_member",
        Member,
        ("update app.visitors set blocked_at = now()", 1),
        ("update app.visitors set blocked_at = now()", Some(1)),
    ),
    case(
        "conversations.select_member",
        Member,
        ("select from app.conversations where id = 'b5000000-0000-4000-8000-00000000000b'", 1),
        ("select from app.conversations where id = 'b5000000-0000-4000-8000-00000000000a'", Some(0)),
    ),
    case_as(
        "conversations.insert_member",
        (Member, "insert into app.conversations (subject) values ('x')", 1),
        (Guest, "insert into app.conversations (subject) values ('x')", None),
    ),
    case(
        "conversations.update_member",
        Member,
        ("update app.conversations set priority = 2", 1),
        ("update app.conversations set priority = 2", Some(1)),
    ),
    case(
        "conversations.delete_member",
        Member,
        ("delete from app.conversations", 1),
        ("delete from app.conversations", Some(1)),
    ),
    case(
        "conversations.select_visitor",
        Visitor,
        ("select id from app.conversations where id = 'b5000000-0000-4000-8000-00000000000a'", 1),
        ("select id from app.conversations where id = 'b7000000-0000-4000-8000-00000000000a'", Some(0)),
    ),
    case(
        "conversations.update_visitor",
        Visitor,
        ("update app.conversations set active_at = now()", 1),
        ("update app.conversations set active_at = now()", Some(1)),
    ),
    case(
        "conversation_messages.select_member",
        Member,
        ("select from app.conversation_messages where conversation_id = 'b5000000-0000-4000-8000-00000000000b'", 2),
        ("select from app.conversation_messages where conversation_id = 'b5000000-0000-4000-8000-00000000000a'", Some(0)),
    ),
    case(
        "conversation_messages.insert_member",
        Member,
        (
            "insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_id) values ('b5000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', 3, 'note', '{\"text\": \"\"}', '00000000-0000-4000-8000-00000000000a')",
            1,
        ),
        (
            "insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_id) values ('b5000000-0000-4000-8000-00000000000b', 'aa000000-0000-4000-8000-00000000000b', 3, 'customer', '{\"text\": \"\"}', '00000000-0000-4000-8000-00000000000a')",
            None,
        ),
    ),
    case(
        "conversation_messages.update_member",
        Member,
        ("update app.conversation_messages set content = '{\"text\": \"\"}'", 2),
        ("update app.conversation_messages set content = '{\"text\": \"\"}'", Some(2)),
    ),
    case(
        "conversation_messages.delete_member",
        Member,
        ("delete from app.conversation_messages", 2),
        ("delete from app.conversation_messages", Some(2)),
    ),
    // Of two messages the note is not theirs.
    case(
        "conversation_messages.select_visitor",
        Visitor,
        ("select id from app.conversation_messages where conversation_id = 'b5000000-0000-4000-8000-00000000000a'", 1),
        ("select id from app.conversation_messages where conversation_id = 'b7000000-0000-4000-8000-00000000000a'", Some(0)),
    ),
    case(
        "conversation_messages.select_visitor",
        Visitor,
        ("select id from app.conversation_messages where role = 'customer'", 1),
        ("select id from app.conversation_messages where role = 'note'", Some(0)),
    ),
    case(
        "conversation_messages.insert_visitor",
        Visitor,
        (
            "with up as (update app.conversations set last_seq = last_seq + 1 returning id, workspace_id, last_seq)
             insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content) select id, workspace_id, last_seq, 'customer', '{\"text\": \"\"}' from up",
            1,
        ),
        (
            "insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content) values ('b5000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 3, 'agent', '{\"text\": \"\"}')",
            None,
        ),
    ),
    case(
        "articles.select_member",
        Member,
        ("select from app.articles where id = 'b8000000-0000-4000-8000-00000000000b'", 1),
        ("select from app.articles where id = 'b8000000-0000-4000-8000-00000000000a'", Some(0)),
    ),
    case_as(
        "articles.insert_manager",
        (Owner, "insert into app.articles (title) values ('x')", 1),
        (Member, "insert into app.articles (title) values ('x')", None),
    ),
    case_as(
        "articles.update_manager",
        (Owner, "update app.articles set title = 'x'", 2),
        (Member, "update app.articles set title = 'x'", Some(0)),
    ),
    case_as(
        "articles.delete_manager",
        (Owner, "delete from app.articles", 2),
        (Member, "delete from app.articles", Some(0)),
    ),
    case(
        "readings.select_member",
        Member,
        ("select from app.readings where workspace_id = 'aa000000-0000-4000-8000-00000000000b'", 1),
        ("select from app.readings where workspace_id = 'aa000000-0000-4000-8000-00000000000a'", Some(0)),
    ),
    case_as(
        "readings.insert_own",
        (
            Member,
            "insert into app.readings (conversation_id, seq) values ('b5000000-0000-4000-8000-00000000000b', 1)",
            1,
        ),
        (Guest, "insert into app.readings (conversation_id, seq) values ('b5000000-0000-4000-8000-00000000000b', 1)", None),
    ),
    case("readings.update_own", Owner, ("update app.readings set seq = 9", 1), ("update app.readings set seq = 9", Some(1))),
    definer(
        "readings.insert_definer",
        Owner,
        "insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_id) values ('b5000000-0000-4000-8000-00000000000a', 'aa000000-0000-4000-8000-00000000000a', 3, 'note', '{\"text\": \"@D, look\"}', '00000000-0000-4000-8000-00000000000a')",
    ),
    definer(
        "readings.update_definer",
        Owner,
        "select from app.after('insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_id) values (''b5000000-0000-4000-8000-00000000000a'', ''aa000000-0000-4000-8000-00000000000a'', 3, ''note'', ''{\"text\": \"@D, look\"}'', ''00000000-0000-4000-8000-00000000000a'')', 'select mentioned::text from app.readings where user_id = ''00000000-0000-4000-8000-00000000000d''') n where n = '3'",
    ),
    definer(
        "readings.select_definer",
        Owner,
        "select from app.after('insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_id) values (''b5000000-0000-4000-8000-00000000000a'', ''aa000000-0000-4000-8000-00000000000a'', 3, ''note'', ''{\"text\": \"@D, look\"}'', ''00000000-0000-4000-8000-00000000000a'')', 'select mentioned::text from app.readings where user_id = ''00000000-0000-4000-8000-00000000000d''') n where n = '3'",
    ),
    case(
        "replies.select_member",
        Member,
        ("select from app.replies where text = 'of B'", 1),
        ("select from app.replies where text = 'of A'", Some(0)),
    ),
    case_as(
        "replies.insert_manager",
        (Owner, "insert into app.replies (name, text) values ('x', 'x')", 1),
        (Member, "insert into app.replies (name, text) values ('x', 'x')", None),
    ),
    case_as(
        "replies.update_manager",
        (Owner, "update app.replies set text = 'x'", 1),
        (Member, "update app.replies set text = 'x'", Some(0)),
    ),
    case_as("replies.delete_manager", (Owner, "delete from app.replies", 1), (Member, "delete from app.replies", Some(0))),
    case(
        "saved_views.select_member",
        Member,
        ("select from app.saved_views where query = 'of B'", 1),
        ("select from app.saved_views where query = 'of A'", Some(0)),
    ),
    case_as(
        "saved_views.insert_member",
        (Member, "insert into app.saved_views (name, query) values ('x', 'x')", 1),
        (Guest, "insert into app.saved_views (name, query) values ('x', 'x')", None),
    ),
    case(
        "saved_views.update_member",
        Member,
        ("update app.saved_views set query = 'x'", 1),
        ("update app.saved_views set query = 'x'", Some(1)),
    ),
    case("saved_views.delete_member", Member, ("delete from app.saved_views", 1), ("delete from app.saved_views", Some(1))),
    case(
        "later_answers.select_member",
        Member,
        ("select from app.later_answers where text = 'of B'", 1),
        ("select from app.later_answers where text = 'of A'", Some(0)),
    ),
    case_as(
        "later_answers.insert_own",
        (
            Member,
            "insert into app.later_answers (id, conversation_id, text, seen, send_at) values (gen_random_uuid(), 'b5000000-0000-4000-8000-00000000000b', 'x', 2, now())",
            1,
        ),
        (
            Guest,
            "insert into app.later_answers (id, conversation_id, text, seen, send_at) values (gen_random_uuid(), 'b5000000-0000-4000-8000-00000000000b', 'x', 2, now())",
            None,
        ),
    ),
    case(
        "later_answers.update_own",
        Owner,
        ("update app.later_answers set taken_back_at = now()", 1),
        ("update app.later_answers set taken_back_at = now()", Some(1)),
    ),
    definer("later_answers.select_definer", Job("sweep"), "select where app.send_later_answers(10) = 1"),
    definer("later_answers.delete_definer", Job("sweep"), "select where app.send_later_answers(10) = 1"),
    // It can't be said: the place in the conversation is taken.
    definer(
        "later_answers.update_definer",
        Job("sweep"),
        "with torn as materialized (select app.probe('update app.conversations set last_seq = 0 where id = ''b5000000-0000-4000-8000-00000000000a'' returning status', '') as done),
              sent as materialized (select app.send_later_answers(10)::text as n from torn)
         select from sent where app.probe('select count(*)::text from app.later_answers where text = ''of A'' and send_at > now()', n) = '1'",
    ),
    definer(
        "conversation_messages.update_definer",
        Owner,
        "select from app.after('insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_id) values (''b5000000-0000-4000-8000-00000000000a'', ''aa000000-0000-4000-8000-00000000000a'', 3, ''note'', ''{\"text\": \"x\", \"from\": \"b7000000-0000-4000-8000-00000000000a\"}'', ''00000000-0000-4000-8000-00000000000a''); select app.erase_customer(''b7000000-0000-4000-8000-00000000000a'', false)', 'select count(*)::text from app.conversation_messages where content ? ''from''') n where n = '0'",
    ),
    definer(
        "conversations.delete_definer",
        Owner,
        "select from app.after('select app.erase_customer(''b5000000-0000-4000-8000-00000000000a'', false)', 'select count(*)::text from app.conversations where id = ''b5000000-0000-4000-8000-00000000000a''') n where n = '0'",
    ),
    case_as(
        "relay_secrets.select_manager",
        (Owner, "select name from app.relay_secrets", 1),
        (Member, "select name from app.relay_secrets", Some(0)),
    ),
    case_as(
        "relay_secrets.insert_manager",
        (Owner, "insert into app.relay_secrets (name, token_hash) values ('x', 'x')", 1),
        (Member, "insert into app.relay_secrets (name, token_hash) values ('x', 'x')", None),
    ),
    case_as(
        "relay_secrets.delete_manager",
        (Owner, "delete from app.relay_secrets", 1),
        (Member, "delete from app.relay_secrets", Some(0)),
    ),
    case_as(
        "webhooks.select_manager",
        (Owner, "select url from app.webhooks", 1),
        (Member, "select url from app.webhooks", Some(0)),
    ),
    case_as(
        "webhooks.insert_manager",
        (Owner, "insert into app.webhooks (url, secret) values ('https://x', 'a secret of 32 letters, not less!')", 1),
        (Member, "insert into app.webhooks (url, secret) values ('https://x', 'a secret of 32 letters, not less!')", None),
    ),
    case_as("webhooks.delete_manager", (Owner, "delete from app.webhooks", 1), (Member, "delete from app.webhooks", Some(0))),
    case_as(
        "deliveries.select_manager",
        (Owner, "select seq from app.deliveries", 2),
        (Member, "select seq from app.deliveries", Some(0)),
    ),
    case_as(
        "deliveries.update_manager",
        (Owner, "update app.deliveries set tries = 0", 2),
        (Member, "update app.deliveries set tries = 0", Some(0)),
    ),
    definer("relay_secrets.select_definer", Opening, "select where gate.open_relay('relays a', 'x', '', '') = 'visitor'"),
    definer(
        "relay_secrets.update_definer",
        Opening,
        "with opened as materialized (select gate.open_relay('relays a', 'x', '', '') as role)
         select from opened where app.probe('select count(*)::text from app.relay_secrets where used_at is not null', role) = '1'",
    ),
    definer(
        "webhooks.select_definer",
        Job("webhooks"),
        "select from app.take_delivery('bb000000-0000-4000-8000-000000000000') d where d.url = 'https://a.example'",
    ),
    definer(
        "deliveries.select_definer",
        Job("webhooks"),
        "select from app.take_delivery('bb000000-0000-4000-8000-000000000000') d where d.id = 'bc000000-0000-4000-8000-00000000000a'",
    ),
    definer(
        "deliveries.update_definer",
        Job("webhooks"),
        "with took as materialized (select d.id from app.take_delivery('bb000000-0000-4000-8000-000000000000') d)
         select from took where app.probe('select count(*)::text from app.deliveries where tries = 1', took.id::text) = '1'",
    ),
    definer(
        "deliveries.insert_definer",
        Owner,
        "select from app.after('insert into app.conversation_messages (conversation_id, workspace_id, seq, role, content, author_id) select t.id, t.workspace_id, 9, ''agent'', ''{\"text\": \"\"}'', ''00000000-0000-4000-8000-00000000000a'' from app.conversations t where t.id = ''b5000000-0000-4000-8000-00000000000a''', 'select count(*)::text from app.deliveries where seq = 9') n where n = '1'",
    ),
    definer(
        "deliveries.delete_definer",
        Job("sweep"),
        "select where app.sweep_deliveries(10) = 1",
    ),
    definer("articles.select_definer", Opening, "select from gate.read_help('key of a', null)"),
    definer(
        "bot_turns.insert_definer",
        Owner,
        "update app.conversations set status = 'bot' where id = 'b5000000-0000-4000-8000-00000000000a'",
    ),
    definer(
        "bot_turns.select_definer",
        Job("bot_turn"),
        "select from app.take_bot_turn('bb000000-0000-4000-8000-000000000000') t where t.conversation = 'b7000000-0000-4000-8000-00000000000a'",
    ),
    definer(
        "bot_turns.update_definer",
        Job("bot_turn"),
        "with took as materialized (select t.conversation as id from app.take_bot_turn('bb000000-0000-4000-8000-000000000000') t)
         select from took where app.renew_bot_turn(took.id, 'bb000000-0000-4000-8000-000000000000', 5)",
    ),
    definer(
        "bot_turns.delete_definer",
        Job("bot_turn"),
        "with took as materialized (select t.conversation as id, t.seq from app.take_bot_turn('bb000000-0000-4000-8000-000000000000') t),
              said as materialized (select app.finish_bot_turn(took.id, 'bb000000-0000-4000-8000-000000000000', took.seq, 'x', null, null) as how from took)
         select from said where app.probe('select count(*)::text from app.bot_turns', how) = '0'",
    ),
    definer(
        "conversation_messages.select_definer",
        Job("bot_turn"),
        "select from app.take_bot_turn('bb000000-0000-4000-8000-000000000000') t where t.history is not null",
    ),
    definer(
        "conversation_messages.insert_definer",
        Job("bot_turn"),
        "with took as materialized (select t.conversation as id, t.seq from app.take_bot_turn('bb000000-0000-4000-8000-000000000000') t)
         select from took where app.finish_bot_turn(took.id, 'bb000000-0000-4000-8000-000000000000', took.seq, 'x', null, null) <> 'gone'",
    ),
    definer(
        "desks.update_definer",
        Owner,
        "select from app.after('select app.set_bot(true, ''x'', ''{}'')', 'select count(*)::text from app.desks where bot') n where n = '1'",
    ),
    definer("desks.select_definer", Opening, "select from gate.read_desk('key of a', 'UTC') d where d.name = 'of A'"),
    definer("widget_keys.select_definer", Opening, "select where gate.make_visitor('key of a', 'new')"),
    definer("agents.select_definer", Owner, "select app.hold_colleague('ac000000-0000-4000-8000-00000000000a')"),
    definer("agents.update_definer", Owner, "select app.hold_agent()"),
    definer("visitors.select_definer", Visitor, "select where app.visitor_conversation() is not null"),
    definer("visitors.insert_definer", Opening, "select where gate.make_visitor('key of a', 'new')"),
    definer(
        "visitors.delete_definer",
        Job("sweep"),
        "with old as materialized (select app.probe('insert into app.visitors (workspace_id, token_hash, created_at) values (''aa000000-0000-4000-8000-00000000000a'', ''old'', now() - interval ''2 days'') returning name', '') as done) select from old where app.sweep_visitors(10) = 1",
    ),
    definer("visitors.update_definer", Visitor, "select app.introduce('Vi', '')"),
    definer("conversations.select_definer", Visitor, "select where app.visitor_conversation() is not null"),
    definer(
        "conversations.insert_definer",
        Visitor,
        "with parted as materialized (select app.probe('update app.conversations set visitor_id = null returning status', '')) select from parted where app.begin_conversation() <> 'b5000000-0000-4000-8000-00000000000a'",
    ),
    definer(
        "conversations.update_definer",
        Job("sweep"),
        "with old as materialized (select app.probe('update app.conversations set status = ''claimed'', claimed_by = ''00000000-0000-4000-8000-00000000000a'', claimed_at = now() where workspace_id = ''aa000000-0000-4000-8000-00000000000a'' returning status', '') as done) select from old where app.sweep_claims(10) = 2",
    ),
    case_as(
        "audit_events.select_manager",
        (
            Owner,
            "select from app.audit_events where workspace_id = 'aa000000-0000-4000-8000-00000000000a' and seq = 1",
            1,
        ),
        (Member, "select from app.audit_events", Some(0)),
    ),
    case_as(
        "audit_people.select_manager",
        (Owner, "select distinct workspace_id from app.audit_people", 1),
        (Member, "select from app.audit_people", Some(0)),
    ),
    definer(
        "audit_events.select_definer",
        Job("operate"),
        "select from app.audit_chain('aa000000-0000-4000-8000-00000000000a', 0, 1)",
    ),
    definer("audit_events.insert_definer", Owner, NOTED),
    definer(
        "folders.select_definer",
        Job("denials"),
        "with done as materialized (select app.note_misses('[{\"sub\": \"00000000-0000-4000-8000-00000000000a\", \"id\": \"80000000-0000-4000-8000-00000000000b\", \"n\": 1}]')::text as done)
         select from done where app.probe('select count(*)::text from app.audit_pending where new ->> ''what'' = ''folder''', done) = '1'",
    ),
    definer("audit_pending.select_definer", Owner, NOTED),
    definer("audit_pending.insert_definer", Owner, "update app.workspaces set name = 'z'"),
    definer(
        "audit_pending.delete_definer",
        Owner,
        "select from app.after('update app.workspaces set name = ''z''; set constraints all immediate', 'select count(*)::text from app.audit_pending') n where n = '0'",
    ),
    definer(
        "audit_people.select_definer",
        Job("operate"),
        "select from app.audit_chain('aa000000-0000-4000-8000-00000000000a', 0, 100) c where c.person is not null limit 1",
    ),
    definer(
        "audit_people.insert_definer",
        Owner,
        "select from app.after('update app.workspaces set name = ''z''; set constraints all immediate', 'select count(*)::text from app.audit_people where side = ''actor''') n where n <> '0'",
    ),
    definer(
        "audit_people.delete_definer",
        Owner,
        "select from app.after('update app.workspace_members set role = ''owner''; select app.erase_account(''phc of a@example.org'')', 'select count(*)::text from app.audit_people where email = ''a@example.org''') n where n = '0'",
    ),
    definer(
        "audit_heads.select_definer",
        Job("operate"),
        "select from app.audit_chains(null, 100) c where c.name = 'of A' and c.seq > 0",
    ),
    definer(
        "audit_heads.insert_definer",
        User,
        "select from app.after('select app.make_workspace(''x''); set constraints all immediate', 'select count(*)::text from app.audit_heads h join app.workspaces w on w.id = h.workspace_id where w.name = ''x''') n where n = '1'",
    ),
    definer(
        "audit_heads.update_definer",
        Owner,
        "select from app.after('update app.workspaces set name = ''z''; set constraints all immediate', 'select count(*)::text from app.audit_heads h join app.audit_events e on e.workspace_id = h.workspace_id and e.seq = h.seq where e.kind = ''workspace.changed''') n where n = '1'",
    ),
    definer(
        "invitations.delete_definer",
        Owner,
        "select from app.after('update app.workspace_members set role = ''owner''; select app.erase_account(''phc of a@example.org'')', 'select count(*)::text from app.invitations where email = ''a@example.org''') n where n = '0'",
    ),
];
