// Everything works without JavaScript.
import { expect, refused, test } from "../support/test";
import { asked, firstHalf, heal, healed, release, whole } from "../support/model";
import { box, chatList, fresh, rendered, said, sendButton, newcomer, signUp, stopButton, textOf } from "../support/steps";

test.use({ javaScriptEnabled: false });

test("without a script somebody signs up, asks, reads, goes on, renames, deletes and signs out", async ({ page }) => {
  await page.goto("/");
  await page.getByRole("link", { name: "Create an account" }).click();
  await expect(page).toHaveURL("/sign-up");
  await signUp(page);

  const key = fresh("plain");
  await box(page).fill(`HOLD ${key}`);
  await sendButton(page).click();
  await expect(page).toHaveURL(/\/chat\/[0-9a-f-]{36}$/);
  const path = new URL(page.url()).pathname;
  await expect(async () => {
    await page.reload();
    await expect(textOf(said(page, "moat"))).toHaveText(firstHalf(key), { timeout: 200 });
  }).toPass();
  await expect(page.getByText("moat is writing…")).toBeVisible();
  await release(key);
  await expect(async () => {
    await page.reload();
    await expect(rendered(said(page, "moat"))).toHaveText(whole(key), { timeout: 200 });
  }).toPass();

  await expect(box(page)).toHaveValue("");
  await box(page).fill("A second one\nwith two lines");
  await sendButton(page).click();
  await expect(page).toHaveURL(path);
  await expect(async () => {
    await page.reload();
    await expect(rendered(said(page, "moat").nth(1))).toHaveText(/^You wrote: A second one\s*with two lines\s*$/, { timeout: 200 });
  }).toPass();
  await expect(page.getByRole("article").getByRole("heading", { level: 2 })).toHaveText(["You", "moat", "You", "moat"]);
  expect(await textOf(said(page, "You").nth(1)).innerText()).toBe("A second one\nwith two lines");

  await page.getByLabel("Rename, instructions, delete").click();
  await page.getByRole("textbox", { name: "Title" }).fill("A plain chat");
  await page.getByRole("button", { name: "Rename" }).click();
  await expect(page).toHaveURL(path);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("A plain chat");
  await expect(chatList(page)).toHaveText(["A plain chat"]);

  await page.getByLabel("Rename, instructions, delete").click();
  await page.getByRole("button", { name: "Archive", exact: true }).click();
  await expect(page).toHaveURL("/chat");
  await expect(chatList(page)).toHaveCount(0);
  await page.goto(path);
  await page.getByLabel("Rename, instructions, delete").click();
  await page.getByRole("button", { name: "Delete this chat" }).click();
  await expect(page).toHaveURL("/chat");
  await expect(chatList(page)).toHaveCount(0);
  await expect(page.getByText("Your chats will be listed here.")).toBeVisible();

  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page).toHaveURL("/sign-in");
  await page.goto("/chat");
  await expect(page).toHaveURL("/sign-in?next=%2Fchat");
});

test("without a script an answer is stopped, and a failed one tried again", async ({ page }) => {
  await newcomer(page);
  const key = fresh("plainstop");
  await box(page).fill(`HOLD ${key}`);
  await sendButton(page).click();
  await expect(async () => {
    await page.reload();
    await expect(textOf(said(page, "moat"))).toHaveText(firstHalf(key), { timeout: 200 });
  }).toPass();
  const path = new URL(page.url()).pathname;
  await stopButton(page).click();
  await expect(page).toHaveURL(path);
  await expect(async () => {
    await page.reload();
    await expect(said(page, "moat")).toContainText("You stopped this answer.", { timeout: 200 });
  }).toPass();
  await expect(rendered(said(page, "moat"))).toHaveText(firstHalf(key));
  await release(key);

  const sick = fresh("plainfail");
  await box(page).fill(`FAIL 500 ${sick}`);
  await sendButton(page).click();
  await expect(async () => {
    await page.reload();
    await expect(said(page, "moat").last()).toContainText("(status 500)", { timeout: 200 });
  }).toPass();
  await heal(sick);
  await said(page, "moat").last().getByRole("button", { name: "Try again" }).click();
  await expect(async () => {
    await page.reload();
    await expect(rendered(said(page, "moat").last())).toHaveText(healed(sick), { timeout: 200 });
  }).toPass();
});

test("without a script stopping keeps what was typed", async ({ page }) => {
  await newcomer(page);
  const key = fresh("plainkept");
  await box(page).fill(`HOLD ${key}`);
  await sendButton(page).click();
  await expect(async () => {
    await page.reload();
    await expect(textOf(said(page, "moat"))).toHaveText(firstHalf(key), { timeout: 200 });
  }).toPass();
  const typed = "Half a thought\n</textarea><b>& more";
  await box(page).fill(typed);
  await stopButton(page).click();
  await expect(box(page)).toHaveValue(typed);
  await expect(page.getByRole("alert")).toHaveCount(0);
  await expect(async () => {
    await page.reload();
    await expect(said(page, "moat")).toContainText("You stopped this answer.", { timeout: 200 });
  }).toPass();
  await expect(box(page)).toHaveValue(typed);
  await expect(said(page, "You")).toHaveCount(1);
  await release(key);
  await sendButton(page).click();
  await expect(textOf(said(page, "You").nth(1))).toContainText("Half a thought");
  await expect(box(page)).toHaveValue("");
});

test("without a script a double click on Send makes one chat", async ({ page }) => {
  await newcomer(page);
  const text = fresh("plaindouble");
  await box(page).fill(text);
  await sendButton(page).dblclick();
  await expect(page).toHaveURL(/\/chat\/[0-9a-f-]{36}$/);
  await page.goto("/chat");
  await expect(chatList(page)).toHaveText([text]);
  await expect.poll(() => asked(text)).toBe(1);
});

test("without a script a message that is refused comes back with its text", async ({ page, complaints }) => {
  complaints.allow(refused(400));
  await newcomer(page);
  await box(page).fill("   ");
  await sendButton(page).click();
  await expect(page.getByRole("alert")).toHaveText("Write something first.");
  await expect(page.getByRole("heading", { name: "What would you like to know?" })).toBeVisible();
});
