import { expect, refused, test } from "../support/test";
import { fresh, letter, newcomer } from "../support/steps";
import { Names } from "../support/names";

test("an owner proves a domain, and a colleague joins by a confirmed address there", async ({ page, another, complaints }) => {
  complaints.allow(refused(409), refused(404));
  const names = await Names.start();
  try {
    await newcomer(page);
    const [name, domain] = [fresh("Acme"), `${fresh("acme")}.example`];
    await page.goto("/workspaces");
    await page.getByLabel("Name").fill(name);
    await page.getByRole("button", { name: "Make workspace" }).click();
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("link", { name: "Set up domains" }).click();
    await page.getByLabel("Domain").fill(domain);
    await page.getByRole("button", { name: "Add" }).click();
    const row = page.getByRole("listitem").filter({ hasText: domain });
    await expect(row).toContainText("Not proven");
    const [, host, value] = await row.getByRole("code").allTextContents();
    expect(host).toBe(`_moat.${domain}`);

    // A colleague who is here already, with an address there that nobody has confirmed.
    const bobs = await (await another()).newPage();
    const bob = await newcomer(bobs, `bob@${domain}`);
    const check = page.getByRole("button", { name: `Check ${domain} now` });
    await check.click();
    await expect(page.getByRole("alert")).toContainText(`There is no TXT record at _moat.${domain} yet.`);
    names.say(host!, "moat-verify=somebody else's");
    await check.click();
    await expect(page.getByRole("alert")).toContainText("says something else");
    names.say(host!, value!);
    await check.click();
    await expect(row).toContainText("Proven");
    await expect(row).not.toContainText("Not proven");

    await bobs.goto("/workspaces");
    await expect(bobs.getByText(name)).toHaveCount(0);
    await bobs.goto("/account/address");
    await bobs.getByRole("button", { name: "Send a link to confirm it" }).click();
    const mail = (await (await letter(bobs, bob, "Confirm")).textContent()) ?? "";
    await bobs.goto(new URL(/http\S+\/link\?t=[\w-]+/.exec(mail)![0]).href);
    await bobs.getByRole("button", { name: "Confirm" }).click();
    // Somebody at a domain below it is not at it.
    const eves = await (await another()).newPage();
    await newcomer(eves, `eve@mail.${domain}`);
    await eves.goto("/workspaces");
    await expect(eves.getByText(name)).toHaveCount(0);

    await bobs.goto("/workspaces");
    await bobs.getByRole("button", { name: `Join ${name}` }).click();
    await bobs.goto("/workspaces");
    await bobs.getByRole("link", { name }).click();
    await bobs.getByRole("link", { name: "Members" }).click();
    await expect(bobs.getByRole("row").filter({ hasText: bob }).or(bobs.getByRole("listitem").filter({ hasText: bob })).first()).toContainText("Member");

    // Nobody else joins by it any more, and Bob stays.
    await page.getByLabel(`Remove ${domain}`).click();
    await page.getByRole("button", { name: "Remove this domain" }).click();
    await expect(page.getByText("No domain is named yet.")).toBeVisible();
    await bobs.reload();
    await expect(bobs.getByRole("heading", { level: 1 })).toHaveText("Members");
  } finally {
    await names.stop();
  }
});
