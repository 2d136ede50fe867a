import { randomUUID } from "node:crypto";
import type { BrowserContext, Page } from "@playwright/test";
import { expect, refused, test } from "../support/test";
import { firstHalf, release } from "../support/model";
import { ask, awake, box, chatList, fresh, PASSWORD, rendered, said, sendButton, signIn, newcomer, textOf } from "../support/steps";

test("one person finds no trace of another", async ({ page, another, complaints }) => {
  complaints.allow(refused(404));
  await newcomer(page);
  const secret = fresh("secret");
  const path = await ask(page, secret);
  await expect(rendered(said(page, "moat"))).toHaveText(`You wrote: ${secret}`);

  const other = await (await another()).newPage();
  await newcomer(other);
  await awake(other);
  await expect(chatList(other)).toHaveCount(0);
  await expect(other.getByText("Your chats will be listed here.")).toBeVisible();

  const see = async (path: string) => {
    const response = await other.goto(path);
    await awake(other);
    return { status: response!.status(), source: await response!.text(), main: await other.getByRole("main").innerText() };
  };
  const theirs = await see(path);
  const nobodys = await see(`/chat/${randomUUID()}`);
  expect(theirs.status).toBe(404);
  expect(nobodys.status).toBe(404);
  expect(theirs.main).toContain("There is nothing here, or it is not yours.");
  expect(nobodys.main).toBe(theirs.main);
  expect(same(theirs.source)).toBe(same(nobodys.source));
  expect(theirs.source).not.toContain(secret);
});

/** A page without what differs from one request to the next. */
function same(source: string): string {
  return source
    .replace(/(nonce|crossorigin)="[^"]*"/g, "$1")
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "id")
    .replace(/(pos\\*":)\d+/g, "$1n");
}

test("whoever is not signed in is sent to sign in, and back afterwards", async ({ page, another }) => {
  const email = await newcomer(page);
  const path = await ask(page, "Remember me");
  const other = await (await another()).newPage();
  await other.goto(path);
  await expect(other).toHaveURL(`/sign-in?next=${encodeURIComponent(path)}`);
  await expect(other.getByText("Remember me")).toHaveCount(0);
  await other.getByLabel("E-mail").fill(email);
  await other.getByLabel("Password").fill(PASSWORD);
  await other.getByRole("button", { name: "Sign in" }).click();
  await expect(other).toHaveURL(path);
  await expect(textOf(said(other, "You"))).toHaveText("Remember me");
});

test("signing out in one tab ends the other's stream, and the way back shows nothing private", async ({ page, context, complaints }) => {
  complaints.allow(refused(401));
  await newcomer(page);
  const key = fresh("leaving");
  const path = await ask(page, `HOLD ${key}`);
  const tab = await context.newPage();
  await tab.goto(path);
  await awake(tab);
  await expect(textOf(said(tab, "moat"))).toHaveText(firstHalf(key));

  const turnedAway = tab.waitForResponse((response) => response.url().includes("/live?") && response.status() === 401);
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page).toHaveURL("/sign-in");
  await turnedAway;

  // Nothing private stays on a screen that somebody else may sit down at, and nothing new comes to it.
  await expect(tab).toHaveURL(/\/sign-in\?next=/);
  await release(key);
  await expect(tab.getByText(key)).toHaveCount(0);

  await page.goBack();
  await expect(page).toHaveURL(/\/sign-in/);
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await expect(page.getByText(key)).toHaveCount(0);
});

test("whoever signs in next in the same browser does not find what the last one typed", async ({ page }) => {
  await newcomer(page);
  const thought = fresh("thought");
  const path = await ask(page, "Hello");
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: Hello");
  await box(page).fill(thought);
  await page.reload();
  await awake(page);
  await expect(box(page)).toHaveValue(thought);
  await page.goto("/chat");
  await awake(page);
  await box(page).fill(`${thought}, another`);
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page).toHaveURL("/sign-in");

  await newcomer(page);
  await awake(page);
  await expect(box(page)).toHaveValue("");
  await expect(chatList(page)).toHaveCount(0);
  expect(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }))).not.toContain(thought);
  expect((await page.request.get(path)).status()).toBe(404);
});

