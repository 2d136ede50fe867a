// The tests' `test`: every page is watched, and a test fails when one of them complained.
import { test as base, expect, type Browser, type BrowserContext, type BrowserContextOptions } from "@playwright/test";

export { expect };

/** What browsers complained about: console errors and warnings, uncaught errors, breaches of the content policy. */
export class Complaints {
  private heard: string[] = [];
  private allowed: RegExp[] = [];

  /** This test causes complaints like this one. */
  allow(...like: RegExp[]): void {
    this.allowed.push(...like);
  }

  watch(context: BrowserContext): void {
    context.on("console", (message) => {
      if (["error", "warning", "assert"].includes(message.type())) {
        this.heard.push(`${message.type()}: ${message.text()} (${message.location().url})`);
      }
    });
    context.on("weberror", (error) => this.heard.push(`uncaught: ${error.error().stack ?? error.error()}`));
  }

  get unexpected(): string[] {
    return this.heard.filter((text) => !this.allowed.some((like) => like.test(text)));
  }
}

/** Chromium writes every refused request to the console. */
export const refused = (status: number) => new RegExp(`Failed to load resource: .*status of ${status}`);
/** The same for requests that a test cuts off. */
export const cut = /Failed to load resource: net::ERR_/;

/** Without scripts, what is fetched for them is fetched for nothing. */
const unused = /\/pkg\/moat\S* was preloaded using link preload but not used/;

async function prepare(context: BrowserContext, complaints: Complaints): Promise<BrowserContext> {
  complaints.watch(context);
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.error(`content policy: ${event.violatedDirective} refused ${event.blockedURI} ${event.sample}`);
    });
  });
  return context;
}

type Fixtures = {
  complaints: Complaints;
  /** Another browser, of somebody else or of the same person. */
  another: (options?: BrowserContextOptions) => Promise<BrowserContext>;
};

export const test = base.extend<Fixtures>({
  baseURL: async ({}, use) => {
    await use(process.env.MOAT_E2E_URL);
  },
  complaints: async ({}, use) => {
    const complaints = new Complaints();
    await use(complaints);
    expect(complaints.unexpected, "what the browser complained about").toEqual([]);
  },
  context: async ({ context, complaints, javaScriptEnabled }, use) => {
    if (javaScriptEnabled === false) complaints.allow(unused);
    await use(await prepare(context, complaints));
  },
  another: async ({ browser, baseURL, complaints, contextOptions, viewport }, use) => {
    const made: BrowserContext[] = [];
    await use(async (options) => {
      const context = await (browser as Browser).newContext({ ...contextOptions, baseURL, viewport, ...options });
      if (options?.javaScriptEnabled === false) complaints.allow(unused);
      made.push(context);
      return prepare(context, complaints);
    });
    for (const context of made) await context.close();
  },
});
