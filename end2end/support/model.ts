// A model server that speaks OpenAI's chat completions. The last message decides what it does:
//   HOLD <key>        the first half of an answer, then nothing until the test releases the key, then the rest
//   HOLD <key> BLOCKS the same in Markdown: complete blocks, then one that is not
//   HOLD <key> CODE   the same, cut in the middle of a block of code
//   WORDS <n>         n words, one piece each
//   FAIL <status> <key>  that status until the test heals the key; then an answer
//   CUT               some words, then the connection breaks
//   SLOWLY            the same, a line at a time with a breath in between
//   MARKDOWN          a heading, a list, a table, code, a link
//   anything else     "You wrote: " and the message
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What HOLD streams before it waits: letters of one to four bytes, so that a cut in the wrong place would show. */
export const firstHalf = (key: string) => `Beginning of ${key}: zwölf Boxkämpfer, 漢字, 🦀 and plain words`;
/** What HOLD streams afterwards. */
export const secondHalf = (key: string) => `, then more of them, naïve 🏰 and 終わり. End of ${key}.`;
export const whole = (key: string) => firstHalf(key) + secondHalf(key);
export const words = (n: number) => Array.from({ length: n }, (_, i) => `word${i + 1}`).join(" ");
export const healed = (key: string) => `The second try of ${key} worked.`;

export const BLOCKS = "## Done already\n\n- one\n- **two**\n\nThis *paragraph* is still";
const BLOCKS_END = " being written.\n";
const CODE = "Like this:\n\n```rust\nfn main() {\n    let unfinished";
const CODE_END = " = 1;\n}\n```\n";

export const MARKDOWN = `## Three kinds of trees

A list first:

- oak
- **beech**
- *birch*

| Tree | Height | Leaves |
| --- | ---: | --- |
| Oak | 40 m | lobed |
| Beech | 46 m | oval |

\`\`\`rust
// Counts the tall ones.
fn tall(trees: &[Tree]) -> usize {
    trees.iter().filter(|tree| tree.height > 42).count()
}
\`\`\`

Use \`tall(&trees)\`, or read [more about trees](https://example.org/trees).

> Who plants trees knows that he will not sit in their shade.

<script>window.pwned = true</script><img src="x" onerror="window.pwned = true">
`;

export class FakeModel {
  private held = new Map<string, () => void>();
  private released = new Set<string>();
  private healed = new Set<string>();
  private asked: string[] = [];

  private constructor(private server: Server) {}

  static async start(): Promise<FakeModel> {
    const server = createServer();
    const model = new FakeModel(server);
    server.on("request", (request, response) => {
      model.serve(request, response).catch((error) => {
        console.error("model server:", error);
        response.destroy();
      });
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return model;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://model");
    const key = url.searchParams.get("key") ?? "";
    switch (url.pathname) {
      case "/v1/chat/completions":
        return this.complete(await body(request), response);
      case "/control/release":
        this.released.add(key);
        this.held.get(key)?.();
        response.end("ok");
        return;
      case "/control/heal":
        this.healed.add(key);
        response.end("ok");
        return;
      // How often a message with this text was the last one.
      case "/control/asked":
        response.end(String(this.asked.filter((text) => text.includes(key)).length));
        return;
      default:
        response.writeHead(404).end();
    }
  }

  private async complete(json: string, response: ServerResponse): Promise<void> {
    const { messages } = JSON.parse(json) as { messages: { role: string; content: string }[] };
    const text = messages.at(-1)?.content ?? "";
    this.asked.push(text);
    const fail = /FAIL (\d+) (\S+)/.exec(text);
    if (fail && !this.healed.has(fail[2])) {
      response.writeHead(Number(fail[1])).end("the model is unwell");
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const gone = new Promise<void>((done) => response.once("close", done));
    const say = async (pieces: string[]) => {
      for (const piece of pieces) {
        if (response.destroyed) return;
        response.write(`data: ${JSON.stringify({ choices: [{ delta: { content: piece } }] })}\n\n`);
        await new Promise((go) => setTimeout(go, 5));
      }
    };
    const hold = /HOLD (\S+)/.exec(text);
    const count = /WORDS (\d+)/.exec(text);
    if (hold) {
      const key = hold[1];
      const [first, second] = /\bBLOCKS\b/.test(text) ? [BLOCKS, BLOCKS_END] : /\bCODE\b/.test(text) ? [CODE, CODE_END] : [firstHalf(key), secondHalf(key)];
      await say(pieces(first));
      if (!this.released.has(key)) {
        await Promise.race([gone, new Promise<void>((go) => this.held.set(key, go))]);
        this.held.delete(key);
      }
      await say(pieces(second));
    } else if (count) {
      await say(pieces(words(Number(count[1]))));
    } else if (fail) {
      await say(pieces(healed(fail[2])));
    } else if (/\bCUT\b/.test(text)) {
      await say(pieces("This answer will not reach its"));
      response.destroy();
      return;
    } else if (/\bSLOWLY\b/.test(text)) {
      for (const line of MARKDOWN.match(/.*\n/g) ?? []) {
        if (response.destroyed) return;
        await say([line]);
        await new Promise((go) => setTimeout(go, 60));
      }
    } else if (/\bMARKDOWN\b/.test(text)) {
      await say(pieces(MARKDOWN));
    } else {
      await say(pieces(`You wrote: ${text}`));
    }
    response.write(`data: ${JSON.stringify({ choices: [{ delta: {}, finish_reason: "stop" }] })}\n\n`);
    response.end("data: [DONE]\n\n");
  }
}

/** Words with the space before them; together they are the text. */
function pieces(text: string): string[] {
  return text.match(/\s*\S+\s*$|\s*\S+/g) ?? [text];
}

async function body(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("utf8");
}

async function control(what: string, key: string): Promise<string> {
  const answer = await fetch(`${process.env.MOAT_E2E_MODEL}/control/${what}?key=${encodeURIComponent(key)}`);
  if (!answer.ok) throw new Error(`model server: ${what} ${answer.status}`);
  return answer.text();
}

/** Tests' end: the model server runs in another process. */
export const release = (key: string) => control("release", key);
export const heal = (key: string) => control("heal", key);
export const asked = async (text: string) => Number(await control("asked", text));
