import AxeBuilder from "@axe-core/playwright";
import { bubble, colleague, live, openDesk, rows, say, shop, turns } from "../support/desk";
import { freshEmail, letter, newcomer } from "../support/steps";
import { expect, refused, test } from "../support/test";

const shots = process.env.MOAT_SHOTS;

test("two tabs that write their first words at the same moment are one customer, who can leave a name and mend an address", async ({ page, another }) => {
  const { desk, key } = await openDesk(page);
  const { url, server } = await shop(key);
  const browser = await another();
  const tabs = [await browser.newPage(), await browser.newPage()];
  const frames = [await bubble(tabs[0], url), await bubble(tabs[1], url)];
  // Both are given a token before either hears of it.
  let both = () => {};
  const asked = new Promise<void>((go) => (both = go));
  let many = 0;
  await browser.route(/begin_visit/, async (route) => {
    const answer = await route.fetch();
    if (++many === 2) both();
    await asked;
    await route.fulfill({ response: answer });
  });
  for (const [n, frame] of frames.entries()) {
    await frame.getByLabel("Your message").fill(n ? "from the right" : "from the left");
    await frame.getByLabel("Your message").press("Enter");
  }
  for (const frame of frames) await expect(turns(frame)).toHaveText([/from the (left|right)/, /from the (left|right)/]);
  expect(many).toBe(2);
  await page.goto(desk);
  await expect(rows(page)).toHaveCount(1);
  await expect(page.getByRole("link", { name: "Waiting 1" })).toBeVisible();

  await frames[0].getByText("Leave an e-mail address").click();
  await frames[0].getByLabel("Your name").fill("Vi");
  await frames[0].getByLabel("Where can we write").fill("vi@exmaple.org");
  await frames[0].getByRole("button", { name: "Leave address" }).click();
  await frames[0].getByText("We can write to vi@exmaple.org").click();
  await frames[0].getByLabel("Where can we write").fill("vi@example.org");
  if (shots) await tabs[0].screenshot({ path: `${shots}/address.png` });
  await frames[0].getByRole("button", { name: "Leave address" }).click();
  await expect(frames[0].getByText("We can write to vi@example.org")).toBeVisible();
  await rows(page).getByRole("link").click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Vi");
  await expect(page.locator("#talk-head")).toContainText("vi@example.org");
  server.close();
});

test("whoever becomes an agent has an agent's page, finds by arrows, sees who has it, and ticks all at once", async ({ page, another }) => {
  const { desk, key, name } = await openDesk(page);
  const bobs = await (await another()).newPage();
  await colleague(page, bobs, desk, name);
  await page.goto(`${desk}/set-up`);
  for (const short of ["by and by", "sorry", "soon"]) {
    await page.getByLabel("Short name").fill(short);
    await page.getByLabel("Words", { exact: true }).fill(`${short}, {{customer}}.`);
    if (short === "soon") {
      await page.getByText("What else it does").click();
      await page.getByLabel("Add labels").fill("later");
    }
    await page.getByRole("button", { name: "Keep", exact: true }).click();
    await expect(page.getByText("Kept.")).toBeVisible();
  }
  const { url, server } = await shop(key);
  const frame = await bubble(await (await another()).newPage(), url);
  await say(frame, "it is at https://example.org/parcel?n=1.");
  await say(await bubble(await (await another()).newPage(), url), "hello");

  await page.goto(desk);
  await rows(page).getByRole("link").filter({ hasText: "it is at" }).click();
  await live(page);
  const link = turns(page).first().getByRole("link");
  await expect(link).toHaveAttribute("href", "https://example.org/parcel?n=1");
  await expect(link).toHaveAttribute("rel", /noopener/);
  // By the arrows to the second of two, and back into the box from the first.
  const box = page.getByLabel("Your answer");
  await box.pressSequentially("/so");
  await box.press("ArrowDown");
  await page.keyboard.press("ArrowUp");
  await expect(box).toBeFocused();
  await box.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await expect(box).toHaveValue(/^(sorry|soon)/);
  const second = await box.inputValue();
  await box.fill("/so");
  await box.press("Enter");
  expect(await box.inputValue()).not.toBe(second);
  // A name of two words; and what is no name goes to nobody by a key.
  await box.fill("");
  await box.pressSequentially("/by and");
  await box.press("Enter");
  await expect(box).toHaveValue(/^by and by/);
  await box.fill("/by the way");
  await box.press("Enter");
  await expect(page.getByRole("alert")).toContainText("No saved reply has this name.");
  await box.fill("");
  // What a reply in one step says is read before it is said.
  await expect(page.locator(".quoted")).toHaveText(/^soon/);
  if (shots) await page.screenshot({ path: `${shots}/one-step.png` });

  // Bob has it: it is said before anything is written.
  await bobs.goto(page.url());
  await expect(bobs.getByText("An answer of yours")).toHaveCount(0);
  await bobs.getByRole("button", { name: "Take", exact: true }).click();
  await expect(page.getByText("An answer of yours would be held, as Bob has this. A note is kept.")).toBeVisible();
  await expect(bobs.getByText("An answer of yours")).toHaveCount(0);
  expect((await new AxeBuilder({ page }).analyze()).violations.map((violation) => violation.id)).toEqual([]);
  if (shots) await page.screenshot({ path: `${shots}/theirs.png` });

  // An agent no more, and one again, with the page open and half a note written.
  await live(bobs);
  await bobs.getByLabel("Your answer").fill("half a thought");
  const set = await (page.context()).newPage();
  await set.goto(`${desk}/set-up`);
  const row = set.getByRole("listitem").filter({ hasText: "Bob" }).first();
  await row.getByText("Remove").first().click();
  await row.getByRole("button", { name: /Remove/ }).last().click();
  await expect(bobs.getByLabel("A note for the team")).toHaveValue("half a thought");
  await expect(bobs.getByRole("button", { name: "Take", exact: true })).toHaveCount(0);
  await set.locator("#agent-name").fill("Bob");
  await set.getByRole("button", { name: "Add", exact: true }).first().click();
  // A note for the team never comes to stand where one answers the customer.
  await expect(bobs.getByRole("alert")).toContainText("You answer customers here by now.");
  await expect(bobs.getByLabel("A note for the team")).toHaveValue("half a thought");
  await bobs.getByLabel("A note for the team").press("Enter");
  await expect(turns(bobs).last()).toContainText("half a thought");
  await expect(turns(bobs).last()).toHaveClass(/aside/);
  await expect(bobs.getByLabel("Your answer")).toHaveValue("");

  // All that are shown, and none of them.
  await page.goto(desk);
  await page.getByText("Do something for all ticked ones").click();
  await page.getByRole("button", { name: "Tick all that are shown" }).click();
  await expect(rows(page).getByRole("checkbox", { checked: true })).toHaveCount(await rows(page).count());
  await page.getByRole("button", { name: "Untick all" }).click();
  await expect(rows(page).getByRole("checkbox", { checked: true })).toHaveCount(0);
  if (shots) await page.screenshot({ path: `${shots}/many.png` });
  server.close();
});

