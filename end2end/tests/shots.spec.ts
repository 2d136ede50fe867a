// Pictures of the screens, for people to look at: MOAT_SHOTS names the folder.
import { join } from "node:path";
import { expect, refused, test } from "../support/test";
import { firstHalf, release } from "../support/model";
import { ask, awake, fresh, rendered, said, newcomer, textOf } from "../support/steps";

const folder = process.env.MOAT_SHOTS;

for (const theme of ["light", "dark"] as const) {
  for (const viewport of [{ width: 1440, height: 900 }, { width: 390, height: 844 }]) {
    const name = `${theme}-${viewport.width}`;
    test.describe(name, () => {
      test.skip(!folder, "MOAT_SHOTS is not set");
      test.use({ viewport, colorScheme: theme });

      test(`pictures of the screens (${name})`, async ({ page, context, baseURL, complaints }) => {
        complaints.allow(refused(404));
        await context.addCookies([{ name: "moat-theme", value: theme, url: baseURL! }]);
        const shot = (what: string) => page.screenshot({ path: join(folder!, `${what}-${name}.png`) });
        await page.goto("/");
        await shot("home");
        await page.goto("/sign-up");
        await shot("sign-up");
        await newcomer(page);
        await awake(page);
        await shot("new-chat");
        const key = fresh("Alder");
        await ask(page, `Tell me something long about the trees of Europe and HOLD ${key}`);
        await expect(textOf(said(page, "moat"))).toHaveText(firstHalf(key));
        await shot("streaming");
        await release(key);
        await expect(rendered(said(page, "moat"))).toContainText("End of");
        await ask(page, "What about MARKDOWN?");
        await expect(rendered(said(page, "moat")).getByRole("table")).toBeVisible();
        await shot("done");
        await page.getByLabel("Rename, instructions, delete").click();
        await shot("menu");
        await page.goto("/chat");
        await awake(page);
        await shot("list");
        for (const at of ["account", "account/address", "account/phone", "account/sessions", "account/leave", "reset", "sign-in", "sign-in/code", "dev/outbox"]) {
          await page.goto(`/${at}`);
          await page.screenshot({ path: join(folder!, `${at.replace("/", "-")}-${name}.png`), fullPage: true });
        }
        await page.goto("/guide");
        await shot("guide");
        await page.goto("/guide/chats");
        await shot("guide-page");
        await page.goto("/chat/00000000-0000-4000-8000-000000000000");
        await shot("missing");
      });
    });
  }
}
