// What stands in an open chat stays true: far up, in another window, and while something is being typed.
import type { Page } from "@playwright/test";
import { cut, expect, test } from "../support/test";
import { firstHalf, MARKDOWN, release, whole } from "../support/model";
import { ask, awake, box, fresh, newcomer, rendered, said, send, signIn, textOf } from "../support/steps";

const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;

/** A chat of many messages, "said 1" to "said <n>", as somebody has who has used this for years. */
async function longChat(page: Page, title: string, n: number): Promise<void> {
  const messages = Array.from({ length: n }, (_, i) => ({
    id: uuid(i + 1),
    parent: i ? uuid(i) : null,
    role: i % 2 ? "assistant" : "user",
    text: `said ${i + 1}`,
    at: 1_700_000_000 + i,
  }));
  const thread = { id: uuid(0), title, created_at: 1_700_000_000, active_at: 1_700_100_000, messages };
  await page.goto("/import");
  const buffer = Buffer.from(JSON.stringify({ format: "moat", version: 1, threads: [thread] }));
  await page.locator("input[type=file]").setInputFiles({ name: "moat.json", mimeType: "application/json", buffer });
  await page.getByRole("button", { name: "Import" }).click();
  await expect(async () => {
    await page.goto("/chat");
    await page.getByRole("link", { name: title }).click({ timeout: 500 });
  }).toPass();
  await expect(said(page, "moat").last()).toContainText(`said ${n}`);
  await awake(page);
}

const messages = (page: Page) => page.getByRole("article");
const numbers = (page: Page) => messages(page).evaluateAll((all) => all.map((m) => Number(/said (\d+)/.exec(m.textContent ?? "")?.[1])));
const upTo = (n: number, from = 1) => Array.from({ length: n - from + 1 }, (_, i) => from + i);

/** To the top of a chat of so many messages. */
async function readAll(page: Page, n: number): Promise<void> {
  await expect(async () => {
    await page.getByRole("region", { name: "Messages" }).evaluate((element) => element.scrollBy(0, -100_000));
    expect(await messages(page).count()).toBe(n);
  }).toPass();
  expect(await numbers(page)).toEqual(upTo(n));
}

test("a hit of the search leads to its message, however far up, and from there to the newest", async ({ page }) => {
  await newcomer(page);
  await longChat(page, "Years of it", 400);
  await page.getByRole("searchbox", { name: "Search your chats" }).fill('"said 100"');
  await page.locator(".hit").first().click();
  const hit = messages(page).filter({ hasText: /said 100(?!\d)/ });
  await expect(hit).toHaveClass(/led-to/);
  await expect(hit).toBeInViewport();
  expect(await numbers(page)).toEqual(upTo(110, 61));
  // It is a page like any other: what is done there stays there.
  await messages(page).filter({ hasText: "said 98" }).getByRole("button", { name: "Good" }).click();
  await expect(messages(page).filter({ hasText: "said 98" }).getByRole("button", { name: "Good" })).toHaveAttribute("aria-pressed", "true");
  await expect(hit).toBeInViewport();
  await page.reload();
  await expect(hit).toBeInViewport();
  await page.getByRole("link", { name: "Newest messages" }).click();
  await expect(messages(page).last()).toContainText("said 400");
  // A message that is sent from far up is shown where it is.
  await page.goBack();
  await expect(hit).toBeInViewport();
  await send(page, "And now?");
  await expect(rendered(said(page, "moat").last())).toHaveText("You wrote: And now?");
});

test("without a script a hit of the search leads to its message", async ({ browser, page, baseURL }) => {
  await newcomer(page);
  await longChat(page, "Years of it", 200);
  const plain = await browser.newContext({ baseURL, javaScriptEnabled: false, storageState: await page.context().storageState() });
  const tab = await plain.newPage();
  await tab.goto(`/chat?q=${encodeURIComponent('"said 100"')}`);
  await tab.locator(".hit").first().click();
  await expect(messages(tab).filter({ hasText: /said 100(?!\d)/ })).toBeInViewport();
  await plain.close();
});

