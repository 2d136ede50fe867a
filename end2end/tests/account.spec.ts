import type { Page } from "@playwright/test";
import { expect, refused, test } from "../support/test";
import { ask, awake, box, freshEmail, newcomer, PASSWORD, rendered, said } from "../support/steps";

/** A field's message, as a screen reader ties it to the field. */
async function expectAt(page: Page, label: string, message: string): Promise<void> {
  const field = page.getByLabel(label, { exact: true });
  await expect(field).toHaveAccessibleDescription(message);
  await expect(field).toHaveAttribute("aria-invalid", "true");
  await expect(page.getByText(message)).toBeVisible();
}

for (const script of [true, false]) {
  test.describe(script ? "with a script" : "without a script", () => {
    test.use({ javaScriptEnabled: script });
    test.beforeEach(({ complaints }) => complaints.allow(refused(400)));

    test("a wrong sign-in says so at the field and keeps the address", async ({ page, another }) => {
      const email = await newcomer(await (await another({ javaScriptEnabled: script })).newPage());
      for (const [address, password] of [[email, "not the password"], [freshEmail("nobody"), PASSWORD]]) {
        await page.goto("/sign-in?next=%2Fguide");
        await page.getByLabel("E-mail").fill(address);
        await page.getByLabel("Password").fill(password);
        await page.getByRole("button", { name: "Sign in" }).click();
        await expectAt(page, "Password", "The address or the password is wrong.");
        await expect(page.getByLabel("E-mail")).toHaveValue(address);
      }
      // And the right ones lead to where it was meant to go.
      await page.getByLabel("E-mail").fill(email);
      await page.getByLabel("Password").fill(PASSWORD);
      await page.getByRole("button", { name: "Sign in" }).click();
      await expect(page).toHaveURL("/guide");
    });

    test("an address that is taken says so at the field and keeps the address", async ({ page, another }) => {
      const email = await newcomer(await (await another({ javaScriptEnabled: script })).newPage());
      await page.goto("/sign-up");
      await page.getByLabel("E-mail").fill(email.toUpperCase());
      await page.getByLabel("Password").fill(PASSWORD);
      await page.getByRole("button", { name: "Create account" }).click();
      await expectAt(page, "E-mail", "This address has an account already. Sign in instead.");
      await expect(page.getByLabel("E-mail")).toHaveValue(email.toUpperCase());
      await expect(page).toHaveURL(/\/sign-up/);
    });

    test("a short password is refused at the field and the address is kept", async ({ page }) => {
      await page.goto("/sign-up");
      await expect(page.getByLabel("Password")).toHaveAccessibleDescription("At least 10 characters.");
      const email = freshEmail();
      await page.getByLabel("E-mail").fill(email);
      // Ten for the browser, which counts halves of these, and five for the server.
      await page.getByLabel("Password").fill("🦀🏰🌊🌳🔑");
      await page.getByRole("button", { name: "Create account" }).click();
      await expectAt(page, "Password", "Use at least 10 characters.");
      await expect(page.getByLabel("E-mail")).toHaveValue(email);

      // The browser itself holds back what is shorter still.
      await page.getByLabel("Password").fill("");
      await page.getByLabel("Password").pressSequentially("short");
      await page.getByRole("button", { name: "Create account" }).click();
      await expect(page.locator("input:invalid")).toHaveAttribute("name", "password");

      await page.getByLabel("E-mail").fill("ada@example");
      await page.getByLabel("Password").fill(PASSWORD);
      await page.getByRole("button", { name: "Create account" }).click();
      await expectAt(page, "E-mail", "This is no e-mail address.");
      await expect(page.getByLabel("E-mail")).toHaveValue("ada@example");

      await page.getByLabel("E-mail").fill(email);
      await page.getByLabel("Password").fill(PASSWORD);
      await page.getByRole("button", { name: "Create account" }).click();
      await expect(page).toHaveURL("/chat");
    });
  });
}

test("the theme is painted from the first response on, and stays", async ({ page, context }) => {
  await page.emulateMedia({ colorScheme: "light" });
  await newcomer(page);
  await awake(page);
  const html = page.locator("html");
  const lightness = () =>
    page.evaluate(() => {
      const canvas = document.createElement("canvas").getContext("2d")!;
      canvas.fillStyle = getComputedStyle(document.documentElement).backgroundColor;
      canvas.fillRect(0, 0, 1, 1);
      return canvas.getImageData(0, 0, 1, 1).data[0];
    });
  await expect(html).toHaveAttribute("data-theme", "system");
  expect(await lightness()).toBeGreaterThan(230);
  await page.emulateMedia({ colorScheme: "dark" });
  expect(await lightness()).toBeLessThan(40);

  for (const [press, theme, next] of [
    ["Theme: as the system. Switch to light", "light", "Theme: light. Switch to dark"],
    ["Theme: light. Switch to dark", "dark", "Theme: dark. Switch to the system's"],
  ]) {
    // Whatever the system has, the choice wins.
    await page.emulateMedia({ colorScheme: theme === "dark" ? "light" : "dark" });
    await page.getByRole("button", { name: press }).click();
    await expect(page.getByRole("button", { name: next })).toBeVisible();
    const response = await page.reload();
    expect(await response!.text()).toMatch(new RegExp(`<html[^>]* data-theme="${theme}"`));
    await awake(page);
    await expect(html).toHaveAttribute("data-theme", theme);
    if (theme === "dark") expect(await lightness()).toBeLessThan(40);
    else expect(await lightness()).toBeGreaterThan(230);
  }

  // In another tab, and for those who are signed out, too.
  const tab = await context.newPage();
  await tab.goto("/guide");
  await expect(tab.locator("html")).toHaveAttribute("data-theme", "dark");
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page).toHaveURL("/sign-in");
  await expect(html).toHaveAttribute("data-theme", "dark");
});

