// Without a mouse: the keys, the sheet that lists them, and the whole app by Tab and Enter.
import AxeBuilder from "@axe-core/playwright";
import type { Locator, Page } from "@playwright/test";
import { expect, test } from "../support/test";
import { firstHalf, release } from "../support/model";
import { ask, awake, box, chatList, fresh, freshEmail, newcomer, PASSWORD, rendered, said, status, stopButton, textOf } from "../support/steps";

const sheet = (page: Page) => page.getByRole("dialog", { name: "Keys" });
const search = (page: Page) => page.getByRole("searchbox", { name: "Search your chats" });
const line = (page: Page, title: string) => chatList(page).getByRole("link", { name: title, exact: true });
const here = (page: Page) => page.evaluate(() => document.activeElement?.outerHTML.slice(0, 80));
const leave = (page: Page) => page.evaluate(() => (document.activeElement as HTMLElement).blur());

async function chat(page: Page, text: string): Promise<string> {
  const path = await ask(page, text);
  await expect(rendered(said(page, "moat")).first()).toHaveText(`You wrote: ${text}`);
  return path;
}

/** What each key of the sheet does. One that is missing here, or does nothing, makes the story red. */
const effects: Record<string, (page: Page, key: string, path: string) => Promise<void>> = {
  "Ctrl+K": async (page, _, path) => {
    await box(page).focus();
    await page.keyboard.press("Control+k");
    await expect(search(page)).toBeFocused();
    expect(new URL(page.url()).pathname).toBe(path);
  },
  c: async (page, key) => {
    await page.keyboard.press(key);
    await expect(page).toHaveURL("/chat");
    await expect(page.getByRole("heading", { name: "What would you like to know?" })).toBeVisible();
    await expect(box(page)).toBeFocused();
  },
  j: async (page, key) => {
    await page.keyboard.press(key);
    await expect(line(page, "Middle")).toBeFocused();
    await page.keyboard.press(key);
    await expect(line(page, "Oldest")).toBeFocused();
    await page.keyboard.press("Enter");
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Oldest");
  },
  k: async (page, key) => {
    await line(page, "Oldest").focus();
    await page.keyboard.press(key);
    await expect(line(page, "Middle")).toBeFocused();
  },
  e: async (page, key) => {
    await line(page, "Middle").focus();
    await page.keyboard.press(key);
    await expect(chatList(page)).toHaveText(["Newest", "Oldest"]);
    await expect(line(page, "Oldest")).toBeFocused();
    await page.keyboard.press("z");
    await expect(chatList(page)).toHaveText(["Newest", "Middle", "Oldest"]);
    await expect(line(page, "Middle")).toBeFocused();
  },
  z: async (page, key) => {
    await leave(page);
    await page.keyboard.press("e");
    await expect(page).toHaveURL("/chat");
    await expect(chatList(page)).toHaveText(["Middle", "Oldest"]);
    await expect(page.getByRole("button", { name: "Undo" })).toBeFocused();
    // What was done is heard from a live part of the page; told once more at the button, it would be heard twice.
    await expect(page.locator("[aria-live]").filter({ hasText: "Archived: Newest" })).toHaveCount(1);
    await expect(page.getByRole("button", { name: "Undo" })).toHaveAccessibleDescription("");
    await page.keyboard.press(key);
    await expect(chatList(page)).toHaveText(["Newest", "Middle", "Oldest"]);
    await expect(line(page, "Newest")).toBeFocused();
    await expect(page.getByRole("button", { name: "Undo" })).toHaveCount(0);
  },
  r: async (page, key) => {
    await page.keyboard.press(key);
    await expect(box(page)).toBeFocused();
    await expect(box(page)).toHaveValue("");
  },
  s: async (page, key) => {
    const held = fresh("keystop");
    await box(page).fill(`HOLD ${held}`);
    await box(page).press("Enter");
    await expect(textOf(said(page, "moat").last())).toHaveText(firstHalf(held));
    await page.keyboard.press("Escape");
    await page.keyboard.press(key);
    await expect(said(page, "moat").last()).toContainText("You stopped this answer.");
    await release(held);
  },
  "[": async (page, key) => {
    await twoVersions(page);
    await page.keyboard.press(key);
    await expect(rendered(said(page, "You").first())).toHaveText("Newest");
    await expect(page.getByText("1 of 2")).toBeVisible();
  },
  "]": async (page, key) => {
    await twoVersions(page);
    await page.keyboard.press("[");
    await expect(page.getByText("1 of 2")).toBeVisible();
    await page.keyboard.press(key);
    await expect(page.getByText("2 of 2")).toBeVisible();
    await expect(rendered(said(page, "You").first())).toHaveText("Newest, changed");
  },
  Esc: async (page) => {
    await box(page).focus();
    await page.keyboard.press("Escape");
    await expect(box(page)).not.toBeFocused();
    const menu = page.getByLabel("Rename, instructions, delete");
    await menu.click();
    await page.getByRole("textbox", { name: "Title" }).focus();
    await page.keyboard.press("Escape");
    await expect(page.getByRole("textbox", { name: "Title" })).toBeHidden();
    await expect(menu).toBeFocused();
  },
  "?": async (page, key) => {
    await line(page, "Oldest").focus();
    await page.keyboard.press(key);
    await expect(sheet(page)).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(sheet(page)).toBeHidden();
    await expect(line(page, "Oldest")).toBeFocused();
  },
};

