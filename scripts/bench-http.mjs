// The median time of some requests, sent in turns by one client over one connection each. Called by scripts/bench; prints
// one number of milliseconds a request.
//   node scripts/bench-http.mjs <rounds> <<< '[{ "url": "…", "token": "…", "place": "…", "body": { … } }, …]'
import { Agent, request } from "node:http";
import { readFileSync } from "node:fs";

const rounds = Number(process.argv[2]);
const asked = JSON.parse(readFileSync(0, "utf8")).map((one) => ({ ...one, agent: new Agent({ keepAlive: true, maxSockets: 1 }), took: [] }));
const WARM = 6; // Postgres plans a prepared statement anew the first five times

const ask = ({ url, token, place, body, agent }) =>
  new Promise((done, fail) => {
    const data = new URLSearchParams(body).toString();
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/x-www-form-urlencoded", "content-length": data.length };
    const began = performance.now();
    if (place) headers["x-moat-place"] = place;
    const sent = request(url, { method: "POST", agent, headers }, (response) => {
      if (response.statusCode !== 200) fail(new Error(`${url}: ${response.statusCode}`));
      response.resume().once("end", () => done(performance.now() - began));
    });
    sent.once("error", fail).end(data);
  });

for (let round = -WARM; round < rounds; round++) {
  for (const one of asked) {
    const took = await ask(one);
    if (round >= 0) one.took.push(took);
  }
}
for (const { took } of asked) console.log(took.sort((a, b) => a - b)[Math.floor(took.length / 2)].toFixed(3));
process.exit(0);
