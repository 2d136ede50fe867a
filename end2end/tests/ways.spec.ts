// Ways in and out: links in mail, codes, sessions, leaving. The pages are plain: with and without a script is the same.
import type { Page } from "@playwright/test";
import { expect, refused, test } from "../support/test";
import { ask, freshEmail, letter, newcomer, PASSWORD, said, signIn } from "../support/steps";

const NEW = "another long password";

/** Follows the link of a letter, by the mouse of somebody who reads the outbox. */
async function follow(page: Page, to: string, subject: string): Promise<string> {
  const found = await letter(page, to, subject);
  const link = found.getByRole("link", { name: /\/link\?t=/ });
  const address = (await link.getAttribute("href"))!;
  await link.click();
  return address;
}

for (const script of [true, false]) {
  test.describe(script ? "with a script" : "without a script", () => {
    test.use({ javaScriptEnabled: script });

    test("a forgotten password is set anew by mail, and the link is over then", async ({ page, another, complaints }) => {
      complaints.allow(refused(410), refused(401));
      const other = await (await another({ javaScriptEnabled: script })).newPage();
      const email = await newcomer(other);
      await page.goto("/sign-in");
      await page.getByRole("link", { name: "Forgotten your password?" }).click();
      await page.getByLabel("E-mail").fill(email);
      await page.getByRole("button", { name: "Send the link" }).click();
      await expect(page.getByRole("heading", { name: "Check your mail" })).toBeVisible();
      await page.getByRole("link", { name: "Open the developer's outbox" }).click();
      await expect(page).toHaveURL("/dev/outbox");
      const link = await follow(page, email, "Set a new password");
      await page.getByLabel("New password").fill(NEW);
      await page.getByRole("button", { name: "Set password" }).click();
      await expect(page).toHaveURL("/account?done=mine");
      // Who was signed in elsewhere is not any more. A page with a script goes there by itself, and would cross the next step.
      if (script) await expect(other).toHaveURL(/\/sign-in/);
      await other.goto("/account");
      await expect(other).toHaveURL(/\/sign-in/);
      await signIn(other, email, NEW);
      await page.goto(link);
      await expect(page.getByRole("heading", { name: "This link was used already" })).toBeVisible();
      await page.getByRole("link", { name: "Send a new link" }).click();
      await expect(page).toHaveURL("/reset");
    });

    test("a mailed link signs in at the press of its button and not before", async ({ page, another }) => {
      const email = await newcomer(await (await another({ javaScriptEnabled: script })).newPage());
      await page.goto("/sign-in");
      await page.getByRole("link", { name: "Sign in by a link in a mail" }).click();
      await page.getByLabel("E-mail").fill(email);
      await page.getByRole("button", { name: "Send the link" }).click();
      const link = await follow(page, email, "Sign in");
      await page.goto("/account");
      await expect(page, "a link that is opened changes nothing").toHaveURL(/\/sign-in\?next=/);
      await page.goto(link);
      await expect(page.getByText("Nobody has confirmed this address before.")).toBeVisible();
      await page.getByRole("button", { name: "Sign in" }).click();
      // Until now anybody could have made this account.
      await expect(page).toHaveURL("/account?done=mine");
      await expect(page.getByRole("status")).toContainText("This account is yours alone now.");
      await expect(page.getByText(email)).toBeVisible();
      await page.goto("/sign-in?next=%2Fguide");
      await expect(page, "nothing to do there for who is signed in").toHaveURL("/guide");
    });

    test("a session is found in the list and ended there", async ({ page, another, complaints }) => {
      // The other browser's stream is refused from then on.
      complaints.allow(refused(401));
      const email = await newcomer(page);
      const other = await (await another({ javaScriptEnabled: script })).newPage();
      await signIn(other, email);
      await page.getByTitle(`Your account: ${email}`).click();
      await page.getByRole("link", { name: "Show sessions" }).click();
      // The account itself was made by a program, which has a session too.
      await expect(page.getByRole("listitem")).toHaveCount(3);
      await expect(page.getByRole("listitem").filter({ hasText: "this one" })).toHaveCount(1);
      await expect(page.getByRole("listitem").first()).toContainText("Chrome on Linux");
      await page.getByRole("button", { name: "End the session of Chrome on Linux" }).click();
      await expect(page.getByRole("status")).toHaveText("The session is ended.");
      await expect(page.getByRole("listitem")).toHaveCount(2);
      // A page with a script goes there by itself, and would cross the next step.
      if (script) await expect(other).toHaveURL(/\/sign-in/);
      await other.goto("/account");
      await expect(other).toHaveURL(/\/sign-in/);
      await signIn(other, email);
      await page.reload();
      await page.getByRole("button", { name: "End all other sessions" }).click();
      await expect(page.getByRole("status")).toHaveText("All other sessions are ended.");
      if (script) await expect(other).toHaveURL(/\/sign-in/);
      await other.goto("/account");
      await expect(other).toHaveURL(/\/sign-in/);
    });

    test("an account is erased by its name and its password, and is gone", async ({ page, complaints }) => {
      complaints.allow(refused(400));
      const email = await newcomer(page);
      await page.goto("/account");
      await page.getByRole("link", { name: "Leave" }).click();
      const form = page.getByRole("button", { name: "Erase my account" });
      await page.getByLabel("Name of the account").fill("somebody@example.org");
      await page.locator("#erase-password").fill(PASSWORD);
      await form.click();
      await expect(page.getByText("This is not what your account is called.")).toBeVisible();
      await expect(page.getByLabel("Name of the account")).toHaveValue("somebody@example.org");
      await page.getByLabel("Name of the account").fill(email);
      await page.locator("#erase-password").fill(PASSWORD);
      await form.click();
      await expect(page.getByRole("status")).toHaveText("Your account is erased, with everything in it.");
      await page.getByLabel("E-mail").fill(email);
      await page.getByLabel("Password").fill(PASSWORD);
      await page.getByRole("button", { name: "Sign in" }).click();
      await expect(page.getByText("The address or the password is wrong.")).toBeVisible();
      await newcomer(page, email);
    });

    test("a profile is saved and a telephone number opens the same account", async ({ page, another }) => {
      const email = await newcomer(page);
      await page.goto("/account");
      await page.getByLabel("What you want to be called").fill("Ada L");
      await page.getByLabel("Time zone").selectOption("Asia/Tokyo");
      await page.getByRole("button", { name: "Save" }).click();
      await expect(page.getByRole("status")).toHaveText("Your profile is saved.");
      await expect(page.getByLabel("Time zone")).toHaveValue("Asia/Tokyo");
      const number = `+4930${Math.floor(1e8 * (1 + 8 * Math.random()))}`;
      await page.getByRole("link", { name: "Change telephone" }).click();
      await page.getByLabel("New number").fill(number);
      await page.getByRole("button", { name: "Send a code" }).click();
      await expect(page).toHaveURL(/\/account\/phone\?ask=/);
      const asked = page.url();
      const linking = (await (await letter(page, number, "Text message")).innerText()).match(/\b(\d{6})\b is your code/)![1];
      await page.goto(asked);
      await page.getByLabel("Code").fill(linking);
      await page.getByRole("button", { name: "Link this number" }).click();
      await expect(page.getByRole("status")).toHaveText("Your telephone number is linked.");

      const other = await (await another({ javaScriptEnabled: script })).newPage();
      await other.goto("/sign-in/phone");
      await other.getByLabel("Telephone number").fill(number);
      await other.getByRole("button", { name: "Send a code" }).click();
      await expect(other).toHaveURL(/\/sign-in\/code\?ask=/);
      const entering = other.url();
      // The newest is another one than before.
      let code = linking;
      await expect(async () => {
        code = (await (await letter(other, number, "Text message")).innerText()).match(/\b(\d{6})\b is your code/)![1];
        expect(await other.getByRole("article").filter({ hasText: `To ${number}` }).count()).toBe(2);
      }).toPass();
      await other.goto(entering);
      await other.getByLabel("Code").fill(code);
      await other.getByRole("button", { name: "Sign in" }).click();
      await expect(other).toHaveURL("/chat");
      await expect(other.getByTitle(`Your account: ${email}`)).toContainText("Ada L");
    });
  });
}

test("what a browser kept of somebody is gone when they have left", async ({ page }) => {
  await newcomer(page);
  await ask(page, "A chat to leave behind");
  await expect(said(page, "You")).toContainText("A chat to leave behind");
  await page.evaluate(() => localStorage.setItem("left behind", "words"));
  await page.goto("/account/leave");
  await page.locator("#close-password").fill(PASSWORD);
  await page.getByRole("button", { name: "Close my account" }).click();
  await expect(page.getByRole("status")).toContainText("Your account is closed.");
  expect(await page.evaluate(() => localStorage.length)).toBe(0);
});
