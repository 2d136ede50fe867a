// Customers write from web pages that are not ours; agents take what they ask, answer, and never twice, late or blind.
import AxeBuilder from "@axe-core/playwright";
import { cut, expect, refused, test } from "../support/test";
import { bubble, colleague, live, openDesk, rows, say, shop, turns } from "../support/desk";
import { record, spellings } from "../support/traffic";

test("a customer asks on somebody else's page, an agent sees it come, takes it and answers, and it is there after a reload", async ({ page, context, another }) => {
  const traffic = [record(context)];
  const { desk, key } = await openDesk(page);
  await live(page);
  await expect(page.getByText("Nobody waits.")).toBeVisible();
  const { url, server } = await shop(key);
  const customer = await (await another()).newPage();
  traffic.push(record(customer.context()));
  const frame = await bubble(customer, url);
  await say(frame, "Where is my parcel?");
  // Without anybody touching the desk's page.
  await expect(rows(page)).toContainText("Where is my parcel?");
  await expect(page).toHaveTitle(/^\(1\) /);
  await page.getByRole("button", { name: "Take the next one" }).click();
  await expect(page.getByText("You have this conversation.")).toBeVisible();
  await live(page);
  await page.getByLabel("Your answer").fill("On its way.");
  await page.getByLabel("Your answer").press("Enter");
  await expect(turns(frame)).toHaveText([/You.*Where is my parcel\?/, /Ada.*On its way\./]);
  await expect(frame.getByText("Ada is answering.")).toBeVisible();
  await page.getByLabel("Your answer").fill("she is a regular");
  await page.getByRole("button", { name: "Keep as a note" }).click();
  await say(frame, "Thank you");
  const all = [/Visitor.*parcel/, /Ada took this/, /You.*On its way/, /You, note for the team.*regular/, /Visitor.*Thank you/];
  await expect(turns(page)).toHaveText(all);
  await expect(turns(frame)).toHaveText([/parcel/, /On its way/, /Thank you/]);
  for (const one of [page, customer]) {
    const found = (await new AxeBuilder({ page: one }).analyze()).violations;
    expect(found.map((violation) => violation.id)).toEqual([]);
  }
  // The page is loaded anew: the conversation is where it was.
  await expect(turns(await bubble(customer, url))).toHaveText([/parcel/, /On its way/, /Thank you/]);
  await page.getByRole("button", { name: "Resolve", exact: true }).click();
  await expect(frame.getByText("This is resolved.")).toBeVisible();
  await page.goto(`${desk}?view=resolved`);
  await expect(rows(page)).toContainText("Thank you");
  await say(frame, "It is broken");
  await page.goto(desk);
  await expect(rows(page)).toContainText("It is broken");
  const ids = spellings();
  for (const [n, read] of traffic.entries()) {
    for (const [where, text] of await read()) {
      for (const spelling of ids.filter((spelling) => text.includes(spelling))) expect(text.includes(spelling), `${where} of browser ${n} holds ${spelling}`).toBe(false);
    }
  }
  server.close();
});

