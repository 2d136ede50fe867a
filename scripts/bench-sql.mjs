// A pgbench script of the transaction that a request ran, from Postgres' log of it: the same statements with the same binds.
// Called by scripts/bench with the log on standard input; writes <out>.sql and <out>.binds, one name=value a line.
//   node scripts/bench-sql.mjs <out> [<opening> [<owner>]]
// With <opening>, this is run instead of the lane's own first statement. With <owner>, every table is filtered by it too.
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";

const [out, opening, owner] = process.argv.slice(2);
const name = basename(out); // in the binds, so that scripts can be joined

// By connection, since jobs of the server run at the same time.
const lanes = new Map();
for (const line of readFileSync(0, "utf8").split(/\n(?!\t)/)) {
  const entry = /\[(\d+)\] (LOG|DETAIL): {2}(?:statement: |execute [^:]+: |parameters: )([^]*)$/.exec(line);
  if (!entry) continue;
  const [, pid, kind, text] = entry;
  const lane = lanes.get(pid) ?? lanes.set(pid, { done: [] }).get(pid);
  if (kind === "DETAIL") lane.done.at(-1).binds = text;
  else if (text === "begin") lane.done = [{ text }];
  else lane.done.push({ text: text.replaceAll("\n\t", "\n"), binds: "" });
  if (text === "commit" && lane.done.some((s) => s.text.includes("gate.open("))) lane.whole = lane.done;
}
const found = [...lanes.values()].filter((lane) => lane.whole);
if (found.length !== 1) throw new Error(`${found.length} connections ran a user's transaction, not one`);

// pgbench takes :MI in 'HH24:MI' for a variable.
const plain = (sql) => sql.replace(/'[^']*'/g, (text) => (/:\w/.test(text) ? `E${text.replaceAll("\\", "\\\\").replaceAll(":", "\\x3a")}` : text));

function filtered(sql) {
  const count = (text) => text.match(/\b(from|join) app\.\w+ \w/g)?.length ?? 0;
  let done = 0;
  const by = (condition) => (whole, start) => (done++, `${start} ${condition} `);
  const explicit = sql
    .replace(/(from app\.threads t where) /g, by(`t.user_id = ${owner} and`))
    .replace(/(from app\.generations g where) /g, by("g.user_id = t.user_id and"))
    .replace(/(from app\.folders f) /g, by(`where f.user_id = ${owner}`));
  if (done !== count(sql)) throw new Error(`no explicit filter for every table of: ${sql}`);
  return explicit;
}

const binds = [];
const statements = found[0].whole.map(({ text, binds: given }, n) => {
  if (opening && text.includes("gate.open(")) return opening;
  const values = new Map();
  for (const [, number, , value] of (given ?? "").matchAll(/\$(\d+) = (NULL|'((?:[^']|'')*)')/g)) values.set(number, value);
  const sql = plain(owner ? filtered(text) : text).replace(/\$(\d+)/g, (_, number) => {
    const value = values.get(number);
    if (value === "") return ":empty";
    // What has no value is NULL to pgbench.
    if (value !== undefined) binds.push(`${name}${n}_${number}=${value.replaceAll("''", "'")}`);
    return `:${name}${n}_${number}`;
  });
  return sql;
});
const random = opening ? "\\set u random(1, 200)\n" : "";
// An option of pgbench can't be empty: each of its clients asks for that once.
const empty = statements.some((sql) => sql.includes(":empty")) ? "\\if :n = 0\nselect '' as empty \\gset\n\\set n 1\n\\endif\n" : "";
if (empty) binds.push("n=0");
writeFileSync(`${out}.sql`, `${random}${empty}${statements.map((sql) => `${sql};`).join("\n")}\n`);
writeFileSync(`${out}.binds`, [...new Set(binds)].map((bind) => `${bind}\n`).join(""));
