import AxeBuilder from "@axe-core/playwright";
import { bubble, colleague, live, openDesk, rows, say, shop, turns } from "../support/desk";
import { cut, expect, test } from "../support/test";

const shots = process.env.MOAT_SHOTS;

test("the next one is taken once though its answer is lost, and what was put off comes back to whoever put it off", async ({ page, another, complaints }) => {
  complaints.allow(cut);
  const { desk, key } = await openDesk(page);
  const { url, server } = await shop(key);
  const frame = await bubble(await (await another()).newPage(), url);
  await say(frame, "one");
  await say(await bubble(await (await another()).newPage(), url), "two");

  // The server has done it, and the browser never hears of that.
  await page.goto(desk);
  await live(page);
  let lost = 0;
  await page.route(/do=take-next/, async (route) => {
    await route.fetch({ maxRedirects: 0 });
    lost += 1;
    await route.abort();
  }, { times: 1 });
  await page.getByRole("button", { name: "Take the next one" }).click();
  await expect(page.getByRole("alert")).toContainText("the server can't be reached");
  expect(lost).toBe(1);
  await page.getByRole("button", { name: "Take the next one" }).click();
  await expect(turns(page).first()).toContainText("one");
  await expect(page.getByText("You have this conversation.")).toBeVisible();
  await expect(page.getByRole("link", { name: "Mine 1" })).toBeVisible();
  await expect(page.getByRole("link", { name: "Waiting 1" })).toBeVisible();

  await page.getByLabel("Put off for").selectOption({ label: "until they write" });
  await page.getByRole("button", { name: "Put off", exact: true }).click();
  await expect(page.getByText("Put off until they write. It comes back to you.")).toBeVisible();
  await say(frame, "I am back");
  await expect(page.getByText("You have this conversation.")).toBeVisible();
  await expect(turns(page).last()).toContainText("Ada has this again");
  // An answer that was stored though nobody was told so is not in the box again, and is said once.
  await page.getByLabel("Your answer").fill("said once");
  await page.route(/do=answer-conversation/, async (route) => {
    await route.fetch({ maxRedirects: 0 });
    await route.abort();
  }, { times: 1 });
  await page.getByLabel("Your answer").press("Enter");
  await expect(page.getByRole("alert")).toContainText("the server can't be reached");
  await expect(page.getByLabel("Your answer")).toHaveValue("said once");
  await page.reload();
  await expect(turns(page).last()).toContainText("said once");
  await expect(page.getByLabel("Your answer")).toHaveValue("");
  await expect(turns(frame).last()).toContainText("said once");
  // One that was not is.
  await page.getByLabel("Your answer").fill("half a thought");
  await page.reload();
  await expect(page.getByLabel("Your answer")).toHaveValue("half a thought");
  await page.getByLabel("Your answer").fill("");
  // A low window, of a keyboard or of somebody who needs large letters: what is written has the room while it is written.
  await page.setViewportSize({ width: 683, height: 400 });
  await page.getByLabel("Your answer").blur();
  await expect(page.getByRole("button", { name: "Resolve", exact: true })).toBeVisible();
  await expect(page.getByRole("link", { name: "Queue", exact: true })).toBeVisible();
  await page.getByLabel("Your answer").focus();
  await expect(page.getByRole("button", { name: "Resolve", exact: true })).toBeHidden();
  await expect(turns(page).last()).toBeInViewport();
  server.close();
});

test("a note names a colleague by the first letters, who looks is told while they do, and a joined conversation says where it goes on", async ({ page, another }) => {
  const { desk, key, name } = await openDesk(page);
  const bobs = await (await another()).newPage();
  await colleague(page, bobs, desk, name);
  const { url, server } = await shop(key);
  const frames = [];
  for (const text of ["from my phone", "from my laptop"]) {
    const frame = await bubble(await (await another()).newPage(), url);
    await say(frame, text);
    await frame.getByText("Leave an e-mail address").click();
    await frame.getByLabel("Where can we write").fill("vi@example.org");
    await frame.getByRole("button", { name: "Leave address" }).click();
    await expect(frame.getByText("Leave an e-mail address")).toHaveCount(0);
    frames.push(frame);
  }
  await page.goto(desk);
  await rows(page).getByRole("link").filter({ hasText: "from my laptop" }).click();
  await live(page);

  // Only who is there while they are.
  await bobs.getByRole("link", { name: "Desk" }).click();
  await rows(bobs).getByRole("link").filter({ hasText: "from my laptop" }).click();
  await expect(page.getByText("Bob looks at this.")).toBeVisible();
  await bobs.getByRole("link", { name: "Figures" }).click();
  await expect(page.getByText("Bob looks at this.")).toHaveCount(0, { timeout: 15000 });

  const box = page.getByLabel("Your answer");
  await box.fill("Is this yours, ");
  await box.press("End");
  await box.pressSequentially("@bo");
  await expect(page.getByRole("link", { name: "Bob", exact: true })).toBeVisible();
  if (shots) await page.screenshot({ path: `${shots}/names.png` });
  expect((await new AxeBuilder({ page }).analyze()).violations.map((violation) => violation.id)).toEqual([]);
  await box.press("Enter");
  await expect(box).toHaveValue("Is this yours, @Bob ");
  await expect(page.getByRole("link", { name: "Bob", exact: true })).toBeHidden();
  await box.pressSequentially("?");
  // Not to the customer by a key that was meant for the note.
  await box.press("Enter");
  await expect(page.getByRole("alert")).toContainText("This names Bob, and the customer would read it.");
  await page.getByRole("button", { name: "Keep as a note" }).click();
  await expect(turns(page).last()).toContainText("Is this yours, @Bob ?");
  await bobs.goto(desk);
  await expect(bobs.getByRole("link", { name: "Mentions 1" })).toBeVisible();
  // By the button, behind what is written.
  await box.fill("ask");
  await page.getByText("@ Name somebody in a note").click();
  await page.getByRole("link", { name: "Bob", exact: true }).click();
  await expect(box).toHaveValue("ask @Bob ");
  await box.fill("");

  // Nothing that can't be undone is done by one click.
  await page.getByText(/^Join to this one/).click();
  await page.getByRole("button", { name: "Join them" }).click();
  await expect(turns(page).last()).toContainText("From their other conversation");
  await expect(page.getByRole("link", { name: "from my phone, Joined to this one" })).toBeVisible();
  await expect(page.getByText(/^Join to this one/)).toHaveCount(0);
  await expect(frames[0].getByText("The team has your question. Write here to add to it.")).toBeVisible();
  await expect(frames[0].getByText("Were you helped?")).toHaveCount(0);
  await say(frames[0], "here again");
  await expect(frames[0].getByText("The team has your question.")).toHaveCount(0);
  server.close();
});