test("a tab whose session has ended says so when something is sent, and nothing is lost by signing in again", async ({ page, context, complaints }) => {
  complaints.allow(refused(401));
  const email = await newcomer(page);
  const path = await ask(page, "Hello");
  await expect(rendered(said(page, "moat"))).toHaveText("You wrote: Hello");
  const tab = await context.newPage();
  await tab.goto(path);
  await awake(tab);
  // As when the session has lapsed while the stream was open.
  await context.clearCookies();
  await expect(sendButton(tab)).toBeEnabled();
  await box(tab).fill("Are you there?");
  await box(tab).press("Enter");
  await expect(said(tab, "You").nth(1).getByRole("alert")).toContainText("Not sent. You are signed out. Sign in to go on.");
  await expect(textOf(said(tab, "You").nth(1))).toHaveText("Are you there?");

  await signIn(page, email);
  await page.goto(path);
  await awake(page);
  await expect(said(page, "You").nth(1).getByRole("alert")).toContainText("Not sent.");
  await page.getByRole("button", { name: "Send again" }).click();
  await expect(rendered(said(page, "moat").nth(1))).toHaveText("You wrote: Are you there?");
  await expect(textOf(said(page, "You"))).toHaveText(["Hello", "Are you there?"]);
});

test("nothing that signs somebody in can be read by a script or stands in a page or an address", async ({ page, context, complaints }) => {
  complaints.allow(refused(400));
  const traffic = record(context);
  const password = fresh("Correct-Horse");
  await page.goto("/");
  const email = await newcomer(page, undefined, password);
  await expectNoReadableCookie(page);
  await ask(page, "WORDS 20");
  await expect(rendered(said(page, "moat"))).toContainText("word20");
  await expectNoReadableCookie(page);
  const before = await context.cookies();
  await page.getByRole("button", { name: /^Theme:/ }).or(page.getByRole("button", { name: "Sign out" })).last().click();
  await expect(page).toHaveURL("/sign-in");
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill("not the right one");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByText("The address or the password is wrong.")).toBeVisible();
  await signIn(page, email, password);
  await expectNoReadableCookie(page);
  await page.reload();
  await awake(page);

  const session = [...before, ...(await context.cookies())].filter((cookie) => /moat-(access|refresh)/.test(cookie.name));
  expect(session.map((cookie) => cookie.name).sort()).toEqual(
    ["__Host-moat-access", "__Host-moat-access", "__Host-moat-refresh", "__Host-moat-refresh"],
  );
  for (const cookie of session) {
    expect(cookie).toMatchObject({ httpOnly: true, secure: true, path: "/" });
    expect(["Lax", "Strict"]).toContain(cookie.sameSite);
  }
  const secrets = [password, ...new Set(session.map((cookie) => cookie.value))];
  const { addresses, bodies } = await traffic();
  expect(addresses.length).toBeGreaterThan(20);
  expect(bodies.length).toBeGreaterThan(10);
  for (const secret of secrets) {
    expect(addresses.filter((address) => address.includes(secret)), "addresses with a secret").toEqual([]);
    expect(bodies.filter(([, body]) => body.includes(secret)).map(([url]) => url), "bodies with a secret").toEqual([]);
  }
  // Everything comes from the server itself.
  const origin = new URL(page.url()).origin;
  expect(addresses.filter((address) => !address.startsWith(`${origin}/`) && !address.startsWith("data:"))).toEqual([]);
});

async function expectNoReadableCookie(page: Page): Promise<void> {
  expect(await page.evaluate(() => document.cookie)).not.toMatch(/moat-(access|refresh)/);
}

/** Every address that is asked for, and every body that comes back but those of files and of the endless stream. */
function record(context: BrowserContext): () => Promise<{ addresses: string[]; bodies: [string, string][] }> {
  const addresses: string[] = [];
  const reading: Promise<[string, string] | null>[] = [];
  context.on("request", (request) => addresses.push(request.url()));
  context.on("response", (response) => {
    if (/\/(live\?|pkg\/)/.test(response.url())) return;
    // A redirect has no body, and a page that was left has none any more.
    reading.push(response.text().then((body) => [response.url(), body] as [string, string], () => null));
  });
  return async () => ({ addresses, bodies: (await Promise.all(reading)).filter((one) => one !== null) });
}