test("what stands above comes before somebody reaches it, in order, and stays true there", async ({ page, context }) => {
  await newcomer(page);
  await longChat(page, "Years of it", 400);
  const scroller = page.getByRole("region", { name: "Messages" });
  // Not at the top yet, and there is more above already.
  await scroller.evaluate((element) => (element.scrollTop = 500 + element.clientHeight - element.scrollHeight));
  await expect(messages(page)).toHaveCount(100);
  expect(await numbers(page)).toEqual(upTo(400, 301));
  await readAll(page, 400);
  await page.getByRole("button", { name: "To the newest" }).click();
  await expect(messages(page).last()).toBeInViewport();
  await expect(page.getByRole("button", { name: "To the newest" })).toBeHidden();
  // Another window does something far up.
  const tab = await context.newPage();
  await tab.goto(`${page.url()}?at=${await messages(page).nth(9).getAttribute("data-message")}`);
  await awake(tab);
  await messages(tab).filter({ hasText: /said 10(?!\d)/ }).getByRole("button", { name: "Good" }).click();
  await expect(messages(page).nth(9).getByRole("button", { name: "Good" })).toHaveAttribute("aria-pressed", "true");
  // And a version far up is chosen: one is still where one was.
  await messages(page).nth(10).getByText("Edit", { exact: true }).click();
  await page.getByRole("textbox", { name: "Edited text" }).fill("said otherwise");
  await page.getByRole("button", { name: "Send as a new version" }).click();
  await expect(rendered(said(page, "moat").last())).toHaveText("You wrote: said otherwise");
  await expect(messages(page)).toHaveCount(12);
  await messages(page).nth(10).getByRole("button", { name: "Previous version" }).click();
  await expect(messages(page).filter({ hasText: /said 11(?!\d)/ })).toBeInViewport();
  await expect(messages(page).filter({ hasText: /said 11(?!\d)/ })).toContainText("1 of 2");
});

test("what is taken back in one window is not sent by another, and what is added is sent once", async ({ page, context }) => {
  await newcomer(page);
  const key = fresh("together");
  await ask(page, `HOLD ${key}`);
  await expect(textOf(said(page, "moat"))).toHaveText(firstHalf(key));
  const tab = await context.newPage();
  await tab.goto(page.url());
  await awake(tab);
  for (const [window, text] of [[page, "One"], [tab, "Two"], [page, "Three"]] as const) {
    await box(window).fill(text);
    await box(window).press("Enter");
  }
  for (const window of [page, tab]) await expect(textOf(said(window, "You"))).toHaveText([`HOLD ${key}`, "One", "Two", "Three"]);
  await said(tab, "You").nth(1).getByRole("button", { name: "Discard" }).click();
  await expect(box(tab)).toBeFocused();
  await expect(textOf(said(page, "You"))).toHaveText([`HOLD ${key}`, "Two", "Three"]);
  await release(key);
  for (const window of [page, tab]) {
    await expect(rendered(said(window, "moat"))).toHaveText([whole(key), "You wrote: Two", "You wrote: Three"]);
    await expect(window.getByText("Waits until the answer is there.")).toHaveCount(0);
  }
});

test("what waits goes to the answer that it was written to, whichever branch is shown by then", async ({ page, context, complaints }) => {
  complaints.allow(cut);
  await newcomer(page);
  await ask(page, "First");
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: First");
  const key = fresh("branch");
  await send(page, `HOLD ${key}`);
  await expect(textOf(said(page, "moat").nth(1))).toHaveText(firstHalf(key));
  await box(page).fill("To the held one");
  await box(page).press("Enter");
  await expect(page.getByText("Waits until the answer is there.")).toHaveCount(1);
  await release(key);
  await expect(rendered(said(page, "moat"))).toHaveText(["You wrote: First", whole(key), "You wrote: To the held one"]);
  // Two windows: one turns to another branch while the other one, which has not heard of it, sends.
  const tab = await context.newPage();
  await tab.goto(page.url());
  await awake(tab);
  await tab.route("**/server_fns/open_thread", (route) => route.abort());
  await said(page, "You").nth(1).getByText("Edit", { exact: true }).click();
  await page.getByRole("textbox", { name: "Edited text" }).fill("Otherwise");
  await page.getByRole("button", { name: "Send as a new version" }).click();
  await expect(rendered(said(page, "moat"))).toHaveText(["You wrote: First", "You wrote: Otherwise"]);
  await send(tab, "Still here");
  await expect(rendered(said(page, "moat"))).toHaveText(["You wrote: First", whole(key), "You wrote: To the held one", "You wrote: Still here"]);
  await tab.unroute("**/server_fns/open_thread");
  await expect(rendered(said(tab, "moat"))).toHaveText(["You wrote: First", whole(key), "You wrote: To the held one", "You wrote: Still here"]);
  await expect(tab.locator("[data-unsent]")).toHaveCount(0);
});

