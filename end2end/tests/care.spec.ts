// What an agent does all day besides answering: in time, later, in one step, with many at once; and what is forgotten on request.
import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { expect, refused, test } from "../support/test";
import { bubble, live, openDesk, rows, say, shop, turns } from "../support/desk";
import { ask, awake, rendered, said } from "../support/steps";

const shots = process.env.MOAT_SHOTS;
const shot = async (page: Page, name: string) => {
  if (!shots) return;
  for (const scheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.screenshot({ path: `${shots}/${name}-${scheme}.png`, fullPage: true });
  }
  const size = page.viewportSize()!;
  await page.setViewportSize({ width: 390, height: 844 });
  await page.screenshot({ path: `${shots}/${name}-phone.png`, fullPage: true });
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme: null });
};
const fair = async (page: Page) => expect((await new AxeBuilder({ page }).analyze()).violations.map((v) => `${v.id} ${v.nodes[0].target}`)).toEqual([]);

test("what is due says so until it was answered, and the figures count it", async ({ page, another, complaints }) => {
  complaints.allow(refused(400));
  const { desk, key } = await openDesk(page);
  const { url, server } = await shop(key);
  await page.goto(`${desk}/set-up`);
  const form = page.locator("form", { has: page.getByLabel("Answer within") });
  await form.getByLabel("Answer within").fill("30");
  await form.getByLabel("Monday from").fill("09:00");
  await form.getByRole("button", { name: "Save" }).click();
  await expect(form.getByText("Write from and until of a day")).toBeVisible();
  await expect(form.getByLabel("Answer within")).toHaveValue("30");
  await expect(form.getByLabel("Monday from")).toHaveValue("09:00");
  await shot(page, "set-up");
  await fair(page);
  for (const day of ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]) {
    await form.getByLabel(`${day} from`).fill("00:00");
    await form.getByLabel(`${day} until`).fill("00:00");
  }
  await form.getByRole("button", { name: "Save" }).click();
  await expect(form.getByText("Write from and until of a day")).toHaveCount(0);
  await expect(form.getByLabel("Answer within")).toHaveValue("30");
  await expect(form.getByLabel("Sunday from")).toHaveValue("00:00");
  await page.goto(desk);
  await live(page);
  const customer = await (await another()).newPage();
  const frame = await bubble(customer, url);
  await say(frame, "how long?");
  await expect(rows(page)).toContainText(/Due in (29|30) min/);
  await page.goto(`${desk}?view=due`);
  await rows(page).getByRole("link").click();
  await live(page);
  await page.getByLabel("Your answer").fill("not long");
  await page.getByLabel("Your answer").press("Enter");
  await expect(turns(frame)).toHaveText([/how long/, /not long/]);
  await expect(page.getByText("Due in")).toHaveCount(0);
  await page.getByRole("button", { name: "Resolve", exact: true }).click();
  await expect(frame.getByText("This is resolved.")).toBeVisible();
  await page.getByRole("link", { name: "Figures" }).click();
  await expect(page.getByRole("img", { name: /^Resolved by day: 1 in 30 days/ })).toBeVisible();
  await expect(page.locator(".figures div", { hasText: "First reply" })).toContainText(/\d+ s/);
  await shot(page, "figures");
  await fair(page);
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "All conversations as CSV" }).click();
  expect((await download).suggestedFilename()).toBe("conversations.csv");
  server.close();
});