async function twoVersions(page: Page): Promise<void> {
  const mine = said(page, "You").first();
  if ((await page.getByRole("button", { name: "Next version" }).count()) > 0) {
    await mine.getByRole("button", { name: "Next version" }).click();
    await expect(mine.getByText("2 of 2")).toBeVisible();
    return leave(page);
  }
  await mine.getByText("Edit", { exact: true }).click();
  await page.getByRole("textbox", { name: "Edited text" }).fill("Newest, changed");
  await page.getByRole("button", { name: "Send as a new version" }).click();
  await expect(mine.getByText("2 of 2")).toBeVisible();
  await expect(rendered(said(page, "moat")).first()).toHaveText("You wrote: Newest, changed");
  await leave(page);
}

test("each key on the sheet does what the sheet says", async ({ page }) => {
  test.slow();
  await newcomer(page);
  for (const text of ["Oldest", "Middle"]) await chat(page, text);
  const path = await chat(page, "Newest");
  await page.getByRole("link", { name: "Keys", exact: true }).click();
  const keys = await sheet(page).locator("tbody td:first-child code:first-child").allTextContents();
  const said = await sheet(page).locator("tbody td:nth-child(2)").allTextContents();
  expect(keys.length).toBeGreaterThan(8);
  expect(Object.keys(effects).sort()).toEqual([...keys].sort());
  await page.keyboard.press("Escape");
  for (const [n, key] of keys.entries()) {
    await test.step(`${key}: ${said[n]}`, async () => {
      await page.goto(path);
      await awake(page);
      await expect(chatList(page)).toHaveCount(3);
      await effects[key](page, key === "Ctrl+K" ? "Control+k" : key, path);
    });
  }
});

test("where somebody types, holds another key or has something open, a key is a letter", async ({ page }) => {
  await newcomer(page);
  const path = await chat(page, "Stays");
  const letters = "cjkezrs[]?";
  await box(page).pressSequentially(letters);
  await expect(box(page)).toHaveValue(letters);
  await search(page).pressSequentially(letters);
  await expect(search(page)).toHaveValue(letters);
  await search(page).fill("");
  await leave(page);
  for (const held of ["Alt", "Meta"]) for (const key of ["e", "c", "r"]) await page.keyboard.press(`${held}+${key}`);
  for (const key of ["C", "E", "R"]) await page.keyboard.press(key);
  await page.evaluate(() => {
    for (const key of ["e", "c", "?"]) {
      document.body.dispatchEvent(new KeyboardEvent("keydown", { key, isComposing: true, bubbles: true, cancelable: true }));
    }
  });
  await page.getByLabel("Rename, instructions, delete").click();
  for (const key of "cer?") await page.keyboard.press(key);
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "Keys", exact: true }).click();
  for (const key of "cerj") await page.keyboard.press(key);
  await page.keyboard.press("Control+k");
  await expect(sheet(page)).toBeVisible();
  await page.keyboard.press("Escape");
  // Whatever any of them had done would have come by now: this one comes after them.
  await page.keyboard.press("r");
  await expect(box(page)).toBeFocused();
  expect(new URL(page.url()).pathname).toBe(path);
  await expect(chatList(page)).toHaveText(["Stays"]);
  await expect(sheet(page)).toBeHidden();
});