test("what is typed into an open form is still there when its row is written anew", async ({ page, context }) => {
  await newcomer(page);
  await ask(page, "First");
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: First");
  const tab = await context.newPage();
  await tab.goto(page.url());
  await awake(tab);
  await said(page, "You").getByText("Edit", { exact: true }).click();
  await page.getByRole("textbox", { name: "Edited text" }).fill("Half a thou");
  // The other window makes a version of the same message and goes back: "1 of 2" changes the row. This one reads it then.
  let go = () => {};
  const back = new Promise<void>((done) => (go = done));
  await page.route("**/server_fns/open_thread", async (route) => {
    await back;
    await route.continue();
  });
  await said(tab, "You").getByText("Edit", { exact: true }).click();
  await tab.getByRole("textbox", { name: "Edited text" }).fill("Second");
  await tab.getByRole("button", { name: "Send as a new version" }).click();
  await expect(rendered(said(tab, "moat"))).toHaveText("You wrote: Second");
  await tab.getByRole("button", { name: "Previous version" }).click();
  await expect(said(tab, "You")).toContainText("1 of 2");
  go();
  await expect(said(page, "You")).toContainText("1 of 2");
  await expect(page.getByRole("textbox", { name: "Edited text" })).toHaveValue("Half a thou");
  await expect(page.getByRole("textbox", { name: "Edited text" })).toBeFocused();
  await page.getByLabel("Rename, instructions, delete").click();
  await page.getByLabel("Instructions for this chat").fill("Be bri");
  await page.keyboard.type("ef");
  await tab.getByLabel("Rename, instructions, delete").click();
  await tab.getByRole("textbox", { name: "Title" }).fill("Renamed meanwhile");
  await tab.getByRole("button", { name: "Rename" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Renamed meanwhile");
  await expect(page.getByLabel("Instructions for this chat")).toHaveValue("Be brief");
  await expect(page.getByLabel("Instructions for this chat")).toBeFocused();
  await page.keyboard.type(", always");
  await expect(page.getByLabel("Instructions for this chat")).toHaveValue("Be brief, always");
  await expect(page.getByRole("textbox", { name: "Title" })).toHaveValue("Renamed meanwhile");
});

test("what is typed into Edit is still there when another window makes a version of that message", async ({ page, context }) => {
  await newcomer(page);
  await ask(page, "First");
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: First");
  const tab = await context.newPage();
  await tab.goto(page.url());
  await awake(tab);
  const typed = page.getByRole("textbox", { name: "Edited text" });
  await said(page, "You").getByText("Edit", { exact: true }).click();
  await typed.fill("Half a thou");
  await said(tab, "You").getByText("Edit", { exact: true }).click();
  await tab.getByRole("textbox", { name: "Edited text" }).fill("Second");
  await tab.getByRole("button", { name: "Send as a new version" }).click();
  await expect(said(page, "You")).toContainText("2 of 2");
  await expect(typed).toHaveValue("Half a thou");
  await expect(typed).toBeFocused();
  await page.keyboard.type("ght");
  await page.getByRole("button", { name: "Send as a new version" }).click();
  for (const window of [page, tab]) {
    await expect(said(window, "You")).toContainText("3 of 3");
    await expect(rendered(said(window, "moat"))).toHaveText("You wrote: Half a thought");
    await expect(window.getByRole("textbox", { name: "Edited text" })).toBeHidden();
  }
});

test("code looks like code while it is being written", async ({ page }) => {
  await newcomer(page);
  const key = fresh("code");
  await ask(page, `HOLD ${key} CODE`);
  const code = said(page, "moat").locator(".streaming pre");
  await expect(code).toHaveText("fn main() {\n    let unfinished");
  await expect(said(page, "moat").locator(".streaming")).not.toContainText("```");
  await release(key);
  await expect(said(page, "moat").locator(".prose pre")).toContainText("let unfinished = 1;");
});

test("a message that arrived is not shown as lost because its confirmation was", async ({ page, complaints }) => {
  complaints.allow(cut);
  await newcomer(page);
  await ask(page, "First");
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: First");
  // Not for a moment either: it would be read aloud.
  await page.evaluate(() => {
    const alarms: string[] = ((window as unknown as { alarms: string[] }).alarms = []);
    const look = () => document.querySelectorAll("[data-unsent] [role=alert]").forEach((alarm) => alarms.push(alarm.textContent!));
    new MutationObserver(look).observe(document.querySelector("main")!, { childList: true, subtree: true });
  });
  await page.route("**/server_fns/send_message*", async (route) => {
    await route.fetch();
    await expect(rendered(said(page, "moat").nth(1))).toHaveText("You wrote: Second");
    await route.abort();
  });
  const failed = page.waitForEvent("requestfailed");
  await send(page, "Second");
  await failed;
  await page.unroute("**/server_fns/send_message*");
  await send(page, "Third");
  await expect(rendered(said(page, "moat"))).toHaveText(["You wrote: First", "You wrote: Second", "You wrote: Third"]);
  await expect(page.locator("[data-unsent]")).toHaveCount(0);
  expect(await page.evaluate(() => (window as unknown as { alarms: string[] }).alarms)).toEqual([]);
});

test("a window that reads far up stays there while another one sends, and one whose chat comes back says so", async ({ page, context }) => {
  await newcomer(page);
  await longChat(page, "Years of it", 200);
  const tab = await context.newPage();
  await page.getByRole("searchbox", { name: "Search your chats" }).fill('"said 50"');
  await expect(page.locator(".hit").first()).toBeVisible();
  await tab.goto(new URL((await page.locator(".hit").first().getAttribute("href")) ?? "", page.url()).href);
  await awake(tab);
  const hit = messages(tab).filter({ hasText: /said 50(?!\d)/ });
  await expect(hit).toBeInViewport();
  const key = fresh("elsewhere");
  await send(page, `HOLD ${key}`);
  await expect(textOf(said(page, "moat").last())).toHaveText(firstHalf(key));
  await send(page, "And then?");
  await release(key);
  await expect(rendered(said(page, "moat").last())).toHaveText("You wrote: And then?");
  await expect(hit).toBeInViewport();
  await expect(tab.locator("[data-unsent]")).toHaveCount(0);
  // Deleted elsewhere, and taken back there.
  await page.getByLabel("Rename, instructions, delete").click();
  await page.getByRole("button", { name: "Delete this chat" }).click();
  await expect(tab.getByRole("alert")).toContainText("This chat was deleted in another window.");
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(tab.getByRole("alert")).toHaveCount(0);
});

test("a window that may have missed something shows the newest, and what stands above is read anew", async ({ page, another, complaints }) => {
  complaints.allow(cut);
  const email = await newcomer(page);
  await longChat(page, "Years of it", 150);
  await readAll(page, 150);
  const early = await messages(page).nth(9).getAttribute("data-message");
  await page.getByRole("button", { name: "To the newest" }).click();
  // The stream ends, as it does when a server goes down. The next one tells nothing but that something was missed.
  let begin = () => {};
  const missed = new Promise<void>((done) => (begin = done));
  let streams = 0;
  await page.route("**/live?**", async (route) => {
    if (streams++ > 0) return route.abort();
    await missed;
    await route.fulfill({ contentType: "text/event-stream", body: 'id: 1\ndata: {"pos":1,"event":{"kind":"resync"}}\n\n' });
  });
  for (const hidden of [true, false]) {
    await page.evaluate((value) => {
      Object.defineProperty(document, "hidden", { value, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  }
  await expect.poll(() => streams).toBe(1);

  const other = await (await another()).newPage();
  await signIn(other, email);
  for (const [address, n] of [[`${page.url()}?at=${early}`, 10], [page.url(), 150]] as const) {
    await other.goto(address);
    await awake(other);
    const good = messages(other).filter({ hasText: new RegExp(`said ${n}(?!\\d)`) }).getByRole("button", { name: "Good" });
    await good.click();
    await expect(good).toHaveAttribute("aria-pressed", "true");
  }
  begin();
  await expect(messages(page)).toHaveCount(50);
  expect(await numbers(page)).toEqual(upTo(150, 101));
  await expect(messages(page).last()).toBeInViewport();
  await expect(messages(page).last().getByRole("button", { name: "Good" })).toHaveAttribute("aria-pressed", "true");
  await expect(page.getByRole("link", { name: "Earlier messages" })).toBeVisible();
  await readAll(page, 150);
  await expect(messages(page).nth(9).getByRole("button", { name: "Good" })).toHaveAttribute("aria-pressed", "true");
});

for (const plain of [false, true]) {
  test(`a message and a block of code are copied as they were written${plain ? ", also over plain http" : ""}`, async ({ page, context }) => {
    // Browsers have no clipboard for a page that came over plain http from another machine.
    if (plain) await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "clipboard", { value: undefined }));
    else await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await newcomer(page);
    await ask(page, "MARKDOWN");
    const answer = said(page, "moat");
    await expect(rendered(answer).locator("blockquote")).toBeVisible();
    expect(await page.evaluate(() => navigator.clipboard === undefined)).toBe(plain);
    const code = /```rust\n([^`]*)```/.exec(MARKDOWN)![1];
    for (const [button, text] of [[answer.locator(".code").getByRole("button", { name: "Copy" }), code], [answer.locator(".actions").getByRole("button", { name: "Copy" }), MARKDOWN]] as const) {
      await button.click();
      await expect(button, "it says so").toHaveAttribute("data-done");
      await expect(button).toBeFocused();
      await box(page).fill("");
      await page.keyboard.press("Control+V");
      expect((await box(page).inputValue()).trimEnd()).toBe(text.trimEnd());
    }
  });
}