test("an answer waits for ten seconds where the desk wants that, can be undone, and then leaves once", async ({ page, another }) => {
  const { desk, key } = await openDesk(page);
  const { url, server } = await shop(key);
  await page.goto(`${desk}/set-up`);
  await page.getByLabel("Answers wait for 10 seconds").check();
  await page.locator("form", { has: page.getByLabel("Answer within") }).getByRole("button", { name: "Save" }).click();
  await expect(page.getByLabel("Answers wait for 10 seconds")).toBeChecked();
  const customer = await (await another()).newPage();
  const frame = await bubble(customer, url);
  await say(frame, "hello");
  await page.goto(desk);
  await page.getByRole("button", { name: "Take the next one" }).click();
  await live(page);
  await page.getByLabel("Your answer").fill("oops");
  await page.getByLabel("Your answer").press("Enter");
  await expect(page.getByText("Leaves in a moment")).toBeVisible();
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(page.getByLabel("Your answer")).toHaveValue("oops");
  await expect(page.getByText("Leaves in a moment")).toHaveCount(0);
  await page.getByLabel("Your answer").fill("welcome");
  await page.getByLabel("Your answer").press("Enter");
  await expect(turns(frame)).toHaveText([/hello/, /welcome/], { timeout: 30_000 });
  await expect(page.getByText("Leaves in a moment")).toHaveCount(0);
  // Tomorrow's stands there until then.
  await page.getByLabel("When it leaves").selectOption("86400");
  await page.getByLabel("Your answer").fill("still there?");
  await page.getByRole("button", { name: "Send" }).click();
  await expect(page.getByRole("button", { name: "Take back" })).toBeVisible();
  await shot(page, "tomorrow");
  await fair(page);
  await expect(turns(frame)).toHaveText([/hello/, /welcome/]);
  // Without a script as well.
  const plain = await (await another({ javaScriptEnabled: false, storageState: await page.context().storageState() })).newPage();
  await plain.goto(page.url());
  await plain.getByRole("button", { name: "Take back" }).click();
  await expect(plain.getByLabel("Your answer")).toHaveValue("still there?");
  await expect(plain.getByRole("button", { name: "Take back" })).toHaveCount(0);
  server.close();
});

test("a reply that acts is done in one go, many are changed at once with a line each, and an erased customer is gone", async ({ page, another, complaints }) => {
  complaints.allow(refused(401), refused(404));
  const { desk, key } = await openDesk(page);
  const { url, server } = await shop(key);
  await page.goto(`${desk}/set-up`);
  await page.getByLabel("Short name").fill("Sent");
  await page.getByLabel("Words", { exact: true }).fill("It is on its way.");
  await page.getByText("What else it does").click();
  await page.getByLabel("Add labels").fill("parcel");
  await page.getByLabel("Then", { exact: true }).selectOption("resolved");
  await page.getByRole("button", { name: "Keep" }).click();
  await expect(page.getByText("Then: label parcel, resolve")).toBeVisible();
  const customers = [await (await another()).newPage(), await (await another()).newPage(), await (await another()).newPage()];
  const frames = [];
  for (const [n, customer] of customers.entries()) {
    const frame = await bubble(customer, url);
    await say(frame, `question ${n}`);
    frames.push(frame);
  }
  await page.goto(desk);
  await live(page);
  await rows(page).filter({ hasText: "question 0" }).getByRole("link").click();
  await shot(page, "more");
  await fair(page);
  await page.getByRole("button", { name: "Sent", exact: true }).click();
  await expect(turns(frames[0])).toHaveText([/question 0/, /It is on its way\./]);
  await expect(frames[0].getByText("This is resolved.")).toBeVisible();
  // The other two by ticks; one of them writes before it is done.
  await page.goto(desk);
  await live(page);
  for (const n of [1, 2]) await page.getByRole("checkbox").nth(n - 1).check();
  await say(frames[2], "one thing more");
  await expect(rows(page).filter({ hasText: "one thing more" })).toBeVisible();
  await expect(page.getByRole("checkbox", { checked: true })).toHaveCount(2);
  await page.getByText("Do something for all ticked ones").click();
  await page.getByLabel("Do", { exact: true }).selectOption("resolve");
  await page.getByRole("button", { name: "Do it for all" }).click();
  await expect(page.getByText("1 of 2 done.")).toBeVisible();
  await expect(page.getByText("Something was said that you had not seen")).toBeVisible();
  await shot(page, "told");
  await fair(page);
  await expect(frames[1].getByText("This is resolved.")).toBeVisible();
  await rows(page).filter({ hasText: "one thing more" }).getByRole("link").click();
  await page.getByText("Erase this customer").click();
  await shot(page, "erase");
  await page.getByRole("button", { name: "Erase for good" }).click();
  await expect(page.getByText("Nobody waits.")).toBeVisible();
  await expect(turns(frames[2])).toHaveCount(0);
  // Whoever was erased is a stranger, who may come back as one.
  await say(frames[2], "may I come back?");
  await expect(rows(page)).toHaveText([/may I come back\?/]);
  await expect(turns(frames[2])).toHaveText([/may I come back\?/]);
  await page.goto(desk.replace("/desk", "/audit"));
  await expect(page.getByText("erased a customer")).toBeVisible();
  server.close();
});

