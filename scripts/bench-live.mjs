// The live feed: what a stream costs while nothing happens, how many are held, what an event costs for each that hears it, how soon
// it is there, and what writing pays for it. Called by scripts/bench-live, which has made the people; prints the figures.
//   node scripts/bench-live.mjs <moat's port> <moat's process> <the bare server's port> <its process> <database as superuser>
//     <as moat_user> <as moat_service> <the database's first process> <folder of the scripts for pgbench> <rounds>
//     <how many streams to hold>
import { execFile, execFileSync, spawn } from "node:child_process";
import { createHash, createHmac } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { promisify } from "node:util";

const [moatPort, moat, barePort, bare, database, login, service, postmaster, work] = process.argv.slice(2);
const [rounds, most] = process.argv.slice(11).map(Number);
const MEMBERS = 1000; // of the desk that is measured
const PLAIN = 60; // events told one at a time, in a round
const BURST = 200; // events told at once; 512 may wait for a stream
const SPELL = 3; // seconds that writers write

const TICK = 1000 / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

const pause = (ms) => new Promise((go) => setTimeout(go, ms));
const sql = (text) => execFileSync("psql", ["-qXAt", "-v", "ON_ERROR_STOP=1", database, "-c", text], { encoding: "utf8" }).trim();
const id = (name) => createHash("md5").update(name).digest("hex").replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5"); // as md5(name)::uuid
const desk = id("w1");
const conversation = id("c1");

const at = (list, part) => [...list].sort((a, b) => a - b)[Math.floor((list.length - 1) * part)];
const median = (list) => at(list, 0.5);
const figure = (what, value, note) => console.log(`${what.padEnd(58)} ${String(value).padStart(9)}   (${note})`);
const thousands = (n) => Math.round(n).toLocaleString("en");

// As src/server/keys.rs and jwt.rs make them, for longer than the figures take: ten thousand sign-ins would measure the passwords.
const key = createHmac("sha256", process.env.MOAT_SECRET).update("moat access token v1").digest();
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const token = (person, session) => {
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: id(`u${person}`), sid: id(`s${person}-${session}`), role: "authenticated", aud: "authenticated", iss: "moat", iat: now, exp: now + 7200 };
  const text = `${part({ typ: "JWT", alg: "HS256", kid: "moat-1" })}.${part(claims)}`;
  return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
};

// Nanoseconds on a processor, of all its threads.
const cpu = (process) => readdirSync(`/proc/${process}/task`).reduce((sum, task) => sum + Number(readFileSync(`/proc/${process}/task/${task}/schedstat`, "utf8").split(" ")[0]), 0);
// Milliseconds of the database: its first process, its living children, and those that have ended.
const databaseCpu = () => {
  const one = (child) => {
    try {
      return readFileSync(`/proc/${child}/stat`, "utf8").split(") ")[1].split(" ").slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0);
    } catch {
      return 0; // it has just ended
    }
  };
  const children = readFileSync(`/proc/${postmaster}/task/${postmaster}/children`, "utf8").trim().split(" ");
  return [postmaster, ...children].reduce((sum, process) => sum + one(process), 0) * TICK;
};
const kilobytes = (process) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${process}/status`, "utf8"))[1]);

// One stream's end. A plain socket: Node's own client takes longer for an event than either server.
class Stream {
  events = 0;
  beats = 0;
  open = true;
  told = []; // the last event, and with `keep` all of them

  constructor(port, cookie, path, hear = () => {}, keep = false) {
    const socket = connect({ host: "127.0.0.1", port: Number(port) });
    this.socket = socket.setNoDelay(true).setEncoding("latin1");
    let rest = "";
    this.ready = new Promise((done, fail) => {
      socket.once("error", fail).once("close", () => ((this.open = false), fail(new Error("closed"))));
      socket.once("data", (head) => (head.startsWith("HTTP/1.1 200") ? done(this) : fail(new Error(head.split("\r\n")[0]))));
    });
    this.ready.catch(() => {}); // whoever opens it looks
    socket.on("data", (text) => {
      rest += text;
      for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
        const event = rest.slice(0, end);
        if (event.includes("data: {")) {
          this.events++;
          this.told = keep ? [...this.told, event] : [event];
          hear(event, this);
        } else this.beats++;
      }
    });
    socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\naccept: text/event-stream\r\n${cookie ? `cookie: __Host-moat-access=${cookie}\r\n` : ""}\r\n`);
  }
}

