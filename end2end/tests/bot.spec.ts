// The assistant answers customers first, from what the workspace has published, and hands over to people.
import AxeBuilder from "@axe-core/playwright";
import { bubble, live, openDesk, rows, say, shop, turns } from "../support/desk";
import { expect, test } from "../support/test";

test("the assistant answers from the help articles with its source, the customer asks for a person, and an agent goes on from there", async ({ page, another }) => {
  const { desk, key } = await openDesk(page);
  await page.getByRole("link", { name: "Help articles" }).click();
  await expect(page.getByText("Nothing is written yet.")).toBeVisible();
  await page.getByLabel("Title").fill("Shipping");
  await page.getByRole("button", { name: "Write it" }).click();
  await page.getByLabel("Text").fill("We ship every day.\n\n## Delivery times\nA parcel takes three days. It takes five to islands.");
  await page.getByLabel("Published").check();
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("heading", { name: "Delivery times" })).toBeVisible();
  expect((await new AxeBuilder({ page }).analyze()).violations.map((violation) => violation.id)).toEqual([]);
  await page.goto(`${desk}/set-up`);
  await page.getByLabel("It answers customers first").check();
  await page.getByLabel("Its name").fill("Botty");
  await page.locator("form", { has: page.getByLabel("Its name") }).getByRole("button", { name: "Save" }).click();
  await expect(page.getByLabel("It answers customers first")).toBeChecked();
  expect((await new AxeBuilder({ page }).analyze()).violations.map((violation) => violation.id)).toEqual([]);
  await page.goto(desk);
  await live(page);

  const { url, server } = await shop(key);
  const customer = await (await another()).newPage();
  const frame = await bubble(customer, url);
  await expect(frame.getByText("Botty answers at once.")).toBeVisible();
  await say(frame, "How long does a parcel take?");
  // The tests' model says what it was asked.
  await expect(turns(frame)).toHaveText([/You.*parcel/, /Botty.*You wrote: How long does a parcel take\?.*From: Shipping, Delivery times/s]);
  await expect(page.getByText("Nobody waits.")).toBeVisible();
  const [help] = await Promise.all([customer.waitForEvent("popup"), frame.getByRole("link", { name: "Shipping, Delivery times" }).click()]);
  await expect(help.getByText("We ship every day.")).toBeVisible();
  await help.close();
  expect((await new AxeBuilder({ page: customer }).analyze()).violations.map((violation) => violation.id)).toEqual([]);

  await frame.getByRole("button", { name: "Talk to a person" }).click();
  await expect(frame.getByText("Your question is with the team.")).toBeVisible();
  await expect(rows(page)).toContainText("How long does a parcel take?");
  await page.getByRole("button", { name: "Take the next one" }).click();
  await expect(turns(page)).toHaveText([/parcel/, /Botty.*You wrote/, /Botty handed this to the team: the customer asked for a person/, /Botty, note for the team.*They asked:.*How long.*From: Shipping/s, /Ada took this/]);
  await say(frame, "I am on an island");
  await expect(turns(page).last()).toContainText("I am on an island");
  await page.getByLabel("Your answer").fill("Then it takes five.");
  await page.getByLabel("Your answer").press("Enter");
  await expect(turns(frame)).toHaveText([/parcel/, /You wrote/, /island/, /Ada.*Then it takes five\./]);
  server.close();
});
