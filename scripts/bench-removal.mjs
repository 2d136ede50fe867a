// How long somebody who is removed from a workspace still gets something of it. Called by scripts/bench-workspaces; prints the
// figures.
//   node scripts/bench-removal.mjs <moat's address> <database> <token of an owner> <their place> <token of the other> <their place> <rounds>
// The other's row is made anew, by psql, before each removal. Time counts from the moment that the trail has noted for the
// removal: that is within the commit, so that the commit itself is in the figure.
import { execFileSync } from "node:child_process";
import { Agent, request } from "node:http";

const [base, database, owner, manager, other, place, rounds] = process.argv.slice(2);
const now = () => performance.timeOrigin + performance.now();
const sql = (text) => execFileSync("psql", ["-qXAt", "-v", "ON_ERROR_STOP=1", database, "-c", text], { encoding: "utf8" }).trim();
const agent = new Agent({ keepAlive: true });

const call = (name, token, at, fields, method = "POST") =>
  new Promise((done, fail) => {
    const data = new URLSearchParams(fields).toString();
    const headers = { authorization: `Bearer ${token}`, "x-moat-place": at, "content-type": "application/x-www-form-urlencoded", "content-length": data.length };
    const began = now();
    const sent = request(`${base}${name}`, { method, agent, headers }, (response) => {
      let bytes = 0;
      response.on("data", (piece) => (bytes += piece.length));
      const end = (whole) => done({ status: response.statusCode, began, ended: now(), bytes, whole });
      response.once("end", () => end(true)).once("error", () => end(false));
    });
    sent.once("error", fail).end(data);
  });
const workspaces = (name, ...rest) => call(`/api/moat/workspaces/server_fns/${name}`, ...rest);

// The stream that the other has open meanwhile.
let heard = 0;
let hears = () => {};
const stream = await fetch(`${base}/live`, { headers: { authorization: `Bearer ${other}` } });
(async () => {
  for await (const text of stream.body.pipeThrough(new TextDecoderStream())) {
    heard += text.match(/^data: \{/gm)?.length ?? 0;
    hears();
  }
})().catch(() => {});

const user = JSON.parse(Buffer.from(other.split(".")[1], "base64url")).sub;
const workspace = sql(`select workspace_id from app.workspace_members where id = '${manager}'`);
const first = [];
const last = [];
const broken = [];
let late = 0;
for (let round = 0; round < Number(rounds) + 2; round++) {
  // As an admin, whose download of the trail is the one stream that tells of a workspace.
  sql(`insert into app.workspace_members (id, workspace_id, user_id, role) values ('${place}', '${workspace}', '${user}', 'admin') on conflict do nothing`);
  // In turns, so that the one does not wait for the other.
  const downloads = round % 2 === 1;
  const answers = [];
  let on = !downloads;
  const asking = [0, 1].map(async () => {
    while (on) {
      const answer = await workspaces("list_members", other, place, {});
      answers.push(answer);
      if (answer.status !== 200) return;
    }
  });
  const download = downloads && call(`/w/${place}/audit.jsonl`, other, place, {}, "GET");
  await new Promise((go) => setTimeout(go, 100));
  const removed = await workspaces("remove_member", owner, manager, { member: place });
  if (removed.status !== 200) throw new Error(`remove_member: ${removed.status}`);
  // Something happens there that whoever is in it may see.
  await workspaces("change_workspace", owner, manager, { name: `Workspace 3, ${round}` });
  await Promise.race([Promise.all(asking), new Promise((go) => setTimeout(go, 5000))]);
  on = false;
  await Promise.all(asking);
  const { whole, ended } = (await download) || { whole: true };
  const at = Number(sql(`select max(at) from app.audit_events where workspace_id = '${workspace}' and kind = 'member.removed'`)) / 1000;
  if (round < 2) continue; // to warm up
  if (!whole) broken.push(ended - at);
  if (downloads) continue;
  late += answers.filter((a) => a.status === 200 && a.began > removed.ended).length;
  first.push(Math.min(...answers.filter((a) => a.status !== 200).map((a) => a.ended)) - at);
  last.push(Math.max(...answers.filter((a) => a.status === 200).map((a) => a.ended)) - at);
}
const ofWorkspace = heard;
const own = new Promise((go) => (hears = go));
const began = now();
await call("/api/moat/threads/server_fns/start_thread", other, place, { client: crypto.randomUUID(), text: "still mine" });
await own;

const at = (list, part) => list.sort((a, b) => a - b)[Math.floor((list.length - 1) * part)];
const both = (list) => `${at(list, 0.5).toFixed(1)} / ${at(list, 0.95).toFixed(1)}`;
const figure = (what, value, note) => console.log(`${what.padEnd(58)} ${value.padStart(9)}   (${note})`);
figure("commit of a removal to the first refusal, p50 / p95:", both(first), `ms, ${first.length} removals; asked all the time over two connections`);
figure("commit of a removal to the last answer before, p50 / p95:", both(last), `ms; below 0: none came after it; begun after the removal's answer: ${late}`);
figure("commit of a removal to the end of their open download:", broken.length > 0 ? both(broken) : "-", `ms, ${broken.length} that were open then`);
figure("events of the workspace on their open stream:", String(ofWorkspace), `in ${rounds} removals and changes after; it tells of their own chats alone, and goes on: ${(now() - began).toFixed(0)} ms`);
process.exit(0);