test("the bubble is written in and shut by keyboard alone, and says when the team is back by its reader's clock", async ({ page, another }) => {
  const { desk, key } = await openDesk(page);
  await page.goto(`${desk}/set-up`);
  const soon = new Date(Date.now() + 2 * 86_400_000);
  const day = soon.toLocaleDateString("en-GB", { weekday: "long", timeZone: "UTC" });
  const form = page.locator("form", { has: page.getByLabel("Answer within") });
  await form.getByLabel(`${day} from`).fill("09:00");
  await form.getByLabel(`${day} until`).fill("10:00");
  await form.getByLabel("Time zone of the hours").selectOption("UTC");
  await form.getByRole("button", { name: "Save" }).click();
  await expect(form.getByLabel(`${day} until`)).toHaveValue("10:00");
  await page.goto(desk);
  await page.getByRole("button", { name: "Go away for a while" }).click();
  await expect(page.getByRole("button", { name: "I am here" })).toBeVisible();

  const { url, server } = await shop(key);
  const customer = await (await another({ timezoneId: "Asia/Tokyo" })).newPage();
  await customer.goto(url);
  await customer.getByRole("button", { name: "Ask us" }).focus();
  await customer.keyboard.press("Enter");
  const frame = customer.frameLocator("iframe");
  await expect(frame.getByLabel("Your message")).toBeFocused();
  await expect(frame.getByText(`the team is back on ${day} at 18:00`)).toBeVisible();
  await customer.keyboard.type("hello");
  await customer.keyboard.press("Enter");
  await expect(turns(frame)).toHaveText([/hello/]);
  await expect(frame.getByText(`for the team, who are back on ${day} at 18:00`)).toBeVisible();
  if (shots) await customer.screenshot({ path: `${shots}/back.png` });
  await customer.keyboard.press("Escape");
  await expect(customer.getByRole("button", { name: "Ask us" })).toBeFocused();
  server.close();
});

test("whoever joins, is made an admin or is removed is so on every page of members that is open", async ({ page, another, complaints }) => {
  complaints.allow(refused(404));
  const { desk, name } = await openDesk(page);
  const members = await page.context().newPage();
  await members.goto(`${desk.replace("/desk", "")}/members`);
  await live(members);
  const bobs = await (await another()).newPage();
  await colleague(page, bobs, desk, name);
  const joined = members.getByRole("row").filter({ hasText: /^bob/ });
  await expect(joined).toHaveCount(1);
  const row = members.getByRole("row").filter({ hasText: (await joined.getByRole("cell").first().textContent())!.trim() });
  if (shots) await members.screenshot({ path: `${shots}/members.png` });
  expect((await new AxeBuilder({ page: members }).analyze()).violations.map((violation) => violation.id)).toEqual([]);

  await bobs.getByRole("link", { name: "Members" }).click();
  await live(bobs);
  const me = bobs.getByRole("row").filter({ hasText: "(you)" });
  await expect(me).not.toContainText("Admin");
  // What is chosen for one stays with them, whatever comes meanwhile.
  await row.getByLabel(/^Role of/).selectOption("Admin");
  const cys = await (await another()).newPage();
  const cy = freshEmail("cy");
  await page.goto(`${desk.replace("/desk", "")}/invitations`);
  await page.getByLabel("E-mail addresses").fill(cy);
  await page.getByRole("button", { name: "Invite", exact: true }).click();
  const text = (await (await letter(page, cy, "You are invited")).textContent()) ?? "";
  await newcomer(cys, cy);
  await cys.goto(new URL(/http\S+\/invitation\?t=[\w-]+/.exec(text)![0]).href);
  await cys.getByRole("button", { name: `Join ${name}` }).click();
  await expect(members.getByRole("row")).toHaveCount(4);
  await expect(row.getByLabel(/^Role of/)).toHaveValue("admin");
  await row.getByRole("button", { name: /^Save the role/ }).click();
  await expect(me).toContainText("Admin");
  await row.getByLabel(/^Remove/).click();
  await row.getByRole("button", { name: /^Remove/ }).last().click();
  await expect(bobs.getByRole("heading", { level: 1 })).toHaveText("Nothing here");
});