test("whoever asked for it is told of news by sound, also in a tab that nobody looks at", async ({ page, context, another }) => {
  const { desk, key } = await openDesk(page);
  const { url, server } = await shop(key);
  await context.grantPermissions(["notifications"]);
  await page.goto(desk);
  await live(page);
  await page.getByRole("button", { name: "Tell me of news" }).click();
  await expect(page.getByRole("button", { name: "Telling you of news" })).toHaveAttribute("aria-pressed", "true");
  // As if another tab were before it.
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { value: true, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  const customer = await (await another()).newPage();
  const frame = await bubble(customer, url);
  await say(frame, "hello");
  await expect(page.locator("html")).toHaveAttribute("data-told", "Somebody waits.");
  await page.reload();
  await expect(page.getByRole("button", { name: "Telling you of news" })).toBeVisible();
  await page.getByRole("button", { name: "Take the next one" }).click();
  await live(page);
  await page.getByLabel("Your answer").fill("hi");
  await page.getByLabel("Your answer").press("Enter");
  await expect(turns(frame)).toHaveText([/hello/, /hi/]);
  // Taking somebody is no news.
  await expect(page.locator("#queue")).toHaveAttribute("data-owed", "0");
  await expect(page.locator("html")).not.toHaveAttribute("data-told");
  await say(frame, "one more");
  await expect(page.locator("html")).toHaveAttribute("data-told", "A customer of yours has written.");
  await page.getByRole("button", { name: "Telling you of news" }).click();
  await expect(page.locator("html")).not.toHaveAttribute("data-alerts");
  server.close();
});

test("an owner lets a program bring customers' words, sees the secret once, and takes both away again", async ({ page }) => {
  const { desk } = await openDesk(page);
  await page.goto(`${desk}/set-up`);
  await page.getByRole("link", { name: "Relay" }).click();
  await page.getByLabel("Program", { exact: true }).fill("mail");
  await page.getByRole("button", { name: "Make a secret" }).click();
  const secret = (await page.locator(".done code").textContent())!;
  expect(secret).toMatch(/^relay\./);
  await shot(page, "relay");
  await fair(page);
  const sent = await page.request.post("/orchestrator/message", {
    headers: { authorization: `Bearer ${secret}` },
    data: { message_id: "m1", customer: { id: "vi", name: "Vi" }, text: "by mail" },
  });
  expect(sent.status(), await sent.text()).toBe(200);
  await page.reload();
  await expect(page.getByText(secret)).toHaveCount(0);
  await page.goto(desk);
  await expect(rows(page)).toContainText("by mail");
});

test("whoever is not helped in a private chat shows people what they pick and nothing else", async ({ page }) => {
  const { desk } = await openDesk(page);
  await page.goto("/chat");
  await awake(page);
  await ask(page, "my question about trees");
  await expect(rendered(said(page, "moat"))).toContainText("You wrote");
  await page.goto(`${page.url()}/ask`);
  await shot(page, "ask");
  await fair(page);
  await page.getByRole("checkbox").nth(1).uncheck();
  await page.getByRole("button", { name: "Send this" }).click();
  await expect(page).toHaveURL(/\/desk\//);
  await expect(turns(page)).toHaveCount(1);
  await shot(page, "asked");
  await page.goto(desk);
  await expect(rows(page)).toContainText("my question about trees");
});

test("the tabs of a desk share one stream, and the next one takes it over", async ({ page, context, another }) => {
  const { desk, key } = await openDesk(page);
  const { url, server } = await shop(key);
  await page.goto("/workspaces");
  const streams: string[] = [];
  context.on("request", (request) => request.url().includes("/live?") && streams.push(request.url()));
  await page.goto(desk);
  await live(page);
  const second = await context.newPage();
  await second.goto(desk);
  await live(second);
  const third = await context.newPage();
  await third.goto(desk);
  await live(third);
  expect(streams.length).toBe(1);
  const customer = await (await another()).newPage();
  const frame = await bubble(customer, url);
  await say(frame, "hello");
  for (const tab of [page, second, third]) await expect(rows(tab)).toContainText("hello");
  // Whoever had it is gone.
  await page.close();
  await say(frame, "are you there?");
  for (const tab of [second, third]) {
    await expect(rows(tab)).toContainText("are you there?");
    await live(tab);
  }
  expect(streams.length).toBe(2);
  server.close();
});
