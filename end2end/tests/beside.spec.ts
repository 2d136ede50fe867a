import AxeBuilder from "@axe-core/playwright";
import { bubble, live, openDesk, rows, say, shop, turns } from "../support/desk";
import { expect, refused, test } from "../support/test";

test.use({ viewport: { width: 1000, height: 800 } });

test("what somebody does beside a conversation outlives what happens in it", async ({ page, another, complaints }) => {
  complaints.allow(refused(400));
  const { desk, key } = await openDesk(page);
  const { url, server } = await shop(key);
  await page.goto(`${desk}/set-up`);
  await page.getByLabel("Short name").fill("sorry");
  await page.getByLabel("Words", { exact: true }).fill("Sorry, {{customer}}.");
  await page.getByRole("button", { name: "Keep", exact: true }).click();
  await expect(page.getByText("Kept.")).toBeVisible();
  const frame = await bubble(await (await another()).newPage(), url);
  await say(frame, "where is it?");
  await expect(frame.getByText("Sent", { exact: true })).toBeVisible();
  await page.goto(desk);
  await rows(page).getByRole("link").click();
  await live(page);
  await expect(frame.getByText("Read", { exact: true })).toBeVisible();

  // Over the conversation where there is no room beside it; it pushes nothing away, and Escape closes it.
  const box = await page.getByLabel("Your answer").boundingBox();
  await page.getByText("More", { exact: true }).click();
  await expect(page.getByLabel("Name", { exact: true })).toBeVisible();
  expect(await page.getByLabel("Your answer").boundingBox()).toEqual(box);
  expect((await new AxeBuilder({ page }).analyze()).violations.map((violation) => violation.id)).toEqual([]);
  await page.keyboard.press("Escape");
  await expect(page.getByLabel("Name", { exact: true })).toBeHidden();
  await page.getByText("More", { exact: true }).click();

  // The address that the customer leaves meanwhile is not written over by the name.
  await page.getByLabel("Name", { exact: true }).fill("Vi");
  await frame.getByText("Leave an e-mail address").click();
  await frame.getByLabel("Where can we write").fill("vi@b");
  await frame.getByRole("button", { name: "Leave address" }).click();
  await expect(frame.getByRole("alert")).toBeVisible();
  await say(frame, "hello?");
  await expect(turns(page)).toHaveCount(2);
  await expect(frame.getByRole("alert")).toHaveCount(0);
  await frame.getByLabel("Where can we write").fill("vi@example.org");
  await frame.getByRole("button", { name: "Leave address" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("vi@example.org");
  await page.getByLabel("Name", { exact: true }).press("Enter");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Vi");
  await expect(page.locator("#talk-head")).toContainText("vi@example.org");

  // What is ticked, and where the panel was scrolled to, stays.
  await page.getByText("Erase this customer").click();
  await page.getByLabel("And everything else of vi@example.org").check();
  await page.locator(".beside-body").evaluate((panel) => (panel.scrollTop = 40));
  await say(frame, "are you there?");
  await expect(turns(page).filter({ hasText: "are you there?" })).toHaveCount(1);
  await page.getByLabel("And everything else of vi@example.org").uncheck();
  await page.getByLabel("And everything else of vi@example.org").check();
  await say(frame, "anybody?");
  await expect(turns(page).filter({ hasText: "anybody?" })).toHaveCount(1);
  await expect(page.getByLabel("And everything else of vi@example.org")).toBeChecked();

  // A click into the box leaves what "/" has found.
  await page.keyboard.press("Escape");
  await page.getByLabel("Your answer").fill("/sor");
  await page.getByLabel("Your answer").click();
  await page.getByLabel("Your answer").press("Enter");
  await expect(page.getByLabel("Your answer")).toHaveValue("Sorry, Vi.");
  // A bubble that is closed says how much has come.
  const shopPage = frame.owner().page();
  await shopPage.getByRole("button", { name: "Close" }).click();
  await page.getByLabel("Your answer").press("Enter");
  await expect(shopPage.getByRole("button", { name: "Ask us (1)" })).toBeVisible();
  await shopPage.getByRole("button", { name: "Ask us (1)" }).click();
  await expect(turns(frame).last()).toContainText("Sorry, Vi.");
  // On the next page of the shop as well; and one that is open there is open again.
  await shopPage.getByRole("button", { name: "Close" }).click();
  await page.getByLabel("Your answer").fill("Anything else?");
  await page.getByLabel("Your answer").press("Enter");
  await expect(shopPage.getByRole("button", { name: "Ask us (1)" })).toBeVisible();
  await shopPage.reload();
  await expect(shopPage.getByRole("button", { name: "Ask us (1)" })).toBeVisible();
  await shopPage.getByRole("button", { name: "Ask us (1)" }).click();
  await expect(turns(frame).last()).toContainText("Anything else?");
  await frame.getByLabel("Your message").fill("half a thought");
  await shopPage.reload();
  await expect(turns(frame).last()).toContainText("Anything else?");
  await shopPage.getByRole("button", { name: "Close" }).click();
  await expect(shopPage.getByRole("button", { name: "Ask us", exact: true })).toBeVisible();
  await shopPage.getByRole("button", { name: "Ask us" }).click();

  // What is written and not sent is there again after a look at something else; what names a colleague is sent by no key.
  await page.getByLabel("Your answer").fill("half an answer");
  await page.getByRole("link", { name: "All open" }).click();
  await live(page);
  await expect(page.getByLabel("Your answer")).toHaveValue("half an answer");
  await page.getByLabel("Your answer").fill("/nothing");
  await page.getByLabel("Your answer").press("Enter");
  await expect(page.getByRole("alert")).toContainText("No saved reply has this name.");
  await page.getByLabel("Your answer").fill("");

  // Erased by a colleague, while somebody writes: nothing of it stays on the screen, and what was typed can be copied.
  complaints.allow(refused(401), refused(404));
  const colleague = await page.context().newPage();
  await colleague.goto(page.url());
  await live(colleague);
  await page.getByLabel("Your answer").fill("half a sentence");
  await colleague.getByText("More", { exact: true }).click();
  await colleague.getByText("Erase this customer").click();
  await colleague.getByRole("button", { name: "Erase for good" }).click();
  await expect(page.getByRole("alert")).toContainText("This conversation was erased.");
  await expect(turns(page)).toHaveCount(0);
  await expect(page.getByLabel("Your answer")).toHaveValue("half a sentence");
  server.close();
});

test("an agent and a reply are changed, and what was refused says so where it stands", async ({ page, another, complaints }) => {
  complaints.allow(refused(400));
  const { desk } = await openDesk(page);
  await page.goto(`${desk}/set-up`);
  await page.getByLabel("Short name").fill("bye");
  await page.getByLabel("Words", { exact: true }).fill("Goodbye.");
  await page.getByRole("button", { name: "Keep", exact: true }).click();
  await page.getByRole("link", { name: "Change bye" }).click();
  await expect(page.getByLabel("Words", { exact: true })).toHaveValue("Goodbye.");
  await page.getByLabel("Short name").fill("farewell");
  await page.locator("form", { has: page.getByLabel("Short name") }).getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("Kept.")).toBeInViewport();
  await expect(page.getByText("farewell", { exact: true })).toBeVisible();
  await expect(page.getByText("bye", { exact: true })).toHaveCount(0);

  // Without a script as well.
  const plain = await (await another({ javaScriptEnabled: false, storageState: await page.context().storageState() })).newPage();
  await plain.goto(`${desk}/set-up`);
  const row = plain.locator("#agents li");
  await row.getByText("Change", { exact: true }).click();
  await row.getByLabel("Name for customers").fill("Ada L.");
  await row.getByLabel("Conversations at once").evaluate((field) => field.setAttribute("max", "999"));
  await row.getByLabel("Conversations at once").fill("500");
  await row.getByRole("button", { name: "Save" }).click();
  await expect(row.getByRole("alert")).toContainText("1 to 100");
  await expect(row.getByLabel("Name for customers")).toHaveValue("Ada L.");
  await row.getByLabel("Conversations at once").fill("7");
  await row.getByRole("button", { name: "Save" }).click();
  await expect(plain.getByText("Saved.")).toBeVisible();
  await expect(row.getByText("Has 0 of 7.")).toBeVisible();
  await expect(row.getByText("Ada L.", { exact: true })).toBeVisible();
});
