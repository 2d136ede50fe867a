// The list of chats: finding an old one, sorting them, many at once, and taking them elsewhere.
import AxeBuilder from "@axe-core/playwright";
import { readFileSync } from "node:fs";
import { expect, test } from "../support/test";
import { firstHalf, release } from "../support/model";
import { ask, awake, chatList, fresh, newcomer, rendered, said, textOf } from "../support/steps";

const search = (page: import("@playwright/test").Page) => page.getByRole("searchbox", { name: "Search your chats" });
const menu = (page: import("@playwright/test").Page) => page.getByLabel("Rename, instructions, delete");

async function answered(page: import("@playwright/test").Page, text: string): Promise<string> {
  const path = await ask(page, text);
  await expect(rendered(said(page, "moat"))).toHaveText(`You wrote: ${text}`);
  return path;
}

test("an old chat is found by a word in it, as one types", async ({ page }) => {
  await newcomer(page);
  const word = fresh("Zaffre").replace("-", "");
  const path = await ask(page, `Paint <b>it</b> in ${word} blue`);
  await expect(rendered(said(page, "moat"))).toContainText(word);
  await answered(page, "Something else");
  await search(page).pressSequentially(word.slice(0, -2).toUpperCase());
  const hit = page.getByRole("navigation", { name: "Chats" }).getByRole("link").filter({ has: page.locator("mark") });
  await expect(hit).toHaveCount(1);
  await expect(hit).toContainText("<b>it</b>");
  await expect(hit.locator("mark").first()).toHaveText(word);
  await expect(page.getByText("1 chat found.")).toBeVisible();
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  await hit.click();
  await expect(page).toHaveURL(new RegExp(`${path}`));
  await search(page).fill("absentword");
  await expect(page.getByText("No chat has these words.")).toBeVisible();
  await search(page).fill("");
  await expect(chatList(page)).toHaveCount(2);
});

test("of two answers to a search the one to what stands in the box is shown", async ({ page }) => {
  await newcomer(page);
  await answered(page, "alpha one");
  await answered(page, "beta two");
  let first = true;
  let late = () => {};
  const wanted = new Promise<void>((done) => (late = done));
  await page.route("**/show_found", async (route) => {
    if (!first) return route.continue();
    first = false;
    const response = await route.fetch();
    await wanted;
    await route.fulfill({ response });
  });
  const asked = page.waitForRequest("**/show_found");
  const answer = page.waitForEvent("requestfinished", (request) => request.url().endsWith("/show_found") && request.postData()!.includes("alpha"));
  await search(page).fill("alpha");
  await asked;
  await search(page).fill("beta two");
  await expect(page.locator(".hit-title")).toHaveText("beta two");
  await page.evaluate(() => {
    const shown: string[] = ((window as unknown as { shown: string[] }).shown = []);
    const hits = document.querySelector(".hits")!;
    new MutationObserver(() => shown.push(hits.querySelector(".hit-title")?.textContent ?? "")).observe(hits, { childList: true, subtree: true });
  });
  late();
  await answer;
  // What is asked now is answered after that one, which must not have been seen in between.
  await search(page).fill("neither of them");
  await expect(page.getByText("No chat has these words.")).toBeVisible();
  expect(await page.evaluate(() => (window as unknown as { shown: string[] }).shown)).toEqual([""]);
});

