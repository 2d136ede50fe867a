// What people do on the screens, and what they see there.
import { randomInt, randomUUID } from "node:crypto";
import { request } from "node:http";
import { expect, type Locator, type Page } from "@playwright/test";

export const PASSWORD = "correct horse battery";

export const fresh = (what: string) => `${what}-${randomUUID().slice(0, 8)}`;
export const freshEmail = (name = "ada") => `${fresh(name)}@example.org`;

export async function signUp(page: Page, email = freshEmail(), password = PASSWORD): Promise<string> {
  await page.goto("/sign-up");
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Create account" }).click();
  await expect(page).toHaveURL("/chat");
  await expect(box(page)).toBeVisible();
  return email;
}

/** Somebody with a new account, signed in. The server lets one address sign up only so often: the account is made from another. */
export async function newcomer(page: Page, email = freshEmail(), password = PASSWORD): Promise<string> {
  const from = () => `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
  // Only Linux has all of 127.0.0.0/8.
  const status = await makeAccount(email, password, process.platform === "linux" ? from() : undefined);
  expect(status, "making an account").toBe(303);
  await signIn(page, email, password);
  return email;
}

function makeAccount(email: string, password: string, localAddress?: string): Promise<number | undefined> {
  const url = new URL("/sign-up?do=sign-up", process.env.MOAT_E2E_URL);
  const headers = { "content-type": "application/x-www-form-urlencoded", origin: url.origin, "sec-fetch-site": "same-origin" };
  return new Promise((done, fail) => {
    const post = request(url, { method: "POST", headers, localAddress }, (response) => {
      response.resume().once("end", () => done(response.statusCode));
    });
    post.once("error", fail);
    post.end(new URLSearchParams({ email, password }).toString());
  });
}

export async function signIn(page: Page, email: string, password = PASSWORD): Promise<void> {
  await page.goto("/sign-in");
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page).toHaveURL("/chat");
}

/** The newest letter to an address in the developer's outbox: its article. Waits until it has been sent. */
export async function letter(page: Page, to: string, subject: string): Promise<Locator> {
  const found = page.getByRole("article").filter({ hasText: `To ${to}` }).filter({ hasText: subject }).first();
  await expect(async () => {
    await page.goto("/dev/outbox");
    await expect(found).toBeVisible({ timeout: 500 });
  }).toPass();
  return found;
}

/** The page has woken up: it hears what happens. */
export async function awake(page: Page): Promise<void> {
  await expect(page.locator("html")).toHaveAttribute("data-live", "live");
}

export const box = (page: Page) => page.getByRole("textbox", { name: "Your message" });
export const sendButton = (page: Page) => page.getByRole("button", { name: "Send", exact: true });
export const stopButton = (page: Page) => page.getByRole("button", { name: "Stop", exact: true });
export const chatList = (page: Page) => page.getByRole("navigation", { name: "Chats" }).getByRole("listitem");
export const status = (page: Page) => page.getByRole("status");
/** What it says when no answer is being written. */
export const atRest = /^(The answer has ended\.)?$/;

/** Messages of one side, in their order. */
export function said(page: Page, who: "You" | "moat"): Locator {
  const by = page.getByRole("heading", { name: who, exact: true, level: 2 });
  return page.getByRole("article").filter({ has: by });
}

/** A message's own words: as they come, or rendered. One element for a text of one paragraph. */
export const textOf = (message: Locator) => message.locator(".streaming, .prose").filter({ hasText: /\S/ });
/** What of it is rendered: all of a paragraph once the answer is whole. */
export const rendered = (message: Locator) => message.locator(".prose").filter({ hasText: /\S/ });

/** Asks in a new chat, with a script; the address of the chat. */
export async function ask(page: Page, text: string): Promise<string> {
  await page.goto("/chat");
  await awake(page);
  await box(page).fill(text);
  await box(page).press("Enter");
  await expect(page).toHaveURL(/\/chat\/[0-9a-f-]{36}$/);
  await expect(said(page, "You").first()).toBeVisible();
  return new URL(page.url()).pathname;
}

/** Sends in an open chat, with a script. */
export async function send(page: Page, text: string): Promise<void> {
  await expect(sendButton(page)).toBeEnabled();
  await box(page).fill(text);
  await box(page).press("Enter");
}
