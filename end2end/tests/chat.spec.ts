import { cut, expect, refused, test } from "../support/test";
import { asked, firstHalf, heal, healed, release, secondHalf, whole, words } from "../support/model";
import { ask, atRest, awake, box, chatList, fresh, rendered, said, send, sendButton, signIn, newcomer, signUp, status, stopButton, textOf } from "../support/steps";

test("somebody signs up, asks, watches the answer come in, and sees it rendered", async ({ page }) => {
  await page.goto("/");
  await expect(page).toHaveTitle("moat");
  await page.getByRole("link", { name: "Create an account" }).click();
  await expect(page).toHaveURL("/sign-up");
  await signUp(page);
  await expect(page).toHaveTitle("New chat · moat");
  await expect(page.getByText("Your chats will be listed here.")).toBeVisible();

  const key = fresh("tale");
  await ask(page, `Please HOLD ${key}`);
  await expect(page).toHaveTitle(`Please HOLD ${key} · moat`);
  const answer = said(page, "moat");
  await expect(textOf(answer)).toHaveText(firstHalf(key));
  await expect(status(page)).toHaveText("moat is writing…");
  await expect(stopButton(page)).toBeVisible();
  await expect(chatList(page)).toHaveText([`Please HOLD ${key}`]);
  await expect(chatList(page).getByRole("img", { name: "An answer is being written" })).toBeVisible();

  await release(key);
  await expect(rendered(answer)).toHaveText(whole(key));
  await expect(status(page)).toHaveText(atRest);
  await expect(stopButton(page)).toBeHidden();
  await expect(chatList(page).getByRole("img", { name: "An answer is being written" })).toBeHidden();

  await send(page, "Now MARKDOWN, please");
  const second = rendered(said(page, "moat").nth(1));
  await expect(second.getByRole("heading", { name: "Three kinds of trees" })).toBeVisible();
  await expect(second.getByRole("listitem")).toHaveText(["oak", "beech", "birch"]);
  await expect(second.locator("li strong")).toHaveText("beech");
  await expect(second.getByRole("row").nth(2).getByRole("cell")).toHaveText(["Beech", "46 m", "oval"]);
  await expect(second.locator("pre code")).toContainText("fn tall(trees: &[Tree]) -> usize {\n    trees.iter()");
  await expect(second.locator("pre code .hl-comment").first()).toContainText("Counts the tall ones.");
  await expect(second.getByRole("link", { name: "more about trees" })).toHaveAttribute("rel", /noopener/);
  await expect(second).not.toContainText("## Three");
  expect(await page.evaluate(() => "pwned" in window)).toBe(false);
  await expect(second.locator("script, img")).toHaveCount(0);

  await expect(page.getByRole("article").getByRole("heading", { level: 2, name: /^(You|moat)$/ })).toHaveText(["You", "moat", "You", "moat"]);
  await expect(textOf(said(page, "You"))).toHaveText([`Please HOLD ${key}`, "Now MARKDOWN, please"]);
});

test("a long answer arrives in order and whole", async ({ page }) => {
  await newcomer(page);
  await ask(page, "WORDS 400");
  await expect(rendered(said(page, "moat"))).toHaveText(words(400), { timeout: 30_000 });
  expect(await asked("WORDS 400")).toBe(1);
});

test("what is complete of an answer is rendered while the rest is still being written", async ({ page }) => {
  await newcomer(page);
  const key = fresh("blocks");
  await ask(page, `HOLD ${key} BLOCKS`);
  const answer = said(page, "moat");
  await expect(answer.locator(".streaming")).toHaveText("This *paragraph* is still");
  for (const again of [false, true]) {
    if (again) {
      await page.reload();
      await awake(page);
    }
    await expect(answer.getByRole("heading", { name: "Done already" })).toBeVisible();
    await expect(answer.getByRole("listitem")).toHaveText(["one", "two"]);
    await expect(answer.locator(".streaming")).toHaveText("This *paragraph* is still");
  }
  await release(key);
  await expect(answer.getByRole("paragraph")).toHaveText("This paragraph is still being written.");
  await expect(answer.locator(".streaming")).toHaveCount(0);
  await expect(answer.getByRole("heading", { name: "Done already" })).toHaveCount(1);
  await expect(answer.getByRole("listitem")).toHaveText(["one", "two"]);
});