test("pinning, archiving, deleting and taking back show at once in the other window", async ({ page, context }) => {
  await newcomer(page);
  await answered(page, "First");
  await answered(page, "Second");
  const tab = await context.newPage();
  await tab.goto("/chat");
  await awake(tab);
  await expect(chatList(tab)).toHaveText(["Second", "First"]);

  await page.getByRole("link", { name: "First" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("First");
  await menu(page).click();
  await tab.getByRole("link", { name: "First" }).focus();
  await page.getByRole("button", { name: "Pin", exact: true }).click();
  await expect(chatList(tab)).toHaveText(["First", "Second"]);
  await expect(tab.getByRole("link", { name: "First" }), "a line that moves keeps the focus").toBeFocused();
  await expect(tab.getByRole("heading", { name: "Pinned" })).toBeVisible();

  await menu(page).click();
  await page.getByRole("button", { name: "Archive", exact: true }).click();
  await expect(page).toHaveURL("/chat");
  await expect(chatList(tab)).toHaveText(["Second"]);
  await tab.goto("/chat?view=archived");
  await awake(tab);
  await expect(chatList(tab)).toHaveText(["First"]);
  await tab.goto("/chat");
  await awake(tab);

  await page.getByRole("link", { name: "Second" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Second");
  await menu(page).click();
  await page.getByRole("button", { name: "Delete this chat" }).click();
  await expect(chatList(tab)).toHaveCount(0);
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(chatList(page)).toHaveText(["Second"]);
  await expect(page.getByRole("link", { name: "Second" })).toBeFocused();
  await expect(page.getByRole("button", { name: "Undo" })).toHaveCount(0);
  await expect(chatList(tab)).toHaveText(["Second"]);
});

for (const width of [390, 1440]) {
  test(`a chat that goes by its menu can be taken back, and one goes on from the next line (${width})`, async ({ page }) => {
    await page.setViewportSize({ width, height: 844 });
    await newcomer(page);
    for (const text of ["Oldest", "Middle", "Newest"]) await answered(page, text);
    await page.goto("/chat");
    await awake(page);
    for (const [button, told] of [["Archive", "Archived: Middle"], ["Delete this chat", "Deleted: Middle"]]) {
      await page.getByRole("link", { name: "Middle" }).click();
      await expect(page.getByRole("heading", { level: 1 })).toHaveText("Middle");
      // What a screen reader says: whatever comes into those parts that were live before.
      await page.evaluate(() => {
        const heard: string[] = ((window as unknown as { heard: string[] }).heard = []);
        const hear = (records: MutationRecord[]) => records.forEach((record) => record.addedNodes.forEach((node) => heard.push(node.textContent ?? "")));
        for (const live of document.querySelectorAll(".side [aria-live], .side [role=status], .side [role=alert]")) {
          new MutationObserver(hear).observe(live, { childList: true, subtree: true });
        }
        const alarms = (node: Node) => (node instanceof Element ? [node, ...node.querySelectorAll("*")] : []).filter((one) => one.role === "alert" && one.checkVisibility());
        const alarm = (records: MutationRecord[]) => records.forEach((record) => record.addedNodes.forEach((node) => heard.push(...alarms(node).map((one) => one.textContent ?? ""))));
        new MutationObserver(alarm).observe(document.querySelector("main")!, { childList: true, subtree: true });
      });
      await menu(page).click();
      await page.getByRole("button", { name: button, exact: true }).press("Enter");
      await expect(page).toHaveURL("/chat");
      await expect(chatList(page)).toHaveText(["Newest", "Oldest"]);
      await expect(page.getByText(told)).toBeVisible();
      await expect(page.getByRole("link", { name: "Oldest" })).toBeFocused();
      const heard = await page.evaluate(() => (window as unknown as { heard: string[] }).heard);
      expect(heard).toEqual([`${told}Undo`]);
      expect((await new AxeBuilder({ page }).include(".side").analyze()).violations).toEqual([]);
      await page.getByRole("button", { name: "Undo" }).press("Enter");
      await expect(chatList(page)).toHaveText(["Newest", "Middle", "Oldest"]);
      await expect(page.getByRole("link", { name: "Middle" })).toBeFocused();
      await expect(page.getByRole("button", { name: "Undo" })).toHaveCount(0);
    }
    // What the last line leaves behind is the way back.
    for (const title of ["Newest", "Middle", "Oldest"]) {
      await page.getByRole("link", { name: title }).click();
      await expect(page.getByRole("heading", { level: 1 })).toHaveText(title);
      await menu(page).click();
      await page.getByRole("button", { name: "Archive", exact: true }).press("Enter");
      await expect(page.getByText(`Archived: ${title}`)).toBeVisible();
    }
    await expect(page.getByRole("button", { name: "Undo" })).toBeFocused();
  });
}

test("a chat that could not be archived by its menu stays open, with the reason", async ({ page, complaints }) => {
  complaints.allow(/net::ERR_/);
  await newcomer(page);
  const path = await answered(page, "Stays here");
  await page.route("**/*do=file", (route) => route.abort());
  await menu(page).click();
  await page.getByRole("button", { name: "Archive", exact: true }).click();
  await expect(page.getByRole("alert")).toContainText("The server can't be reached right now.");
  await expect(page).toHaveURL(path);
  await expect(page.getByRole("button", { name: "Undo" })).toHaveCount(0);
});

test("an answer that ends while nobody looks is unread until somebody does", async ({ page, context }) => {
  await newcomer(page);
  const unread = (one: import("@playwright/test").Page) => one.getByLabel("Unread", { exact: true });
  const path = await answered(page, "Read at once");
  const tab = await context.newPage();
  await tab.goto("/chat");
  await awake(tab);
  await expect(unread(tab)).toHaveCount(0);

  // Asked, and left before it was answered.
  const key = fresh("left");
  const left = await ask(page, `HOLD ${key}`);
  await expect(textOf(said(page, "moat"))).toHaveText(firstHalf(key));
  await page.goto(path);
  await awake(page);
  await release(key);
  const marked = (one: import("@playwright/test").Page) => chatList(one).filter({ has: unread(one) });
  for (const one of [page, tab]) await expect(marked(one)).toHaveText([`HOLD ${key}`]);
  // Not for a moment only: what is asked next is heard later.
  await answered(page, "Something else");
  for (const one of [page, tab]) await expect(marked(one)).toHaveText([`HOLD ${key}`]);
  await page.goto(left);
  await awake(page);
  await expect(unread(tab)).toHaveCount(0);

  await page.goto(path);
  await awake(page);
  await menu(page).click();
  await page.getByRole("button", { name: "Mark unread" }).click();
  await expect(page).toHaveURL("/chat");
  await expect(unread(tab)).toHaveCount(1);
  await page.goto(path);
  await awake(page);
  await expect(unread(tab)).toHaveCount(0);
});

test("a line that could not be read again is tried until it is", async ({ page, context, complaints }) => {
  complaints.allow(/net::ERR_/);
  await newcomer(page);
  const path = await answered(page, "Old name");
  const tab = await context.newPage();
  await tab.goto("/chat");
  await awake(tab);
  let cut = 0;
  await tab.route("**/show_row", (route) => (cut++ === 0 ? route.abort() : route.continue()));
  await page.goto(path);
  await menu(page).click();
  await page.getByRole("textbox", { name: "Title" }).fill("New name");
  await page.getByRole("button", { name: "Rename" }).click();
  await expect(chatList(tab)).toHaveText(["New name"]);
  expect(cut).toBeGreaterThan(1);
});

for (const script of [true, false]) {
  test.describe(script ? "with a script" : "without a script", () => {
    test.use({ javaScriptEnabled: script });

    test(`many chats are archived at once (${script ? "script" : "plain"})`, async ({ page, another }) => {
      const maker = await (await another({ javaScriptEnabled: true })).newPage();
      const email = await newcomer(maker);
      for (const text of ["One", "Two", "Three"]) await answered(maker, text);
      const { signIn } = await import("../support/steps");
      await signIn(page, email);
      await page.goto("/chat?select=1");
      await page.getByRole("checkbox", { name: "One" }).check();
      await page.getByRole("checkbox", { name: "Three" }).check();
      await page.getByRole("button", { name: "Archive", exact: true }).click();
      await expect(chatList(page)).toHaveText(["Two"]);
      await page.goto("/chat?view=archived");
      await expect(chatList(page)).toHaveText(["Three", "One"]);
      await page.goto("/chat?q=two");
      await expect(page.locator(".hit-title mark")).toHaveText("Two");
    });
  });
}

test("what somebody exports somebody else can import", async ({ page, another }) => {
  await newcomer(page);
  await answered(page, "Take this along");
  await page.getByLabel("Other lists").click();
  await page.getByRole("link", { name: "Import and export…" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Import and export");
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "All chats as JSON" }).click()]);
  const json = readFileSync((await file.path())!);

  const other = await (await another()).newPage();
  await newcomer(other);
  await other.goto("/import");
  await other.getByLabel("File").setInputFiles({ name: "moat.json", mimeType: "application/json", buffer: json });
  await other.getByRole("button", { name: "Import", exact: true }).click();
  await expect(async () => {
    await other.goto("/import");
    await expect(other.getByText("1 new chat with 2 messages, 0 brought up to date, 0 already here.")).toBeVisible({ timeout: 200 });
    await expect(other.getByText("Done", { exact: true })).toBeVisible({ timeout: 200 });
  }).toPass();
  await other.goto("/chat");
  await other.getByRole("link", { name: "Take this along" }).click();
  await expect(rendered(said(other, "moat"))).toHaveText("You wrote: Take this along");
});

test("a folder is made, a chat moved into it, and its own list shows it", async ({ page }) => {
  await newcomer(page);
  const path = await answered(page, "About taxes");
  await page.goto("/folders");
  await page.getByLabel("Name").fill("Taxes");
  await page.getByLabel("Instructions").fill("Answer like an accountant.");
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  await page.getByRole("button", { name: "Make folder" }).click();
  await expect(page.getByRole("link", { name: "Taxes", exact: true })).toBeVisible();
  await page.goto(path);
  await menu(page).click();
  await page.getByRole("link", { name: "Move" }).click();
  await page.getByRole("button", { name: "Taxes" }).click();
  await expect(page).toHaveURL(path);
  await page.getByLabel("Other lists").click();
  await page.getByRole("link", { name: "Taxes", exact: true }).click();
  await expect(chatList(page)).toHaveText(["About taxes"]);
  await page.goto("/chat?view=unread");
  await expect(page.getByText("Nothing is unread.")).toBeVisible();
});

test("the list with everything open has nothing that axe finds", async ({ page }) => {
  await newcomer(page);
  await answered(page, "One thing");
  await page.goto("/chat?select=1");
  await awake(page);
  await page.getByLabel("Other lists").click();
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
});