test("letters go into the box after a click, and archive nothing", async ({ page }) => {
  await newcomer(page);
  for (const text of ["One", "Two"]) {
    await ask(page, text);
    await page.goto("/chat");
  }
  await awake(page);
  await chatList(page).getByRole("link", { name: "One" }).click();
  await expect(said(page, "You")).toBeVisible();
  await page.keyboard.type("hello there, e");
  await expect(box(page)).toHaveValue("hello there, e");
  await box(page).fill("");
  await page.getByRole("region", { name: "Messages" }).click();
  await page.keyboard.type("eh");
  await expect(box(page)).toHaveValue("eh");
  await expect(chatList(page)).toHaveText(["Two", "One"]);
  // Escape gives the keys back.
  await page.keyboard.press("Escape");
  await page.keyboard.press("e");
  await expect(chatList(page)).toHaveText(["Two"]);
});

test("keys of one letter are switched off for all windows, and on again", async ({ page, context }) => {
  await newcomer(page);
  const tab = await context.newPage();
  await tab.goto("/chat");
  await awake(tab);
  await awake(page);
  const button = page.getByRole("link", { name: "Keys", exact: true });
  await button.focus();
  await page.keyboard.press("Enter");
  await expect(sheet(page).getByRole("button", { name: "Close" })).toBeFocused();
  await sheet(page).getByRole("button", { name: "Turn keys of one letter off" }).click();
  await expect(sheet(page).getByRole("button", { name: "Turn keys of one letter on" })).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(button).toBeFocused();

  const dead = async (one: Page) => {
    await leave(one);
    const before = await here(one);
    for (const key of "?rcj") await one.keyboard.press(key);
    expect(await here(one)).toBe(before);
    await expect(sheet(one)).toBeHidden();
    await one.keyboard.press("Control+k");
    await expect(search(one)).toBeFocused();
  };
  await dead(page);
  await dead(tab);
  await page.reload();
  await awake(page);
  await dead(page);
  await button.click();
  await expect(sheet(page)).toBeVisible();

  await tab.goto("/account");
  await expect(tab.getByText("Off in this browser.")).toBeVisible();
  await tab.getByRole("button", { name: "Turn keys of one letter on" }).click();
  await expect(tab.getByText("On in this browser.")).toBeVisible();
  await page.keyboard.press("Escape");
  await leave(page);
  await page.keyboard.press("r");
  await expect(box(page)).toBeFocused();
});

test.describe("without a script", () => {
  test.use({ javaScriptEnabled: false });

  test("the keys are a page of the guide, and the switch a form of the account", async ({ page }) => {
    await newcomer(page);
    await page.getByRole("link", { name: "Keys", exact: true }).click();
    await expect(page).toHaveURL("/guide/keys");
    await expect(page.getByRole("row").filter({ hasText: "New chat" })).toBeVisible();
    await page.goto("/account");
    await page.getByRole("button", { name: "Turn keys of one letter off" }).click();
    await expect(page).toHaveURL("/account");
    await expect(page.getByText("Off in this browser.")).toBeVisible();
    await page.reload();
    await expect(page.getByText("Off in this browser.")).toBeVisible();
  });
});