// A few at a time, as after a restart: all at once would measure how long the queue of a listening socket is.
const openAll = async (many, open) => {
  const streams = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      while (next < many) {
        const stream = open(next++);
        streams.push(stream);
        await stream.ready;
      }
    }),
  );
  return streams;
};
const closeAll = async (streams) => {
  for (const stream of streams) stream.socket.destroy();
  await pause(1000);
};
// Of somebody at their desk, from where it is now. The people of the second half are at the second one.
const places = () => [1, 2].map((w) => Number(sql(`select coalesce(max(pos), 0) from app.feed_topics where topic = '${id(`w${w}`)}'`)));
const atDesk = (person, session, from, ...rest) =>
  new Stream(moatPort, token(person, session), `/live?desks=${id(`m${person}`)}.${from[person > MEMBERS ? 1 : 0]}`, ...rest);

// Events, written and numbered by another process than the one that is measured: no request of ours is in its figures. NOTIFY wakes it.
const writer = spawn("psql", ["-qXAt", "-v", "ON_ERROR_STOP=1", database], { stdio: ["pipe", "ignore", "inherit"] });
const tell = (many, topic = desk, kind = "conversation.changed", payload = { conversation }) =>
  writer.stdin.write(`begin; select app.tell('${topic}', '${kind}', '${JSON.stringify(payload)}') from generate_series(1, ${many}); commit; begin;
    select set_config('request.jwt.claims', '{"role": "service", "reason": "live"}', true), set_config('role', gate.open_service('live', null), true);
    select app.sequence_feed(500); commit;\n`);

const agent = new Agent({ keepAlive: true });
const post = (port, path, headers, data) =>
  new Promise((done, fail) => {
    const sent = request({ host: "127.0.0.1", port, path, method: "POST", agent, headers: { ...headers, "content-length": Buffer.byteLength(data) } }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece) => (text += piece));
      response.once("end", () => (response.statusCode < 300 ? done() : fail(new Error(`${path}: ${response.statusCode} ${text}`))));
    });
    sent.once("error", fail).end(data);
  });
const tokens = Array.from({ length: 100 }, (_, n) => token(n + 1, 1));
const answer = (person) =>
  post(
    moatPort,
    "/api/moat/conversations/server_fns/answer_conversation",
    { authorization: `Bearer ${tokens[person - 1]}`, "x-moat-place": id(`m${person}`), "content-type": "application/x-www-form-urlencoded" },
    new URLSearchParams({ conversation: id(`c${person}`), client: crypto.randomUUID(), text: "It does, and in green.", seen: "1000000" }).toString(),
  );

// What writes in the changes' own transactions, on or off.
const triggers = (state) =>
  sql(`do $$ declare t record; begin
    for t in select g.tgrelid::regclass as rel, g.tgname from pg_trigger g join pg_proc p on p.oid = g.tgfoid join pg_class c on c.oid = g.tgrelid
              where not g.tgisinternal and p.proname like 'tell%' and c.relnamespace = 'app'::regnamespace loop
      execute format('alter table %s ${state} trigger %I', t.rel, t.tgname);
    end loop; end $$`);
triggers("enable"); // an earlier run may have been ended while they were off

