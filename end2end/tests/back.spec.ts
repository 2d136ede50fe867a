import { chromium } from "@playwright/test";
import { expect, refused, test } from "../support/test";
import { ask, fresh, rendered, said, newcomer } from "../support/steps";

// Playwright switches the cache of whole pages off. People's browsers have it, and it knows no server.
test("the back button shows nothing private even where the browser keeps whole pages", async ({ launchOptions, baseURL, complaints }) => {
  complaints.allow(refused(401));
  const browser = await chromium.launch({ ...launchOptions, ignoreDefaultArgs: ["--disable-back-forward-cache"] });
  try {
    const context = await browser.newContext({ baseURL });
    complaints.watch(context);
    const page = await context.newPage();
    await newcomer(page);
    const secret = fresh("backwards");
    await ask(page, secret);
    await expect(rendered(said(page, "moat"))).toHaveText(`You wrote: ${secret}`);
    await page.getByRole("button", { name: "Sign out" }).click();
    await expect(page).toHaveURL("/sign-in");
    await page.goBack({ waitUntil: "commit" });
    await expect(page).toHaveURL(/\/sign-in/);
    await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
    await expect(page.getByText(secret)).toHaveCount(0);
  } finally {
    await browser.close();
  }
});