for (const theme of ["light", "dark"] as const) {
  for (const width of [390, 1440]) {
    test.describe(`${theme}, ${width}`, () => {
      test.use({ viewport: { width, height: 844 }, colorScheme: theme });

      test(`the sheet can be read by everybody (${theme}, ${width})`, async ({ page }) => {
        await newcomer(page);
        await awake(page);
        await page.getByRole("link", { name: "Keys", exact: true }).click();
        await expect(sheet(page)).toBeVisible();
        expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
        const { x, width: wide } = (await sheet(page).boundingBox())!;
        expect(x).toBeGreaterThanOrEqual(0);
        expect(x + wide).toBeLessThanOrEqual(width);
        await page.screenshot({ path: `../target/end2end/keys-${theme}-${width}.png` });
        // Tab stays inside.
        for (let n = 0; n < 6; n++) {
          await page.keyboard.press("Tab");
          expect(await page.evaluate(() => document.activeElement === document.body || !!document.activeElement?.closest("dialog"))).toBe(true);
        }
      });
    });
  }
}

test("on a phone an open chat gives way to the list that one asks for", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await newcomer(page);
  await chat(page, "Behind");
  await page.keyboard.press("Control+k");
  await expect(page).toHaveURL("/chat");
  await expect(search(page)).toBeFocused();
  await line(page, "Behind").click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Behind");
  await leave(page);
  await page.keyboard.press("Escape");
  await page.keyboard.press("j");
  await expect(line(page, "Behind")).toBeFocused();
});

/** Presses Tab until something has the focus, and sees the ring around it. */
async function tabTo(page: Page, to: Locator, back = false): Promise<void> {
  for (let presses = 0; presses < 40; presses++) {
    if (await to.evaluate((element) => element === document.activeElement).catch(() => false)) {
      await expect(to).toHaveCSS("outline-style", "solid");
      await expect(to).toBeInViewport();
      return;
    }
    await page.keyboard.press(back ? "Shift+Tab" : "Tab");
  }
  throw new Error("40 times Tab do not lead there");
}