// --- idle streams: their memory, and 10,000 of them
{
  await closeAll(await openAll(32, (n) => atDesk(n + 1, 1, places()))); // pools and threads are there from now on
  const from = places();
  const open = (n) => atDesk((n % 2000) + 1, Math.floor(n / 2000) + 1, from, undefined, true);
  const without = kilobytes(moat);
  const note = "KiB of the server's; goal 8, ceiling 40";
  const streams = await openAll(1000, open);
  await pause(1000);
  figure("memory of an idle stream, of 1,000:", ((kilobytes(moat) - without) / 1000).toFixed(1), note);
  const began = performance.now();
  const refused = [];
  const others = await openAll(most - 1000, (n) => {
    const stream = open(n + 1000);
    stream.ready = stream.ready.catch((error) => refused.push(error.message));
    return stream;
  });
  const took = (performance.now() - began) / 1000;
  streams.push(...others);
  await pause(1000);
  figure(`memory of an idle stream, of ${thousands(most)}:`, ((kilobytes(moat) - without) / most).toFixed(1), note);
  figure("streams opened in a second:", Math.round((most - 1000) / took), `32 at a time, each with the lanes of its person and desk; refused: ${refused.length}`);

  const idle = cpu(moat);
  await pause(31_000);
  const burned = (cpu(moat) - idle) / 1e9 / 31;
  tell(1);
  tell(1, id("u1"), "thread.changed", { thread: conversation });
  await pause(3000);
  const held = streams.filter((stream) => stream.open && stream.beats >= 2);
  const right = streams.filter((stream, n) => {
    // The sessions of person n % 2000 + 1.
    const person = (n % 2000) + 1;
    const due = [...(person <= MEMBERS ? ["conversation.changed"] : []), ...(person === 1 ? ["thread.changed"] : [])];
    const got = stream.told.map((event) => JSON.parse(/data: (.*)/.exec(event)[1]).event.kind);
    return stream.open && due.sort().join() === got.sort().join();
  });
  figure(`of ${thousands(most)} streams, open and with heartbeats after 30 s:`, thousands(held.length), `goal all; meanwhile ${(burned * 100).toFixed(1)} % of a processor`);
  figure("… which then got their event, and nobody else's:", thousands(right.length), "one for a desk that every second of them hears, one for a person; goal all");
  await closeAll(streams);
}

// --- one desk that a thousand hear
{
  const count = { [moat]: 0, [bare]: 0 };
  const waiting = {};
  const hear = (server) => () => {
    count[server]++;
    if (waiting[server] && count[server] >= waiting[server].target) waiting[server].go();
  };
  const reached = (server, target) =>
    new Promise((go, fail) => {
      const timer = setTimeout(() => fail(new Error(`${target - count[server]} events did not come`)), 20_000);
      waiting[server] = { target, go: () => (clearTimeout(timer), (waiting[server] = undefined), go()) };
    });
  const from = places();
  const streams = await openAll(MEMBERS, (n) => atDesk(n + 1, 1, from, hear(moat)));
  const before = kilobytes(bare);
  await openAll(MEMBERS, () => new Stream(barePort, "", "/live", hear(bare)));
  await pause(1000);
  figure("the bare server's memory of an idle stream, of 1,000:", ((kilobytes(bare) - before) / MEMBERS).toFixed(1), "KiB: hyper's connection and axum's stream");

  const told = { [moat]: tell };
  const once = reached(moat, MEMBERS);
  tell(1);
  await once;
  // The same bytes as moat sends.
  const [, name, data] = /id: (.*)\n(?:.*\n)*?data: (.*)/.exec(streams[0].told[0]);
  told[bare] = (many) => post(barePort, "/tell", { "content-type": "text/plain" }, `${name}\n${data}\n`.repeat(many));

  const plain = { [moat]: [], [bare]: [] };
  const burst = { [moat]: [], [bare]: [] };
  const rate = { [moat]: [], [bare]: [] };
  for (let round = -1; round < rounds; round++) {
    for (const server of round % 2 ? [moat, bare] : [bare, moat]) {
      const run = async (times, many) => {
        const used = cpu(server);
        const began = performance.now();
        for (let n = 0; n < times; n++) {
          const all = reached(server, count[server] + many * MEMBERS);
          told[server](many);
          await all;
          if (many === 1) await pause(20); // each event finds the server at rest, as they come at a desk
        }
        const each = times * many * MEMBERS;
        return { cpu: (cpu(server) - used) / 1000 / each, rate: (each / (performance.now() - began)) * 1000 };
      };
      const one = await run(PLAIN, 1);
      const many = await run(5, BURST);
      if (round < 0) continue; // to warm up
      plain[server].push(one.cpu);
      burst[server].push(many.cpu);
      rate[server].push(many.rate);
    }
  }
  const ratios = (list) => median(list[bare].map((value, n) => value / list[moat][n])).toFixed(2);
  const both = (list, digits) => `${median(list[moat]).toFixed(digits)} µs to ${median(list[bare]).toFixed(digits)} µs for an event and a stream`;
  figure("fan-out to 1,000, bare server / moat, CPU, one by one:", ratios(plain), `${both(plain, 1)}; goal 0.9`);
  figure(`fan-out to 1,000, bare server / moat, CPU, ${BURST} at once:`, ratios(burst), `${both(burst, 2)}; goal 0.9`);
  const quick = median(rate[moat].map((value, n) => value / rate[bare][n])).toFixed(2);
  figure("fan-out to 1,000, moat / bare server, events in a second:", quick, `${thousands(median(rate[moat]))} / ${thousands(median(rate[bare]))} that were heard, ${BURST} at once, with their reader on the same machine; goal 0.9`);
  await closeAll(streams);
}