test("switching the theme keeps the chat open", async ({ page }) => {
  await newcomer(page);
  const path = await ask(page, "A chat in the evening");
  await page.getByRole("button", { name: "Theme: as the system. Switch to light" }).click();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "light");
  await expect(page).toHaveURL(path);
  await expect(said(page, "You")).toContainText("A chat in the evening");
});

test("switching the theme keeps the focus, the place and what is typed", async ({ page, complaints }) => {
  complaints.allow(/net::ERR_/);
  await newcomer(page);
  await ask(page, "A line\n".repeat(80));
  await expect(rendered(said(page, "moat"))).toContainText("You wrote: A line");
  await page.evaluate(() => ((window as unknown as { same: boolean }).same = true));
  await box(page).fill("Half a thou");
  const scroller = page.getByRole("region", { name: "Messages" });
  await scroller.evaluate((element) => (element.scrollTop = -300));
  const html = page.locator("html");
  const stays = async () => {
    expect(await page.evaluate(() => (window as unknown as { same?: boolean }).same)).toBe(true);
    expect(await scroller.evaluate((element) => element.scrollTop)).toBe(-300);
    await expect(box(page)).toHaveValue("Half a thou");
  };
  for (const [press, theme, next] of [
    ["Theme: as the system. Switch to light", "light", "Theme: light. Switch to dark"],
    ["Theme: light. Switch to dark", "dark", "Theme: dark. Switch to the system's"],
    ["Theme: dark. Switch to the system's", "system", "Theme: as the system. Switch to light"],
  ]) {
    await page.getByRole("button", { name: press }).press("Enter");
    await expect(html).toHaveAttribute("data-theme", theme);
    await expect(page.getByRole("button", { name: next })).toBeFocused();
    await stays();
  }
  // At once, and not when the server has answered; put back, with words, when it does not.
  let go = () => {};
  const seen = new Promise<void>((done) => (go = done));
  await page.route("**/*do=theme", async (route) => {
    await seen;
    await route.abort();
  });
  await page.getByRole("button", { name: "Theme: as the system. Switch to light" }).press("Enter");
  await expect(html).toHaveAttribute("data-theme", "light");
  go();
  await expect(page.getByText("The theme was not changed. Try it again.")).toBeVisible();
  await expect(html).toHaveAttribute("data-theme", "system");
  await expect(page.getByRole("button", { name: "Theme: as the system. Switch to light" })).toBeFocused();
  await stays();
});

test.describe("without a script", () => {
  test.use({ javaScriptEnabled: false });

  test("the theme is switched by a form", async ({ page }) => {
    await newcomer(page);
    await page.getByRole("button", { name: "Theme: as the system. Switch to light" }).click();
    await expect(page).toHaveURL("/chat");
    await expect(page.locator("html")).toHaveAttribute("data-theme", "light");
    await page.getByRole("button", { name: "Theme: light. Switch to dark" }).click();
    await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  });
});

test("the first page in a new browser shows the time of its own place, and a chosen time zone wins", async ({ page, another }) => {
  const email = await newcomer(page);
  const path = await ask(page, "What time is it?");
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: What time is it?");
  const sent = (one: Page) => said(one, "You").locator(".when");
  // Half an hour off, so that no two of these show the same minute.
  const open = async (timezoneId: string, javaScriptEnabled = true) => {
    const one = await (await another({ timezoneId, javaScriptEnabled })).newPage();
    await one.addInitScript(() => {
      const shifts: string[] = ((window as unknown as { shifts: string[] }).shifts = []);
      type Shift = PerformanceEntry & { sources: { node: Node | null; previousRect: DOMRect; currentRect: DOMRect }[] };
      const told = ({ sources }: Shift) => sources.map((s) => `${s.node?.nodeName} ${s.node?.textContent} ${JSON.stringify([s.previousRect, s.currentRect])}`).join();
      new PerformanceObserver((list) => shifts.push(...(list.getEntries() as Shift[]).map(told))).observe({ type: "layout-shift", buffered: true });
    });
    await one.goto(`/sign-in?next=${encodeURIComponent(path)}`);
    await one.getByLabel("E-mail").fill(email);
    await one.getByLabel("Password").fill(PASSWORD);
    await one.getByRole("button", { name: "Sign in" }).click();
    await expect(one).toHaveURL(path);
    return one;
  };
  const plain = await open("Asia/Kolkata", false);
  const utc = /(\d\d):(\d\d)$/.exec(await sent(plain).innerText())!;
  const later = (minutes: number) => {
    const at = (Number(utc[1]) * 60 + Number(utc[2]) + minutes) % 1440;
    return new RegExp(`${String(Math.floor(at / 60)).padStart(2, "0")}:${String(at % 60).padStart(2, "0")}$`);
  };
  const there = await open("Asia/Kolkata");
  await expect(sent(there)).toHaveText(later(330));
  expect(await there.evaluate(() => (window as unknown as { shifts: string[] }).shifts)).toEqual([]);
  // From then on the server knows.
  const response = await there.reload();
  expect(await response!.text()).toMatch(new RegExp(`Sent [^<]*${later(330).source.replace("$", "")}<`));

  await there.goto("/account");
  await there.getByLabel("Time zone").selectOption("Asia/Kathmandu");
  await there.getByRole("button", { name: "Save" }).first().click();
  await expect(there.getByText("Your profile is saved.")).toBeVisible();
  for (let time = 0; time < 2; time++) {
    await there.goto(path);
    await awake(there);
    await expect(sent(there)).toHaveText(later(345));
  }
  // Without a script too, in a browser that is new.
  await expect(sent(await open("Asia/Kolkata", false))).toHaveText(later(345));
});