test("by keyboard alone: sign in, ask, edit, choose a version, archive and take back", async ({ page, another }) => {
  test.slow();
  const other = await (await another()).newPage();
  const email = await newcomer(other, freshEmail("keys"));
  await other.close();

  await page.goto("/sign-in");
  await tabTo(page, page.getByLabel("E-mail"));
  await page.keyboard.type(email);
  await tabTo(page, page.getByLabel("Password"));
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL("/chat");
  await awake(page);

  // Past the list at once.
  await page.keyboard.press("Tab");
  const skip = page.getByRole("link", { name: "Skip to the box to write in" });
  await expect(skip).toBeFocused();
  await expect(skip).toBeInViewport();
  await page.keyboard.press("Enter");
  await expect(box(page)).toBeFocused();
  await page.keyboard.type("Which trees are tall");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/chat\/[0-9a-f-]{36}$/);
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: Which trees are tall");

  // A message is opened to be changed; Escape leaves it as it is.
  const edit = page.getByText("Edit", { exact: true });
  const edited = page.getByRole("textbox", { name: "Edited text" });
  await tabTo(page, edit);
  await page.keyboard.press("Enter");
  await expect(edited).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(edited).toBeHidden();
  await expect(edit).toBeFocused();
  const remove = page.locator("summary").filter({ hasText: "Delete" }).first();
  await tabTo(page, remove, true);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await expect(page.getByRole("button", { name: "Delete this message for good" })).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(remove).toBeFocused();

  await tabTo(page, edit);
  await page.keyboard.press("Enter");
  await expect(edited).toBeFocused();
  await page.keyboard.press("End");
  await page.keyboard.type(", and which are not");
  await page.keyboard.press("Tab");
  await expect(page.getByRole("button", { name: "Send as a new version" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: Which trees are tall, and which are not");
  await expect(page.getByRole("button", { name: "Previous version" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByText("1 of 2")).toBeVisible();
  await expect(rendered(said(page, "You"))).toHaveText("Which trees are tall");
  const held = () => page.evaluate(() => document.activeElement?.matches(".versions button, .scroller"));
  await expect.poll(held).toBe(true);

  // The menu: opened, left, opened; then the chat goes to the archive and comes back.
  const menu = page.getByLabel("Rename, instructions, delete");
  await tabTo(page, menu, true);
  await page.keyboard.press("Enter");
  await tabTo(page, page.getByRole("textbox", { name: "Title" }));
  await page.keyboard.press("Escape");
  await expect(menu).toBeFocused();
  await page.keyboard.press("Enter");
  await tabTo(page, page.getByRole("textbox", { name: "Title" }));
  await page.keyboard.type("Trees");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(/Trees$/);
  await expect(menu).toBeFocused();
  await page.keyboard.press("e");
  await expect(page).toHaveURL("/chat");
  await expect(chatList(page)).toHaveCount(0);
  await expect(page.getByRole("button", { name: "Undo" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(chatList(page)).toHaveCount(1);
  await expect(chatList(page).getByRole("link")).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/chat\/[0-9a-f-]{36}$/);
});

test("a phone whose keyboard is open shows the box and the last message", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await newcomer(page);
  await expect(page.locator("meta[name=viewport]")).toHaveAttribute("content", /interactive-widget=resizes-content/);
  await ask(page, "WORDS 200");
  await expect(textOf(said(page, "moat"))).toContainText("word200", { timeout: 30_000 });
  await expect(rendered(said(page, "moat"))).toContainText("word200");
  for (const [path, height] of [[page.url(), 400], [page.url(), 320], ["/chat", 400]] as const) {
    await page.goto(path);
    await awake(page);
    await page.setViewportSize({ width: 390, height });
    await box(page).fill("One line\nand another\nand a third\nand a fourth\nand a fifth");
    const frame = (await box(page).boundingBox())!;
    expect(frame.y).toBeGreaterThanOrEqual(0);
    expect(frame.y + frame.height).toBeLessThanOrEqual(height);
    await page.screenshot({ path: `../target/end2end/keyboard-${height}-${path === "/chat" ? "new" : "open"}.png` });
    if (path === "/chat") continue;
    const end = await said(page, "moat").last().locator(".prose").evaluate((prose) => {
      const range = document.createRange();
      range.selectNodeContents(prose);
      const lines = [...range.getClientRects()];
      const frame = prose.closest(".scroller")!.getBoundingClientRect();
      return { last: lines.at(-1)!.bottom, top: frame.top, bottom: frame.bottom };
    });
    expect(end.last).toBeLessThanOrEqual(end.bottom);
    expect(end.last).toBeGreaterThan(end.top + 20);
  }
});

test("a screen reader hears once that an answer is written and once that it is there", async ({ page }) => {
  await newcomer(page);
  const first = fresh("heard");
  await ask(page, `HOLD ${first} BLOCKS`);
  await expect(stopButton(page)).toBeVisible();
  // All that is read aloud by itself in an open chat.
  await expect(page.getByRole("main").locator("[aria-live], [role=status], [role=log], [role=alert], output")).toHaveCount(1);
  await page.evaluate(() => {
    const region = document.querySelector("main [role=status]")!;
    const heard: string[] = ((window as unknown as { heard: string[] }).heard = [region.textContent!]);
    new MutationObserver(() => heard.push(region.textContent!)).observe(region, { childList: true, subtree: true, characterData: true });
  });
  await release(first);
  await expect(rendered(said(page, "moat").first())).toContainText("being written.");
  await expect(status(page)).toHaveText("The answer has ended.");
  const second = fresh("heard");
  await box(page).fill(`HOLD ${second}`);
  await box(page).press("Enter");
  await expect(textOf(said(page, "moat").nth(1))).toHaveText(firstHalf(second));
  await release(second);
  await expect(status(page)).toHaveText("The answer has ended.");
  const heard = await page.evaluate(() => (window as unknown as { heard: string[] }).heard);
  expect(heard).toEqual(["moat is writing…", "The answer has ended.", "moat is writing…", "The answer has ended."]);
  // Who opens the chat later is told nothing.
  await page.reload();
  await awake(page);
  await expect(status(page)).toHaveText("");
});