// --- from an answer that is stored to a hundred open desks
{
  const from = places();
  let left = 0;
  let all = () => {};
  let heard = [];
  const streams = await openAll(100, (n) =>
    atDesk(n + 1, 1, from, (event) => {
      if (!event.includes('"conversation.message"')) return;
      heard.push(performance.now());
      if (--left === 0) all();
    }),
  );
  const sent = [];
  const stored = [];
  for (let n = 0; n < rounds * 40 + 5; n++) {
    const done = new Promise((go) => (all = go));
    left = streams.length;
    heard = [];
    const began = performance.now();
    await answer((n % 100) + 1);
    const ended = performance.now();
    await done;
    if (n >= 5) {
      sent.push(...heard.map((time) => time - began));
      stored.push(...heard.map((time) => Math.max(0, time - ended)));
    }
    await pause(20 + Math.random() * 20);
  }
  const both = (list) => `${at(list, 0.5).toFixed(1)} / ${at(list, 0.95).toFixed(1)}`;
  figure("an answer is stored to 100 open desks hear, p50 / p95:", both(stored), `ms, from the server's answer to its writer; from the click ${both(sent)}; goal for p95 100`);
  await closeAll(streams);
}

// --- what writing pays
try {
  const from = places();
  const streams = await openAll(10, (n) => atDesk(n + 1, 1, from));
  const served = async () => {
    let stored = 0;
    const began = performance.now();
    await Promise.all(
      Array.from({ length: 8 }, async (_, n) => {
        for (; performance.now() - began < SPELL * 1000; stored++) await answer(n + 11);
      }),
    );
    return { stored, rate: (stored / (performance.now() - began)) * 1000 };
  };
  const pgbench = async (as, script, clients) => {
    const done = await promisify(execFile)("pgbench", ["-n", "-M", "prepared", "-c", clients, "-j", 1, "-T", SPELL, "-f", `${work}/${script}.sql`, as].map(String));
    const [stored, rate] = [/actually processed: (\d+)/, /^tps = ([0-9.]+)/m].map((figure) => Number(figure.exec(done.stdout)[1]));
    return { stored, rate };
  };
  const bareWrites = async (on) => {
    const [answers] = await Promise.all([pgbench(login, "answer", 8), on && pgbench(service, "sequence", 1)]);
    return answers;
  };
  const both = [served, bareWrites].map((write) => ({ write, on: [], off: [] }));
  for (let round = -1; round < rounds; round++) {
    for (const one of both) {
      for (const on of round % 2 ? [true, false] : [false, true]) {
        triggers(on ? "enable" : "disable");
        const used = databaseCpu();
        const { stored, rate } = await one.write(on);
        if (round >= 0) one[on ? "on" : "off"].push({ rate, cpu: (databaseCpu() - used) / stored });
      }
    }
  }
  const [server, statements] = both.map(({ on, off }) => {
    const typical = (list, what) => median(list.map((round) => round[what]));
    const [rates, cpus] = [(list) => thousands(typical(list, "rate")), (list) => typical(list, "cpu").toFixed(2)];
    return {
      ratio: median(on.map((round, n) => round.rate / off[n].rate)).toFixed(2),
      words: `${rates(on)} / ${rates(off)} a second, ${cpus(on)} / ${cpus(off)} ms of the database for each`,
    };
  });
  figure("answers stored, live on / off, by the server function:", server.ratio, `${server.words}; 8 writers, 10 streams at that desk; off: without the triggers that tell; goal 0.9`);
  figure("answers stored, live on / off, the same statements:", statements.ratio, `${statements.words}; by pgbench, with a sequencer every 5 ms and without; goal 0.9`);
  await closeAll(streams);
} finally {
  triggers("enable");
}
process.exit(0);
