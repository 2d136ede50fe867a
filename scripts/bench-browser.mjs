// What somebody feels in the browser: Chromium, a moat in front of it, and a model server of ours that says a hundred tokens a
// second. Called by scripts/bench.
//   node scripts/bench-browser.mjs <moat's address> <port for the model server> <e-mail> <password> <chats of 50, 200 and 10,000 messages>
import { createServer } from "node:http";
import { createRequire } from "node:module";

const { chromium } = createRequire(new URL("../end2end/package.json", import.meta.url))("@playwright/test");
const [base, port, email, password, chats] = process.argv.slice(2);
const [small, middle, large] = chats.split(",");
const SENDS = 40;
const LOADED = 2000;
const SCREENS = 20;

// "LONG" is answered for 30 seconds, in the Markdown that models write; anything else in a word.
const block = ["## A", " heading", "\n\n", "- one", " of", " **them**", "\n- ", "`another`", "\n\n", ..."it goes on for a while so that a paragraph comes of it ".match(/\S+ /g), "\n\n", "```rust\n", "let x", " = 1;", "\n", "```\n\n"];
const model = createServer(async (request, response) => {
  let body = "";
  for await (const bytes of request) body += bytes;
  const asked = JSON.parse(body).messages.at(-1).content;
  response.writeHead(200, { "content-type": "text/event-stream" });
  const say = (content) => response.write(`data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`);
  const began = performance.now();
  for (let n = 0; asked === "LONG" && n < 3000; n++) {
    say(block[n % block.length]);
    // By the clock, or the timer's own slowness would make it fewer.
    await new Promise((go) => setTimeout(go, Math.max(0, began + n * 10 - performance.now())));
  }
  say("Fine.");
  response.end("data: [DONE]\n\n");
});
await new Promise((done) => model.listen(Number(port), "127.0.0.1", done));

const browser = await chromium.launch({
  executablePath: process.env.MOAT_CHROMIUM || undefined,
  args: [...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
});

async function open(chat) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  // Anew for each page: a token lasts some minutes.
  const signed = await fetch(`${base}/api/moat/accounts/server_fns/sign_in`, { method: "POST", body: new URLSearchParams({ email, password }), redirect: "manual" });
  const cookie = signed.headers.getSetCookie().find((one) => one.startsWith("__Host-moat-access="))?.split(";")[0];
  // Chromium takes a cookie named __Host- over https only; the server reads it from the header.
  await context.setExtraHTTPHeaders({ cookie });
  await context.addInitScript(() => {
    const bench = (window.bench = { sends: [], tasks: [] });
    new PerformanceObserver((list) => bench.tasks.push(...list.getEntries().map((task) => task.duration))).observe({ type: "longtask" });
    // From the key to the frame after the one in which the message stands: that one has been painted then.
    addEventListener(
      "keydown",
      (event) => {
        if (event.key !== "Enter") return;
        const pressed = event.timeStamp;
        const before = document.querySelectorAll("[data-unsent]").length;
        const look = new MutationObserver(() => {
          if (document.querySelectorAll("[data-unsent]").length <= before) return;
          look.disconnect();
          requestAnimationFrame(() => requestAnimationFrame(() => bench.sends.push(performance.now() - pressed)));
        });
        look.observe(document.querySelector(".messages"), { childList: true, subtree: true });
      },
      true,
    );
  });
  const page = await context.newPage();
  page.setDefaultTimeout(120_000);
  await page.goto(`${base}/chat/${chat}`);
  await page.locator("html[data-live=live]").waitFor();
  return page;
}
const answered = (page) =>
  page.waitForFunction(() => {
    const last = [...document.querySelectorAll("article")].at(-1);
    const writes = [...document.querySelectorAll(".status button")].length > 0;
    return !document.querySelector("[data-unsent]") && last?.dataset.role === "assistant" && !writes;
  }, null);

async function send(page, text) {
  await page.bringToFront();
  const before = await page.evaluate(() => window.bench.sends.length);
  // By a selector: a role is looked for by the style of every element there is.
  const box = page.locator("#composer textarea");
  await box.fill(text);
  await box.press("Enter");
  await page.waitForFunction((before) => window.bench.sends.length > before, before);
}
const at = (list, part) => [...list].sort((a, b) => a - b)[Math.floor((list.length - 1) * part)];
const figure = (what, number, goal) => console.log(`${what.padEnd(58)} ${String(number).padStart(9)}   (${goal})`);

async function load(page, many) {
  const count = () => page.locator("article").count();
  for (let now = await count(); now < many; now = await count()) {
    // Again where the first was refused or still under way.
    await page.waitForFunction(
      (now) => document.querySelectorAll("article").length > now || (document.querySelector(".earlier a[href*=before]")?.click(), false),
      now,
      { polling: 100 },
    );
  }
}

// In turns, so that both meet the same noise of the machine.
const [few, many] = [await open(small), await open(large)];
await load(many, LOADED);
for (let turn = 0; turn < SENDS; turn++) {
  for (const page of [few, many]) {
    await send(page, `message ${turn}`);
    await answered(page);
  }
}
const sends = async (page) => (await page.evaluate(() => window.bench)).sends;
const [short, long] = [await sends(few), await sends(many)];
figure("Enter to the painted message, chat of 50, p95 of 40:", at(short, 0.95).toFixed(0), `ms, goal 50; p50 ${at(short, 0.5).toFixed(0)}`);
figure("the same with 2,000 of 10,000 messages loaded / 50, p50:", (at(long, 0.5) / at(short, 0.5)).toFixed(2), `goal 1.5; p95 ${at(long, 0.95).toFixed(0)} ms, p50 ${at(long, 0.5).toFixed(0)}`);

await many.bringToFront();
const frames = await many.evaluate(
  (screens) =>
    new Promise((done) => {
      const scroller = document.querySelector(".scroller");
      const took = [];
      let left = screens * 30; // a thirtieth of a screen a frame
      let last;
      const step = (now) => {
        if (last !== undefined) took.push(now - last);
        last = now;
        scroller.scrollBy(0, -scroller.clientHeight / 30);
        if (left-- > 0) requestAnimationFrame(step);
        else done(took);
      };
      requestAnimationFrame(step);
    }),
  SCREENS,
);
figure("frames over 50 ms while 20 screens scroll there:", frames.filter((took) => took > 50).length, `of ${frames.length}, goal 0; longest ${Math.max(...frames).toFixed(0)} ms`);
await many.context().close();
await few.context().close();

const page = await open(middle);
await load(page, 200);
await page.evaluate(() => (window.bench.tasks.length = 0));
const began = performance.now();
await send(page, "LONG");
await answered(page);
const { tasks } = await page.evaluate(() => window.bench);
figure("longest task while an answer comes in, 200 messages loaded:", tasks.length > 0 ? Math.max(...tasks).toFixed(0) : "under 50", `ms in ${((performance.now() - began) / 1000).toFixed(0)} s at 100 tokens a second; goal: none over 50, there were ${tasks.length}`);
await browser.close();
process.exit(0);
