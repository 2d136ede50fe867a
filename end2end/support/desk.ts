// A desk, somebody else's web page that shows its bubble, and what is on both.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type FrameLocator, type Page } from "@playwright/test";
import { fresh, freshEmail, letter, newcomer } from "./steps";
import { expect } from "./test";

/** A workspace with a desk at which its owner answers as Ada; where its desk is, and the key of a web page. */
export async function openDesk(page: Page): Promise<{ desk: string; key: string; name: string }> {
  await newcomer(page);
  const name = fresh("Shop");
  await page.goto("/workspaces");
  await page.getByLabel("Name").fill(name);
  await page.getByRole("button", { name: "Make workspace" }).click();
  await page.getByRole("link", { name: "Desk" }).click();
  await page.getByRole("link", { name: "Set up the desk" }).click();
  await page.getByLabel("Name", { exact: true }).fill(`${name} help`);
  await page.getByRole("button", { name: "Open the desk" }).click();
  await page.getByLabel("Name for customers").fill("Ada");
  await page.getByRole("button", { name: "Add", exact: true }).first().click();
  await page.getByLabel("Page", { exact: true }).fill("our shop");
  await page.getByRole("button", { name: "Add", exact: true }).last().click();
  const key = (await page.getByRole("link", { name: "Try it" }).getAttribute("href"))!.split("/").pop()!;
  await page.getByRole("link", { name: "To the queue" }).click();
  return { desk: new URL(page.url()).pathname, key, name };
}

/** Somebody else who answers at that desk, as Bob: invited, joined, and made an agent by its owner. */
export async function colleague(page: Page, bobs: Page, desk: string, workspace: string): Promise<void> {
  const bob = freshEmail("bob");
  await page.goto(`${desk.replace("/desk", "")}/invitations`);
  await page.getByLabel("E-mail addresses").fill(bob);
  await page.getByRole("button", { name: "Invite", exact: true }).click();
  const text = (await (await letter(page, bob, "You are invited")).textContent()) ?? "";
  await newcomer(bobs, bob);
  await bobs.goto(new URL(/http\S+\/invitation\?t=[\w-]+/.exec(text)![0]).href);
  await bobs.getByRole("button", { name: `Join ${workspace}` }).click();
  await page.goto(`${desk}/set-up`);
  await page.locator("#agent-name").fill("Bob");
  await page.getByRole("button", { name: "Add", exact: true }).first().click();
  await expect(page.getByText("Bob", { exact: true })).toBeVisible();
}

/** Somebody else's web page with the bubble on it, under a policy that allows what it has to. */
export async function shop(key: string): Promise<{ url: string; server: Server }> {
  const moat = process.env.MOAT_E2E_URL!;
  const server = createServer((_, response) => {
    response.setHeader("content-type", "text/html");
    response.setHeader("content-security-policy", `default-src 'none'; script-src ${moat}; frame-src ${moat}; style-src 'none'; img-src 'self' data:`);
    response.end(`<!DOCTYPE html><html lang="en"><head><title>Shop</title><link rel="icon" href="data:,"></head><body><main><h1>A shop</h1></main><script src="${moat}/widget.js" data-key="${key}" async></script></body></html>`);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  // Another site than the server's, as a customer's browser sees it.
  return { url: `http://localhost:${(server.address() as AddressInfo).port}/`, server };
}

export async function bubble(page: Page, url: string): Promise<FrameLocator> {
  await page.goto(url);
  // One that was open on the page before is open again.
  const button = page.getByRole("button", { name: /^(Ask us|Close)/ });
  if ((await button.textContent())?.startsWith("Ask")) await button.click();
  return page.frameLocator("iframe");
}

export async function say(frame: FrameLocator, text: string): Promise<void> {
  await frame.getByLabel("Your message").fill(text);
  await frame.getByLabel("Your message").press("Enter");
  // The first: an assistant may quote it at once.
  await expect(turns(frame).filter({ hasText: text }).first()).not.toHaveAttribute("data-under-way");
}

export const turns = (of: Page | FrameLocator) => of.getByRole("log").getByRole("listitem");
export const rows = (page: Page) => page.getByRole("complementary", { name: "Queue" }).getByRole("listitem");
export const live = (page: Page) => expect(page.getByRole("status")).toHaveText("Live");