test("of two agents the second is told who has it, and an answer to less than what was said is held, shown and sent once", async ({ page, another, complaints }) => {
  complaints.allow(refused(409));
  const { desk, key, name } = await openDesk(page);
  const bobs = await (await another()).newPage();
  await colleague(page, bobs, desk, name);
  const { url, server } = await shop(key);
  const customer = await (await another()).newPage();
  const frame = await bubble(customer, url);
  await say(frame, "one");

  // Both look at it; one takes it.
  await page.goto(desk);
  await rows(page).getByRole("link").click();
  await bobs.getByRole("link", { name: "Desk" }).click();
  await rows(bobs).getByRole("link").click();
  for (const one of [page, bobs]) await live(one);
  await bobs.getByLabel("Your answer").fill("I have it");
  await page.getByRole("button", { name: "Take", exact: true }).click();
  await expect(page.getByText("You have this conversation.")).toBeVisible();
  await expect(bobs.getByText("Ada has this conversation.")).toBeVisible();
  await bobs.getByRole("button", { name: "Send" }).click();
  await expect(bobs.getByRole("alert")).toHaveText("Somebody else has this conversation now.");
  await expect(bobs.getByLabel("Your answer")).toHaveValue("I have it");

  // What Ada's page has not been told yet, she can't have read. Her stream and her reading are held, and not her sending.
  await page.route(/\/desk\//, (route) => (route.request().method() === "GET" ? route.abort() : route.continue()));
  await say(frame, "two");
  complaints.allow(cut);
  await page.getByLabel("Your answer").fill("to one");
  await page.getByLabel("Your answer").press("Enter");
  await expect(page.getByRole("alert")).toContainText("Something was said that you had not seen");
  await expect(page.getByLabel("Your answer")).toHaveValue("to one");
  await page.unroute(/\/desk\//);
  await page.getByRole("button", { name: "Send" }).click();
  await expect(turns(page).last()).toContainText(/two|to one/);
  await expect(async () => {
    if (await page.getByLabel("Your answer").inputValue()) await page.getByRole("button", { name: "Send" }).click();
    await expect(turns(frame)).toHaveText([/one/, /two/, /to one/], { timeout: 1000 });
  }).toPass();
  server.close();
});

test("while the line is down the desk says since when it is not up to date, keeps what was typed, and catches up by itself", async ({ page, context, another, complaints }) => {
  complaints.allow(cut);
  const { key } = await openDesk(page);
  const { url, server } = await shop(key);
  const customer = await (await another()).newPage();
  const frame = await bubble(customer, url);
  await say(frame, "hello");
  await page.getByRole("button", { name: "Take the next one" }).click();
  await expect(page.getByText("You have this conversation.")).toBeVisible();
  await live(page);
  await context.setOffline(true);
  await say(frame, "are you there?");
  await page.getByLabel("Your answer").fill("yes");
  await page.getByLabel("Your answer").press("Enter");
  await expect(page.getByRole("alert")).toContainText("This was not sent");
  await expect(page.getByRole("status")).toContainText("Not up to date since");
  await expect(page.getByLabel("Your answer")).toHaveValue("yes");
  await expect(turns(page).filter({ hasText: "are you there?" })).toHaveCount(0);
  await context.setOffline(false);
  await expect(turns(page).filter({ hasText: "are you there?" })).toHaveCount(1);
  await expect(page.getByRole("status")).toHaveText("Caught up, 1 new");
  await live(page);
  await page.getByRole("button", { name: "Send" }).click();
  await expect(turns(frame)).toHaveText([/hello/, /are you there\?/, /yes/]);
  await expect(turns(page).filter({ hasText: "yes" })).toHaveCount(1);
  server.close();
});

test("without a script an agent takes, answers and resolves by plain forms", async ({ page, another }) => {
  const { desk, key } = await openDesk(page);
  const { url, server } = await shop(key);
  const customer = await (await another()).newPage();
  const frame = await bubble(customer, url);
  await say(frame, "hello");
  const plain = await (await another({ javaScriptEnabled: false, storageState: await page.context().storageState() })).newPage();
  await plain.goto(desk);
  await plain.getByRole("button", { name: "Take the next one" }).click();
  await expect(plain.getByText("You have this conversation.")).toBeVisible();
  await plain.getByLabel("Your answer").fill("good day");
  await plain.getByRole("button", { name: "Send" }).click();
  await expect(turns(plain).last()).toContainText("good day");
  await expect(turns(frame)).toHaveText([/hello/, /good day/]);
  await plain.getByRole("button", { name: "Resolve", exact: true }).click();
  await expect(frame.getByText("This is resolved.")).toBeVisible();
  server.close();
});

test("a visitor is shut out when blocked, and one page of two is not the other's", async ({ page, another, complaints }) => {
  complaints.allow(refused(403));
  const { key } = await openDesk(page);
  const { url, server } = await shop(key);
  const [first, second] = [await (await another()).newPage(), await (await another()).newPage()];
  const [one, two] = [await bubble(first, url), await bubble(second, url)];
  await say(one, "from the first");
  await say(two, "from the second");
  await expect(turns(one)).toHaveText([/from the first/]);
  await rows(page).filter({ hasText: "from the first" }).getByRole("link").click();
  await page.getByText("Block this customer").click();
  await page.getByRole("button", { name: "Block them" }).click();
  await expect(page.getByText("They are blocked.")).toBeVisible();
  await expect(turns(one)).toHaveCount(0);
  await say(two, "still here");
  await expect(turns(two)).toHaveText([/from the second/, /still here/]);
  server.close();
});

test("what was said is found, kept lists and saved replies come back, and resolving opens the next one", async ({ page, another }) => {
  const { desk, key } = await openDesk(page);
  const { url, server } = await shop(key);
  const [first, second] = [await bubble(await (await another()).newPage(), url), await bubble(await (await another()).newPage(), url)];
  await say(first, "My zeppelin is late");
  await say(second, "My bicycle is late");
  await page.goto(`${desk}/set-up`);
  await page.getByLabel("Short name").fill("sorry");
  await page.getByLabel("Words", { exact: true }).fill("Sorry, {{customer}}. {{agent}}");
  await page.getByRole("button", { name: "Keep", exact: true }).click();
  await page.goto(desk);
  await page.getByRole("button", { name: "Take the next one" }).click();
  await expect(page.getByText("You have this conversation.")).toBeVisible();
  await live(page);
  // Labels and urgency, and a list that is narrowed to them.
  await page.getByLabel("Labels").fill("Air, late");
  await page.locator("#priority").selectOption("Urgent");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await expect(page.getByRole("banner").or(page.locator("#talk-head")).getByText("air", { exact: true })).toBeVisible();
  await page.getByText("Filter").click();
  await page.locator("#narrow-priority").selectOption("Urgent");
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByRole("link", { name: "All open" }).click();
  await page.getByText("Filter").click();
  await page.locator("#narrow-priority").selectOption("Urgent");
  await page.getByRole("button", { name: "Show" }).click();
  await expect(rows(page)).toHaveCount(1);
  await page.getByLabel("Name of this list").fill("Burning");
  await page.getByRole("button", { name: "Keep", exact: true }).click();
  await page.goto(desk);
  await page.getByRole("link", { name: "Burning" }).click();
  await expect(rows(page)).toHaveText([/zeppelin/]);
  await rows(page).getByRole("link").click();
  // "/" and a name.
  await page.getByLabel("Your answer").fill("/sor");
  await page.getByLabel("Your answer").press("Enter");
  await expect(page.getByLabel("Your answer")).toHaveValue("Sorry. Ada");
  await page.getByLabel("Your answer").press("Enter");
  await expect(turns(first)).toHaveText([/zeppelin/, /Sorry\. Ada/]);
  // Resolved with one key, and the next one is open.
  await page.keyboard.press("Control+Shift+Enter");
  await expect(turns(page).first()).toContainText("bicycle");
  await expect(page.getByText("You have this conversation.")).toBeVisible();
  await first.getByLabel("Were you helped?").fill("nice people");
  await first.getByRole("button", { name: "Yes" }).click();
  await expect(first.getByText("You said that you were helped.")).toBeVisible();
  // Found by what was said in it.
  await page.getByLabel("Search conversations").fill("zeppelin");
  await page.getByLabel("Search conversations").press("Enter");
  await expect(rows(page)).toHaveText([/zeppelin/]);
  await expect(rows(page).locator("mark")).toHaveText("zeppelin");
  await rows(page).getByRole("link").click();
  await expect(page.getByText("The customer was helped. “nice people”")).toBeVisible();
  expect((await new AxeBuilder({ page }).analyze()).violations.map((violation) => violation.id)).toEqual([]);
  server.close();
});
