import AxeBuilder from "@axe-core/playwright";
import type { Locator, Page } from "@playwright/test";
import { expect, test } from "../support/test";
import { firstHalf, release, words } from "../support/model";
import { ask, awake, box, fresh, freshEmail, PASSWORD, rendered, said, newcomer, textOf } from "../support/steps";

/** Presses Tab until something has the focus. */
async function tabTo(page: Page, to: Locator): Promise<void> {
  for (let presses = 0; presses < 30; presses++) {
    if (await to.evaluate((element) => element === document.activeElement)) {
      await expect(to).toHaveCSS("outline-style", "solid");
      return;
    }
    await page.keyboard.press("Tab");
  }
  throw new Error("30 times Tab do not lead there");
}

test("with the keyboard alone somebody signs in, opens a chat and writes in it", async ({ page, another }) => {
  const other = await (await another()).newPage();
  const email = await newcomer(other);
  const path = await ask(other, "Opened by keys");
  await expect(rendered(said(other, "moat"))).toHaveText("You wrote: Opened by keys");

  await page.goto("/");
  await tabTo(page, page.getByRole("link", { name: "Sign in" }));
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL("/sign-in");
  await tabTo(page, page.getByLabel("E-mail"));
  await page.keyboard.type(email);
  await tabTo(page, page.getByLabel("Password"));
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL("/chat");
  await awake(page);

  await tabTo(page, page.getByRole("link", { name: "Opened by keys" }));
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(path);
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: Opened by keys");
  await tabTo(page, page.getByRole("region", { name: "Messages" }));
  await tabTo(page, box(page));
  await page.keyboard.type("First line");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("second line");
  await expect(box(page)).toHaveValue("First line\nsecond line");
  await expect(said(page, "You")).toHaveCount(1);
  await page.keyboard.press("Enter");
  await expect(box(page)).toHaveValue("");
  await expect(said(page, "moat")).toHaveCount(2);
  await expect(rendered(said(page, "You").nth(1))).toBeVisible();
  expect(await rendered(said(page, "You").nth(1)).innerText()).toBe("First line\nsecond line");
  // One goes on writing where one was.
  await expect(box(page)).toBeFocused();
});

test("Enter that ends the composition of a word does not send it", async ({ page }) => {
  await newcomer(page);
  await awake(page);
  await box(page).fill("かんじ");
  await box(page).evaluate((element) => {
    element.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true, cancelable: true }));
  });
  await expect(box(page)).toHaveValue("かんじ");
  await expect(page).toHaveURL("/chat");
});

const sizes = { "1440x900": { width: 1440, height: 900 }, "390x844": { width: 390, height: 844 } };
const pages = ["/", "/sign-in", "/sign-up", "/sign-in/link", "/sign-in/phone", "/sign-in/code", "/reset", "/sent", "/guide", "/guide/chats"];
const accountPages = ["/account", ...["address", "password", "phone", "sessions", "leave"].map((name) => `/account/${name}`)];

for (const theme of ["light", "dark"] as const) {
  for (const [name, viewport] of Object.entries(sizes)) {
    test.describe(`${theme}, ${name}`, () => {
      test.use({ viewport, colorScheme: theme });

      test(`pages can be read and used by everybody (${theme}, ${name})`, async ({ page, context, baseURL }) => {
        test.slow(); // twenty runs of axe
        await context.addCookies([{ name: "moat-theme", value: theme, url: baseURL! }]);
        for (const path of pages) {
          await page.goto(path);
          await expect(page.getByRole("heading", { level: 1 }).first()).toBeVisible();
          await expectUsable(page, path, theme);
        }
        await newcomer(page, freshEmail("axe"));
        for (const path of accountPages) {
          await page.goto(path);
          await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
          await expectUsable(page, path, theme);
        }
        await page.goto("/chat");
        await awake(page);
        await expectUsable(page, "/chat without chats", theme);

        await ask(page, "Please answer in MARKDOWN, and with all that there is to say about trees in general");
        await expect(rendered(said(page, "moat")).getByRole("table")).toBeVisible();
        await expectUsable(page, "/chat/:id with Markdown", theme);
        await page.getByLabel("Rename, instructions, delete").click();
        await expect(page.getByRole("button", { name: "Delete this chat" })).toBeVisible();
        await expectUsable(page, "/chat/:id with its menu", theme);

        const key = fresh("axe");
        await ask(page, `HOLD ${key}`);
        await expect(textOf(said(page, "moat"))).toHaveText(firstHalf(key));
        await expectUsable(page, "/chat/:id while an answer is written", theme);
        await release(key);
        await expect(rendered(said(page, "moat"))).toContainText("End of");

        await page.goto("/chat");
        await awake(page);
        await expectUsable(page, "/chat with chats", theme);
        await page.goto("/");
        await expect(page.getByRole("link", { name: "Go to your chats" })).toBeVisible();
        await expectUsable(page, "/ signed in", theme);
      });
    });
  }
}

/** No serious breach of WCAG 2 A and AA, nothing that has to be scrolled sideways, the right theme. */
async function expectUsable(page: Page, where: string, theme: string): Promise<void> {
  await expect(page.locator("html")).toHaveAttribute("data-theme", theme);
  const { violations } = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]).analyze();
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const found = grave.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.join(" ")} ${node.failureSummary}`));
  expect.soft(found, `${where}: what axe found`).toEqual([]);
  const { inner, wide, beyond } = await page.evaluate(() => {
    const inner = document.documentElement.clientWidth;
    const scrolls = (element: Element): boolean => {
      const parent = element.parentElement;
      return !!parent && (["auto", "scroll", "hidden"].includes(getComputedStyle(parent).overflowX) || scrolls(parent));
    };
    const beyond = [...document.body.querySelectorAll("*")]
      .filter((element) => element.getBoundingClientRect().right > inner + 1 && !scrolls(element))
      .map((element) => element.outerHTML.slice(0, 80));
    return { inner, wide: document.documentElement.scrollWidth, beyond };
  });
  expect.soft(beyond, `${where}: what sticks out at the right`).toEqual([]);
  expect.soft(wide, `${where}: nothing to scroll sideways`).toBeLessThanOrEqual(inner);
}

test("a long answer is followed to its end, and stays where somebody has scrolled to", async ({ page }) => {
  await page.setViewportSize({ width: 1000, height: 500 });
  await newcomer(page);
  const key = fresh("scroll");
  await ask(page, "WORDS 700");
  const answer = rendered(said(page, "moat"));
  await expect(answer).toHaveText(words(700), { timeout: 30_000 });
  const region = page.getByRole("region", { name: "Messages" });
  // The end of the answer is in sight.
  const fromEnd = () =>
    answer.first().evaluate((element) => {
      const frame = element.closest("[role=region]")!.getBoundingClientRect();
      return Math.round(element.getBoundingClientRect().bottom - frame.bottom);
    });
  expect(await fromEnd()).toBeLessThanOrEqual(0);

  await page.getByLabel("Your message").fill(`HOLD ${key}`);
  await page.getByLabel("Your message").press("Enter");
  await expect(textOf(said(page, "moat").nth(1))).toHaveText(firstHalf(key));
  await expect(said(page, "moat").nth(1)).toBeInViewport();
  await region.hover();
  await page.mouse.wheel(0, -5000);
  await expect(textOf(said(page, "You").first())).toBeInViewport();
  await release(key);
  await expect(rendered(said(page, "moat").nth(1))).toContainText("End of");
  await expect(textOf(said(page, "You").first())).toBeInViewport();
});