test("reloading in mid-stream loses nothing", async ({ page }) => {
  await newcomer(page);
  const key = fresh("reload");
  await ask(page, `HOLD ${key}`);
  await expect(textOf(said(page, "moat"))).toHaveText(firstHalf(key));

  // What was written so far is in the page itself, before any script.
  const response = await page.reload();
  expect(await response!.text()).toContain(firstHalf(key));
  await awake(page);
  await expect(textOf(said(page, "moat"))).toHaveText(firstHalf(key));
  await expect(status(page)).toHaveText("moat is writing…");

  await release(key);
  await expect(rendered(said(page, "moat"))).toHaveText(whole(key));
  // Byte for byte: toHaveText forgives white space.
  expect(await rendered(said(page, "moat")).locator("p").evaluateAll((all) => all.map((p) => p.textContent))).toEqual([whole(key)]);
  await page.reload();
  expect(await rendered(said(page, "moat")).locator("p").evaluateAll((all) => all.map((p) => p.textContent))).toEqual([whole(key)]);
  await expect(said(page, "You")).toHaveCount(1);
});

test("closing the window in mid-stream does not end the answer", async ({ page, context }) => {
  await newcomer(page);
  const key = fresh("closed");
  const path = await ask(page, `HOLD ${key}`);
  await expect(textOf(said(page, "moat"))).toHaveText(firstHalf(key));
  await page.close();
  await release(key);

  const later = await context.newPage();
  await later.goto(path);
  await awake(later);
  await expect(rendered(said(later, "moat"))).toHaveText(whole(key));
});

test("a second tab and a second browser see the same answer to its end", async ({ page, context, another }) => {
  const email = await newcomer(page);
  const elsewhere = await (await another()).newPage();
  await signIn(elsewhere, email);
  await awake(elsewhere);

  const key = fresh("shared");
  const path = await ask(page, `HOLD ${key}`);
  // The new chat shows up by itself where the list is open.
  await expect(chatList(elsewhere)).toHaveText([`HOLD ${key}`]);
  await chatList(elsewhere).getByRole("link").click();
  await expect(elsewhere).toHaveURL(path);
  const tab = await context.newPage();
  await tab.goto(path);
  await awake(tab);

  const all = [page, tab, elsewhere];
  for (const one of all) await expect(textOf(said(one, "moat"))).toHaveText(firstHalf(key));
  await release(key);
  for (const one of all) await expect(rendered(said(one, "moat"))).toHaveText(whole(key));

  // And what is sent from one of them appears in the others.
  await send(tab, "Anything else?");
  for (const one of all) {
    await expect(textOf(said(one, "You"))).toHaveText([`HOLD ${key}`, "Anything else?"]);
    await expect(rendered(said(one, "moat"))).toHaveText([whole(key), "You wrote: Anything else?"]);
  }
});

test("an answer is stopped from another browser", async ({ page, another }) => {
  const email = await newcomer(page);
  const elsewhere = await (await another()).newPage();
  await signIn(elsewhere, email);
  const key = fresh("stopped");
  const path = await ask(page, `HOLD ${key}`);
  await elsewhere.goto(path);
  await awake(elsewhere);
  await expect(textOf(said(elsewhere, "moat"))).toHaveText(firstHalf(key));

  await stopButton(elsewhere).click();
  for (const one of [page, elsewhere]) {
    await expect(said(one, "moat")).toContainText("You stopped this answer.");
    await expect(rendered(said(one, "moat"))).toHaveText(firstHalf(key));
    await expect(status(one)).toHaveText(atRest);
    await expect(sendButton(one)).toBeEnabled();
  }
  // The rest does not come after all.
  await release(key);
  await send(page, "Thanks");
  await expect(rendered(said(page, "moat").nth(1))).toHaveText("You wrote: Thanks");
  await expect(said(page, "moat").first()).not.toContainText(secondHalf(key));
});

