// All that a browser sends, receives and keeps, and every spelling of the ids that none of it may hold.
import { execFileSync } from "node:child_process";
import { expect, type BrowserContext } from "@playwright/test";

/** Everything that goes out of and into a browser, and all that it keeps. */
export function record(context: BrowserContext): () => Promise<[string, string][]> {
  const seen: [string, string][] = [];
  const reading: Promise<void>[] = [];
  const headers = (all: Record<string, string>) => Object.entries(all).map(([name, value]) => `${name}: ${value}`).join("\n");
  context.on("request", (request) => {
    seen.push(["address", request.url()], ["headers sent", headers(request.headers())], ["sent", request.postData() ?? ""]);
  });
  context.on("response", (response) => {
    reading.push(response.allHeaders().then((all) => void seen.push(["headers got", headers(all)]), () => {}));
    if (/\/(live\?|widget-live|pkg\/)/.test(response.url())) return;
    // A redirect has no body, and a page that was left has none any more.
    reading.push(response.text().then((body) => void seen.push(["got", body]), () => {}));
  });
  // The event stream has no end: what comes in is read where the page reads it.
  void context.addInitScript(() => {
    const all: string[] = ((window as unknown as { heard: string[] }).heard = []);
    const Real = window.EventSource;
    window.EventSource = class extends Real {
      constructor(url: string | URL, options?: EventSourceInit) {
        super(url, options);
        this.addEventListener("message", (event) => all.push(String((event as MessageEvent).data)));
      }
    };
  });
  return async () => {
    await Promise.all(reading);
    for (const page of context.pages()) {
      const kept = await page.evaluate(() => ({
        dom: document.documentElement.outerHTML,
        local: JSON.stringify({ ...localStorage }),
        session: JSON.stringify({ ...sessionStorage }),
        cookies: document.cookie,
        heard: ((window as unknown as { heard?: string[] }).heard ?? []).join("\n"),
      }));
      seen.push(...Object.entries(kept));
    }
    seen.push(["cookies", JSON.stringify((await context.cookies()).filter((cookie) => !cookie.httpOnly))]);
    return seen;
  };
}

/** Ids of all workspaces there are, in every spelling that they could travel in. */
export function spellings(): string[] {
  const env = { ...process.env, MOAT_DATA: process.env.MOAT_E2E_DATA };
  const url = execFileSync(process.env.MOAT_BIN!, ["db", "url", "--role", "super"], { env }).toString().trim();
  const ids = execFileSync("psql", ["-qXAt", url, "-c", "select id from app.workspaces"]).toString().trim().split("\n");
  expect(ids.length).toBeGreaterThan(1);
  return ids.flatMap((id) => {
    const bare = id.replaceAll("-", "");
    const bytes = Buffer.from(bare, "hex");
    const base64 = [bytes, ...[0, 1, 2].map((shift) => Buffer.from(" ".repeat(shift) + id))].map((part) => part.toString("base64"));
    // Of a text inside another the first and the last letters depend on what stands beside it.
    const inner = base64.map((text, n) => (n === 0 ? text.replace(/=+$/, "") : text.slice(4, -4)));
    return [id, id.toUpperCase(), bare, id.replaceAll("-", "%2D"), ...inner, ...inner.map((text) => text.replaceAll("+", "-").replaceAll("/", "_"))];
  });
}
