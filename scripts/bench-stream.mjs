// How long a token takes from the model server to the browser's stream: a model server of ours that says when it sent what,
// a moat in front of it, and one reader of /live. Called by scripts/bench; prints two lines.
//   node scripts/bench-stream.mjs <moat's address> <port for the model server> <cookie> <rounds>
import { createServer } from "node:http";

const [base, port, cookie, rounds] = process.argv.slice(2);
const TOKENS = 150; // in an answer, one every 10 ms: a hundred a second
const sent = new Map(); // token -> when it was written to the wire, ms
let answers = 0;

const model = createServer(async (request, response) => {
  for await (const _ of request); // the question does not matter
  const answer = answers++;
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.socket.setNoDelay(true);
  for (let n = 0; n < TOKENS; n++) {
    const token = `a${answer}t${n}`;
    sent.set(token, performance.now());
    response.write(`data: ${JSON.stringify({ choices: [{ delta: { content: `${token} ` } }] })}\n\n`);
    await new Promise((go) => setTimeout(go, 10));
  }
  response.end("data: [DONE]\n\n");
});
await new Promise((done) => model.listen(Number(port), "127.0.0.1", done));

const post = async (name, fields) => {
  const response = await fetch(`${base}/api/moat/threads/server_fns/${name}`, {
    method: "POST",
    headers: { cookie, "content-type": "application/x-www-form-urlencoded", origin: base },
    body: new URLSearchParams(fields),
  });
  if (!response.ok) throw new Error(`${name}: ${response.status} ${await response.text()}`);
  return response.json();
};

const first = [];
const later = [];
let ended = () => {};
const stream = await fetch(`${base}/live`, { headers: { cookie } });
(async () => {
  let text = "";
  for await (const bytes of stream.body.pipeThrough(new TextDecoderStream())) {
    const now = performance.now();
    text += bytes;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data:"));
      if (!data || event.startsWith("event: alive")) continue;
      const told = JSON.parse(data.slice(5)).event;
      if (told.kind === "answer.ended") ended();
      if (told.kind !== "answer.chunk") continue;
      for (const token of told.text.trim().split(" ")) {
        (token.endsWith("t0") ? first : later).push(now - sent.get(token));
      }
    }
  }
})().catch(() => {});

for (let round = 0; round < Number(rounds); round++) {
  const done = new Promise((go) => (ended = go));
  await post("start_thread", { client: crypto.randomUUID(), text: `bench ${round}` });
  await done;
}
const at = (list, part) => list.sort((a, b) => a - b)[Math.floor((list.length - 1) * part)];
const ms = (value) => value.toFixed(1).padStart(5);
console.log(`first token, from the model server to the stream, p50:    ${ms(at(first, 0.5))} ms on this machine (goal 5)`);
console.log(`every other token, batches of 25 ms included, p95:        ${ms(at(later, 0.95))} ms on this machine (goal 40)`);
process.exit(0);