test("renaming and deleting show at once in the other window", async ({ page, context, complaints }) => {
  // The other window may be about to mark it as read.
  complaints.allow(refused(404));
  await newcomer(page);
  const path = await ask(page, "About lighthouses");
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: About lighthouses");
  const tab = await context.newPage();
  await tab.goto(path);
  await awake(tab);

  await page.getByLabel("Rename, instructions, delete").click();
  await page.getByRole("textbox", { name: "Title" }).fill("Lighthouses & ships");
  await page.getByRole("button", { name: "Rename" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Lighthouses & ships");
  await expect(tab.getByRole("heading", { level: 1 })).toHaveText("Lighthouses & ships");
  await expect(chatList(tab)).toHaveText(["Lighthouses & ships"]);
  await expect(tab).toHaveTitle("Lighthouses & ships · moat");

  await page.getByLabel("Rename, instructions, delete").click();
  await page.getByRole("button", { name: "Delete this chat" }).click();
  await expect(page).toHaveURL("/chat");
  await expect(chatList(page)).toHaveCount(0);
  await expect(tab.getByRole("alert")).toContainText("This chat was deleted in another window.");
  await expect(chatList(tab)).toHaveCount(0);
});

test("a message that could not be sent says so, survives a reload, and is then sent once", async ({ page, complaints }) => {
  complaints.allow(cut);
  await newcomer(page);
  await ask(page, "Hello");
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: Hello");

  const text = fresh("lost");
  await page.route("**/send_message", (route) => route.abort());
  await send(page, text);
  const pending = said(page, "You").nth(1);
  await expect(pending.getByRole("alert")).toContainText("Not sent.");
  await expect(textOf(pending)).toHaveText(text);

  await page.reload();
  await awake(page);
  await expect(pending.getByRole("alert")).toContainText("Not sent.");
  await expect(textOf(pending)).toHaveText(text);
  expect(await asked(text)).toBe(0);

  await page.unroute("**/send_message");
  await pending.getByRole("button", { name: "Send again" }).click();
  await expect(rendered(said(page, "moat").nth(1))).toHaveText(`You wrote: ${text}`);
  await expect(textOf(said(page, "You"))).toHaveText(["Hello", text]);
  await expect(page.getByText("Not sent.")).toHaveCount(0);
  await page.reload();
  await awake(page);
  await expect(textOf(said(page, "You"))).toHaveText(["Hello", text]);
  expect(await asked(text)).toBe(1);
});

test("a message whose confirmation was lost is not doubled by sending it again", async ({ page, complaints }) => {
  complaints.allow(cut);
  await newcomer(page);
  const path = await ask(page, "Hello");
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: Hello");

  // No events either, so that nothing but the person's second try tells the page. The request arrives, its answer does not.
  await page.route("**/live?**", (route) => route.abort());
  await page.route("**/open_thread", (route) => route.abort());
  await page.goto(path);
  await expect(page.locator("html")).toHaveAttribute("data-live", "connecting");
  const text = fresh("half");
  await page.route("**/send_message", async (route) => {
    await route.fetch();
    await route.abort();
  });
  await send(page, text);
  const pending = said(page, "You").nth(1);
  await expect(pending.getByRole("alert")).toContainText("Not sent.");

  await page.unroute("**/send_message");
  await page.unroute("**/open_thread");
  await pending.getByRole("button", { name: "Send again" }).click();
  await expect(page.getByText("Not sent.")).toHaveCount(0);
  await page.unroute("**/live?**");
  await page.goto(path);
  await awake(page);
  await expect(textOf(said(page, "You"))).toHaveText(["Hello", text]);
  await expect(rendered(said(page, "moat").nth(1))).toHaveText(`You wrote: ${text}`);
  expect(await asked(text)).toBe(1);
});

test("whoever sends something sees it, however far up they were reading, and stopping keeps the focus here", async ({ page }) => {
  await newcomer(page);
  await ask(page, "A line\n".repeat(80));
  await expect(rendered(said(page, "moat"))).toContainText("You wrote: A line");
  await expect(status(page)).toHaveText(atRest);
  const scroller = page.getByRole("region", { name: "Messages" });
  await scroller.evaluate((element) => element.scrollBy(0, -100_000));
  await expect(said(page, "You").first()).toBeInViewport();
  const key = fresh("seen");
  await send(page, `HOLD ${key} CODE`);
  await expect(said(page, "You").last()).toBeInViewport();
  await box(page).fill("Half a thou");
  await stopButton(page).focus();
  await expect(scroller).not.toBeFocused();
  await page.keyboard.press("Enter");
  await expect(said(page, "moat").last()).toContainText("You stopped this answer.");
  await expect(stopButton(page)).toHaveCount(0);
  await expect(scroller).toBeFocused();
  // It says nothing either that was not sent.
  await expect(box(page)).toHaveValue("Half a thou");
  await expect(said(page, "You")).toHaveCount(2);
  await release(key);
});

test("what was typed and not sent is still there after a reload", async ({ page }) => {
  await newcomer(page);
  await awake(page);
  await box(page).fill("A thought that is not finish");
  await page.reload();
  await awake(page);
  await expect(box(page)).toHaveValue("A thought that is not finish");
});

test("a double click on Send makes one chat", async ({ page }) => {
  await newcomer(page);
  await awake(page);
  const text = fresh("double");
  await box(page).fill(text);
  await sendButton(page).dblclick();
  await expect(page).toHaveURL(/\/chat\/.+/);
  await expect(rendered(said(page, "moat"))).toHaveText(`You wrote: ${text}`);
  await page.goto("/chat");
  await awake(page);
  await expect(chatList(page)).toHaveText([text]);
  expect(await asked(text)).toBe(1);
});

test("Enter pressed twice while the first is on its way makes one chat", async ({ page }) => {
  await newcomer(page);
  await awake(page);
  const text = fresh("twice");
  let sent = 0;
  let go = () => {};
  const pressed = new Promise<void>((done) => (go = done));
  await page.route("**/start_thread", async (route) => {
    sent += 1;
    await pressed;
    await route.continue();
  });
  await box(page).fill(text);
  const first = page.waitForRequest("**/start_thread");
  await box(page).press("Enter");
  await first;
  await box(page).press("Enter");
  go();
  await expect(page).toHaveURL(/\/chat\/.+/);
  await expect(rendered(said(page, "moat"))).toHaveText(`You wrote: ${text}`);
  await expect(textOf(said(page, "You"))).toHaveText([text]);
  expect(sent).toBe(1);
  await expect(chatList(page)).toHaveText([text]);
});

for (const reload of [false, true]) test(`a first message whose confirmation was lost makes one chat when it is sent again${reload ? " after a reload" : ""}`, async ({ page, complaints }) => {
  complaints.allow(cut);
  await newcomer(page);
  await awake(page);
  const text = fresh("again");
  await page.route("**/start_thread", async (route) => {
    await route.fetch();
    await route.abort();
  });
  await box(page).fill(text);
  await box(page).press("Enter");
  await expect(page.getByRole("alert")).toContainText("The server can't be reached right now.");
  await expect(box(page)).toHaveValue(text);
  await page.unroute("**/start_thread");
  if (reload) {
    await page.reload();
    await awake(page);
    await expect(box(page)).toHaveValue(text);
  }
  await box(page).press("Enter");
  await expect(page).toHaveURL(/\/chat\/.+/);
  await expect(rendered(said(page, "moat"))).toHaveText(`You wrote: ${text}`);
  await expect(chatList(page)).toHaveText([text]);
  expect(await asked(text)).toBe(1);
});

test("an answer that failed says why, and another try gives one", async ({ page }) => {
  await newcomer(page);
  const key = fresh("unwell");
  await ask(page, `FAIL 500 ${key}`);
  const answer = said(page, "moat");
  await expect(answer).toContainText("The model server failed (status 500).");
  await expect(status(page)).toHaveText(atRest);
  await heal(key);
  await answer.first().getByRole("button", { name: "Try again" }).click();
  await expect(rendered(said(page, "moat").last())).toHaveText(healed(key));
  await expect(said(page, "You")).toHaveCount(1);
  await page.reload();
  await expect(rendered(said(page, "moat").last())).toHaveText(healed(key));
});

test("an answer that breaks off keeps what there was and says so", async ({ page }) => {
  await newcomer(page);
  await ask(page, "CUT this one");
  await expect(said(page, "moat")).toContainText("The connection to the model server broke off in the middle of the answer.");
  await expect(rendered(said(page, "moat"))).toHaveText("This answer will not reach its");
  await expect(page.getByRole("button", { name: "Try again" })).toBeVisible();
});

test("a link out of the chat that forgets to say so leads to the page all the same", async ({ page }) => {
  await newcomer(page);
  await awake(page);
  await page.evaluate(() => {
    const link = Object.assign(document.createElement("a"), { href: "/guide/chats", textContent: "elsewhere" });
    document.querySelector("main")!.prepend(link);
  });
  await page.getByRole("link", { name: "elsewhere" }).click();
  await expect(page.getByRole("article").getByRole("heading", { level: 1 })).toBeVisible();
});

test("where no stream comes through, a chat asks for what there is, and where nothing answers it says since when", async ({ page, complaints }) => {
  test.slow();
  complaints.allow(cut);
  // Something on the way that holds a stream back for as long as it is open.
  let through = true;
  await page.route("**/live?**", (route) => {
    if (!through) return route.abort();
    return route.request().url().includes("once") ? route.continue() : undefined;
  });
  await newcomer(page);
  const mark = page.locator(".live-mark").first();
  await expect(mark).toHaveAttribute("aria-label", "Up to date every few seconds", { timeout: 30_000 });
  await box(page).fill("Can you hear me");
  await sendButton(page).click();
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: Can you hear me", { timeout: 30_000 });
  through = false;
  await expect(page.getByText(/^Not up to date since \d\d:\d\d\. Trying again\.$/)).toBeVisible({ timeout: 40_000 });
  await expect(mark).toHaveAttribute("aria-label", "Not connected");
  await page.unroute("**/live?**");
  await expect(page.getByText(/^Caught up/)).toBeVisible({ timeout: 40_000 });
  await expect(page.getByText(/^Not up to date since/)).toHaveCount(0);
});

test("a window that was open while the database was restored goes on from there", async ({ page, another, complaints }) => {
  complaints.allow(cut);
  const email = await newcomer(page);
  const path = await ask(page, "Before the disaster");
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: Before the disaster");
  const thread = path.split("/").pop()!;

  // What a server says after a restore: your place is not of this feed, go on from an earlier one; then new events.
  let streams = 0;
  const events = ['id: 1\ndata: {"pos":1,"event":{"kind":"resync"}}\n\n', `id: 2\ndata: {"pos":2,"event":{"kind":"thread.changed","thread":"${thread}"}}\n\n`];
  let second = () => {};
  const renamed = new Promise<void>((go) => (second = go));
  await page.route("**/live?**", async (route) => {
    const n = streams++;
    if (n === 1) await renamed;
    if (n > 1) return route.abort();
    await route.fulfill({ contentType: "text/event-stream", body: `retry: 50\n${events[n]}` });
  });
  // The stream of before ends, as it does when a server goes down.
  await page.evaluate(() => Object.defineProperty(document, "hidden", { value: true, configurable: true }) && document.dispatchEvent(new Event("visibilitychange")));
  await page.evaluate(() => Object.defineProperty(document, "hidden", { value: false, configurable: true }) && document.dispatchEvent(new Event("visibilitychange")));
  await expect.poll(() => streams).toBeGreaterThan(1);

  const other = await (await another()).newPage();
  await signIn(other, email);
  await other.goto(path);
  await other.getByLabel("Rename, instructions, delete").click();
  await other.getByRole("textbox", { name: "Title" }).fill("After the restore");
  await other.getByRole("button", { name: "Rename" }).click();
  await expect(other.getByRole("heading", { level: 1 })).toHaveText("After the restore");
  second();
  await expect(chatList(page)).toHaveText(["After the restore"]);
});

test("a message that is sent while an answer is written waits its turn, can be edited, and is sent once", async ({ page }) => {
  await newcomer(page);
  const key = fresh("queue");
  await ask(page, `HOLD ${key}`);
  await expect(textOf(said(page, "moat"))).toHaveText(firstHalf(key));
  for (const text of ["And then?", "A slip", "Last of all"]) {
    await box(page).fill(text);
    await box(page).press("Enter");
    await expect(box(page)).toHaveValue("");
  }
  await expect(page.getByText("Waits until the answer is there.")).toHaveCount(3);
  await said(page, "You").nth(2).getByRole("button", { name: "Edit" }).click();
  await expect(box(page)).toHaveValue("A slip");
  await expect(box(page)).toBeFocused();
  await box(page).fill("Put right");
  await box(page).press("Enter");
  // What waits is there after a reload, in its order.
  await page.reload();
  await awake(page);
  await expect(textOf(said(page, "You"))).toHaveText([`HOLD ${key}`, "And then?", "Last of all", "Put right"]);
  await release(key);
  await expect(rendered(said(page, "moat"))).toHaveText([whole(key), "You wrote: And then?", "You wrote: Last of all", "You wrote: Put right"]);
  await expect(page.getByText("Waits until the answer is there.")).toHaveCount(0);
  expect(await asked("And then?")).toBe(1);
});

test("sending now stops the answer that a message waits for", async ({ page }) => {
  await newcomer(page);
  const key = fresh("now");
  await ask(page, `HOLD ${key}`);
  await expect(textOf(said(page, "moat"))).toHaveText(firstHalf(key));
  await box(page).fill("Never mind");
  await box(page).press("Enter");
  await page.getByRole("button", { name: "Stop the answer and send now" }).click();
  await expect(rendered(said(page, "moat").nth(1))).toHaveText("You wrote: Never mind");
  await expect(said(page, "moat").first()).toContainText("You stopped this answer.");
  await release(key);
});

for (const script of [true, false]) {
  test.describe(script ? "with a script, the tree" : "without a script, the tree", () => {
    test.use({ javaScriptEnabled: script });

    test("an edit is a version beside the old one, and the one that was chosen is shown from then on", async ({ page }) => {
      const key = fresh("versions");
      await newcomer(page);
      await box(page).fill(`First ${key}`);
      await sendButton(page).click();
      const answer = async (text: string) =>
        expect(async () => {
          if (!script) await page.reload();
          await expect(rendered(said(page, "moat"))).toHaveText(`You wrote: ${text}`, { timeout: script ? 5000 : 300 });
        }).toPass();
      await answer(`First ${key}`);
      await said(page, "You").getByText("Edit", { exact: true }).click();
      await page.getByRole("textbox", { name: "Edited text" }).fill(`Second ${key}`);
      await page.getByRole("button", { name: "Send as a new version" }).click();
      await answer(`Second ${key}`);
      await expect(said(page, "You").getByText("2 of 2")).toBeVisible();
      // As somebody who was led to the second one: the choice must outlive a reload of that address.
      if (script) {
        await page.goto(await said(page, "You").getByRole("button", { name: "Previous version" }).evaluate((button) => {
          const id = button.closest("[data-message]")!.getAttribute("data-message");
          return `${location.pathname}?at=${id}`;
        }));
        await expect(page.getByRole("img", { name: "Live" })).toBeVisible();
      }
      await page.getByRole("button", { name: "Previous version" }).click();
      await answer(`First ${key}`);
      await expect(said(page, "You").getByText("1 of 2")).toBeVisible();
      // The focus stays among the versions.
      if (script) {
        const held = () => page.evaluate(() => document.activeElement?.matches(".versions button, .scroller"));
        await expect.poll(held).toBe(true);
      }
      await page.reload();
      await answer(`First ${key}`);
      await said(page, "moat").getByRole("button", { name: "Again" }).click();
      await expect(async () => {
        if (!script) await page.reload();
        await expect(said(page, "moat").getByText("2 of 2")).toBeVisible({ timeout: script ? 5000 : 300 });
      }).toPass();
      await said(page, "moat").getByRole("button", { name: "Good" }).click();
      await expect(said(page, "moat").getByRole("button", { name: "Good" })).toHaveAttribute("aria-pressed", "true");
      const path = new URL(page.url()).pathname;
      await said(page, "moat").getByRole("button", { name: "Fork" }).click();
      await expect(page).not.toHaveURL(path);
      await expect(textOf(said(page, "You"))).toHaveText(`First ${key}`);
      await expect(page.getByText("2 of 2")).toHaveCount(0);
    });
  });
}
