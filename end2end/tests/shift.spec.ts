// Nothing on the page moves while an answer comes in.
import { expect, test } from "../support/test";
import { ask, awake, box, newcomer, rendered, said, stopButton } from "../support/steps";

type Shift = { value: number; what: string[] };

for (const width of [390, 1440]) {
  for (const height of [3000, 700]) {
    test(`nothing moves while an answer with a table and code comes in (${width} by ${height})`, async ({ page }) => {
      await page.setViewportSize({ width, height });
      await newcomer(page);
      await ask(page, "SLOWLY at first");
      await expect(rendered(said(page, "moat")).locator("pre")).toBeVisible();
      await expect(stopButton(page)).toBeHidden();
      await awake(page);
      await page.evaluate(() => {
        const shifts: Shift[] = ((window as unknown as { shifts: Shift[] }).shifts = []);
        const name = (node: Node | null) => (node instanceof Element ? `${node.tagName}.${node.className}` : `text in ${node?.parentElement?.className}: ${node?.textContent?.slice(0, 30)}`);
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean; sources: { node: Node | null; previousRect: DOMRect; currentRect: DOMRect }[] })[]) {
            if (entry.hadRecentInput) continue;
            const what = entry.sources.map((s) => `${name(s.node)} ${s.previousRect.x},${s.previousRect.y} ${s.previousRect.height} -> ${s.currentRect.x},${s.currentRect.y} ${s.currentRect.height}`);
            shifts.push({ value: entry.value, what });
          }
        }).observe({ type: "layout-shift", buffered: false });
        // What stands on the bottom moves up as the answer grows, which is no shift; down it must not go.
        const messages = document.querySelector(".messages")!;
        let high = messages.scrollHeight;
        const look = () => {
          const now = messages.scrollHeight;
          if (now < high - 8) shifts.push({ value: now - high, what: [`${high} -> ${now}: ${messages.lastElementChild?.textContent?.slice(-80)}`] });
          high = now;
          requestAnimationFrame(look);
        };
        look();
      });
      await box(page).fill("SLOWLY once more");
      await box(page).press("Enter");
      await expect(said(page, "moat")).toHaveCount(2);
      await expect(rendered(said(page, "moat").nth(1)).locator("blockquote")).toBeVisible();
      await expect(stopButton(page)).toBeHidden();
      // What has moved is told with the next frames.
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
      const shifts = await page.evaluate(() => (window as unknown as { shifts: Shift[] }).shifts);
      expect(shifts).toEqual([]);
    });
  }
}
