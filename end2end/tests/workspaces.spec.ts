// People come into a workspace and go, and no browser ever handles its id.
import { type Page } from "@playwright/test";
import { expect, test, refused } from "../support/test";
import { PASSWORD, ask, fresh, freshEmail, letter, newcomer } from "../support/steps";
import { record, spellings } from "../support/traffic";

async function invite(page: Page, emails: string[], role: string): Promise<void> {
  await page.getByLabel("E-mail addresses").fill(emails.join(", "));
  await page.getByLabel("As", { exact: true }).first().selectOption(role);
  await page.getByRole("button", { name: "Invite", exact: true }).click();
  for (const email of emails) {
    await expect(page.getByRole("status").getByRole("listitem").filter({ hasText: email })).toContainText("A mail is on its way.");
  }
}

async function linkOf(page: Page, email: string): Promise<string> {
  const text = (await (await letter(page, email, "You are invited")).textContent()) ?? "";
  return new URL(/http\S+\/invitation\?t=[\w-]+/.exec(text)![0]).href;
}

test("an owner invites three people, gives them work, removes one, and no browser handles the workspace's id", async ({ page, context, another, complaints }) => {
  complaints.allow(refused(404), refused(410));
  const traffic = [record(context)];
  const owner = await newcomer(page);
  const name = fresh("Acme");
  await page.goto("/workspaces");
  await page.getByLabel("Name").fill(name);
  await page.getByRole("button", { name: "Make workspace" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(name);
  const here = new URL(page.url()).pathname;
  await page.getByLabel("Name").fill("Plan");
  await page.getByRole("button", { name: "Make project" }).click();
  await expect(page.getByRole("link", { name: "Plan" })).toBeVisible();

  const [bob, cy, dee] = [freshEmail("bob"), freshEmail("cy"), freshEmail("dee")];
  await page.goto(`${here}/invitations`);
  await invite(page, [bob, cy], "project_creator");
  await invite(page, [dee], "admin");
  const [toBob, toCy, toDee] = [await linkOf(page, bob), await linkOf(page, cy), await linkOf(page, dee)];

  // Bob has an account and is signed out; Cy and Dee have none.
  const bobs = await (await another()).newPage();
  traffic.push(record(bobs.context()));
  await newcomer(bobs, bob);
  await bobs.context().clearCookies();
  await bobs.goto(toBob);
  await bobs.getByRole("link", { name: "Sign in" }).click();
  await bobs.getByLabel("Password").fill(PASSWORD);
  await bobs.getByLabel("E-mail").fill(bob);
  await bobs.getByRole("button", { name: "Sign in" }).click();
  await bobs.getByRole("button", { name: `Join ${name}` }).click();
  await expect(bobs.getByRole("heading", { level: 1 })).toHaveText(name);
  // Without a script.
  const cys = await (await another({ javaScriptEnabled: false })).newPage();
  await cys.goto(toCy);
  await cys.getByLabel("Choose a password").fill(PASSWORD);
  await cys.getByRole("button", { name: /join/ }).click();
  await expect(cys.getByRole("heading", { level: 1 })).toHaveText(name);
  // The owner opens Dee's link: it is not theirs.
  await page.goto(toDee);
  await expect(page.getByText(`You are signed in as ${owner}`)).toBeVisible();
  const dees = await (await another()).newPage();
  traffic.push(record(dees.context()));
  await dees.goto(toDee);
  await dees.getByLabel("Choose a password").fill(PASSWORD);
  await dees.getByRole("button", { name: /join/ }).click();
  await expect(dees.getByRole("heading", { level: 1 })).toHaveText(name);
  await dees.goto(toDee);
  await expect(dees.getByRole("heading", { level: 1 })).toHaveText("This invitation was used already");

  await page.goto(here);
  await page.getByRole("link", { name: "Plan" }).click();
  for (const email of [bob, cy]) {
    await page.getByLabel("Add a member of the workspace").fill(email);
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await expect(page.getByRole("listitem").filter({ hasText: email })).toBeVisible();
  }
  // The people of the project, and nobody else of the workspace.
  await page.getByRole("link", { name: "Who can see this?" }).click();
  await expect(page.getByRole("listitem")).toHaveCount(4);
  await expect(page.getByRole("listitem").filter({ hasText: bob })).toContainText("Contributor of the project since");
  await expect(page.getByRole("listitem").filter({ hasText: dee })).toContainText("Admin of the workspace since");
  await page.goto(`${here}/members`);
  await page.getByLabel(`Role of ${cy}`, { exact: true }).selectOption("admin");
  await page.getByRole("button", { name: `Save the role of ${cy}` }).click();
  await expect(page.getByLabel(`Role of ${cy}`, { exact: true })).toHaveValue("admin");

  const his = new URL(bobs.url()).pathname;
  await bobs.goto(his);
  await bobs.getByRole("link", { name: "Plan" }).click();
  await expect(bobs.getByRole("heading", { level: 1 })).toHaveText("Plan");
  const saved = bobs.url();
  const second = await bobs.context().newPage();
  await ask(second, "Still here?");
  await page.getByLabel(`Remove ${bob}`, { exact: true }).click();
  await page.getByRole("button", { name: `Remove ${bob}`, exact: true }).last().click();
  await expect(page.getByText(bob)).toHaveCount(0);
  // Their next click, and what they have saved.
  await bobs.getByRole("link", { name: "The workspace" }).click();
  await expect(bobs.getByRole("heading", { level: 1 })).toHaveText("Nothing here");
  await bobs.goto(saved);
  await expect(bobs.getByRole("heading", { level: 1 })).toHaveText("Nothing here");
  await bobs.goto("/workspaces");
  await expect(bobs.getByText(name)).toHaveCount(0);
  // Their own chats are as they were, and theirs alone.
  await second.reload();
  await expect(second.getByRole("article").first()).toContainText("Still here?");
  await second.goto(`${second.url()}/readers`);
  await expect(second.getByRole("listitem")).toHaveText([new RegExp(`^${bob} \\(you\\) It is your chat`)]);

  // Who did what, and a copy of it.
  await page.goto(here);
  await page.getByRole("link", { name: "Audit trail" }).click();
  const trail = page.getByRole("listitem");
  await expect(trail.filter({ hasText: `removed ${bob}.` })).toContainText(owner);
  const raised = trail.filter({ hasText: `made ${cy} an admin` });
  await raised.getByText("Details").click();
  await expect(raised.getByRole("link", { name: "Who can see this?" })).toBeVisible();
  await expect(raised.getByRole("deletion")).toHaveText("Member");
  await expect(raised.getByRole("insertion")).toHaveText("Admin");
  await expect(trail.filter({ hasText: `${cy} joined` })).toHaveCount(1);
  await page.getByLabel("Person").fill(dee);
  await page.getByLabel("About").selectOption("Members");
  await page.getByRole("button", { name: "Show" }).click();
  await expect(trail).toHaveText([new RegExp(`^${dee} joined`)]);
  const copy = await page.evaluate((path) => fetch(path).then((answer) => answer.text()), `${here}/audit.jsonl`);
  expect(copy.trim().split("\n").length).toBeGreaterThan(12);
  expect(copy).toMatch(/"ends":\d+[^\n]*\n$/);

  const seen = (await Promise.all(traffic.map((all) => all()))).flat();
  expect(seen.length).toBeGreaterThan(200);
  // What is looked for could be found: the owner's own place is.
  const place = here.split("/")[2]!;
  for (const where of ["address", "got", "headers sent", "dom"]) {
    expect(seen.some(([part, text]) => part === where && text.includes(place)), where).toBe(true);
  }
  for (const spelling of spellings()) {
    expect(seen.filter(([, text]) => text.includes(spelling)).map(([where, text]) => `${where}: ${text.slice(0, 200)}`), spelling).toEqual([]);
  }
});

test("the pages of a workspace have nothing that axe finds", async ({ page }) => {
  const { default: AxeBuilder } = await import("@axe-core/playwright");
  await newcomer(page);
  await page.goto("/workspaces");
  await page.getByLabel("Name").fill(fresh("Acme"));
  await page.getByRole("button", { name: "Make workspace" }).click();
  await expect(page.getByRole("heading", { name: "Projects" })).toBeVisible();
  const here = new URL(page.url()).pathname;
  await page.getByLabel("Name").fill("Plan");
  await page.getByRole("button", { name: "Make project" }).click();
  await page.getByRole("link", { name: "Plan" }).click();
  const project = new URL(page.url()).pathname;
  for (const width of [1440, 390]) {
    await page.setViewportSize({ width, height: 900 });
    for (const scheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      for (const path of ["/workspaces", here, `${here}/members`, `${here}/invitations`, `${here}/settings`, `${here}/domains`, `${here}/audit`, `${here}/audit/1/readers`, project, `${project}/readers`]) {
        await page.goto(path);
        const { violations } = await new AxeBuilder({ page }).analyze();
        expect(violations.map((v) => `${path} ${scheme} ${width}: ${v.id} ${v.nodes.map((n) => n.html).join(" ")}`)).toEqual([]);
      }
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  for (const colour of ["Teal", "Green", "Orange", "Red", "Pink", "Violet"]) {
    await page.goto(`${here}/settings`);
    await page.getByLabel("Colour of its pages").selectOption(colour);
    await page.getByRole("button", { name: "Save" }).click();
    await expect(page.getByLabel("Colour of its pages")).toHaveValue(colour.toLowerCase());
    for (const scheme of ["light", "dark"] as const) {
      // A colour on its way to another is neither.
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
      const { violations } = await new AxeBuilder({ page }).analyze();
      expect(violations.map((v) => `${colour} ${scheme}: ${v.id} ${v.nodes.map((n) => n.html).join(" ")}`)).toEqual([]);
    }
  }
});
