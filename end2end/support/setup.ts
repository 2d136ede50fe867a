// Starts the model server and moat with a database of its own; what it returns takes both away again.
import { spawn, type ChildProcess } from "node:child_process";
import { chmodSync, createWriteStream, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { FakeModel } from "./model";

/** Lines of the server's log that no browser may cause. */
const FAULT = / ERROR |panicked|already a transaction in progress|no transaction in progress/;
const root = resolve(__dirname, "../..");

export default async function setup(): Promise<() => Promise<void>> {
  const bin = process.env.MOAT_BIN;
  if (!bin || !existsSync(bin)) throw new Error("MOAT_BIN must name the server to test (scripts/test sets it)");

  const model = await FakeModel.start();
  // Directly below /tmp, and open: when root starts the server, its database runs as another user, who must get in.
  const data = mkdtempSync("/tmp/moat-e2e-");
  chmodSync(data, 0o755);
  const port = await freePort();
  const names = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const logs = join(root, "target/test-logs");
  mkdirSync(logs, { recursive: true });
  const log = createWriteStream(join(logs, "browser-server.log"));
  const server = spawn(bin, [], {
    cwd: root,
    env: {
      ...inherited(),
      NO_COLOR: "1",
      MOAT_ADDR: `127.0.0.1:${port}`,
      MOAT_DATA: data,
      MOAT_SITE: process.env.MOAT_SITE || join(root, "target/site"),
      MOAT_ANSWERER: "openai",
      MOAT_DEV_OUTBOX: "true",
      MOAT_DNS: `127.0.0.1:${names}`,
      MOAT_OPENAI_URL: `${model.url}/v1`,
      MOAT_OPENAI_KEY: "key-of-the-browser-tests",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  server.stdout.pipe(log, { end: false });
  server.stderr.pipe(log, { end: false });

  const stop = async () => {
    await ended(server);
    await model.stop();
    rmSync(data, { recursive: true, force: true });
  };
  const stopAndLook = async () => {
    await stop();
    await new Promise((done) => log.end(done));
    const bad = readFileSync(log.path, "utf8").split("\n").filter((line) => FAULT.test(line));
    if (bad.length > 0) throw new Error(`the server logged what must not happen:\n${bad.slice(0, 10).join("\n")}`);
  };
  try {
    await ready(url, server);
  } catch (error) {
    await stop();
    throw error;
  }
  // The workers inherit these.
  process.env.MOAT_E2E_URL = url;
  process.env.MOAT_E2E_MODEL = model.url;
  process.env.MOAT_E2E_DATA = data;
  process.env.MOAT_E2E_DNS = String(names);
  return stopAndLook;
}

/** The environment without settings of somebody's own moat. */
function inherited(): NodeJS.ProcessEnv {
  const keep = ["MOAT_PG_BIN", "MOAT_LOG"];
  const settings = (name: string) => (name.startsWith("MOAT_") && !keep.includes(name)) || name === "DATABASE_URL";
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !settings(name)));
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.once("error", fail);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => (address && typeof address === "object" ? done(address.port) : fail(new Error("no port"))));
    });
  });
}

async function ready(url: string, server: ChildProcess): Promise<void> {
  const until = Date.now() + 60_000;
  let last = "";
  while (Date.now() < until) {
    if (server.exitCode !== null || server.signalCode !== null) {
      throw new Error("the server ended at once: target/test-logs/browser-server.log says why");
    }
    try {
      const answer = await fetch(`${url}/readyz`);
      if (answer.ok) return;
      last = `status ${answer.status}`;
    } catch (error) {
      last = String(error);
    }
    await new Promise((go) => setTimeout(go, 100));
  }
  throw new Error(`the server is not ready after a minute (${last}): see target/test-logs/browser-server.log`);
}

/** SIGTERM, and wait: the server stops its database on the way out. */
async function ended(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  await new Promise<void>((done) => {
    const hard = setTimeout(() => server.kill("SIGKILL"), 30_000);
    server.once("exit", () => {
      clearTimeout(hard);
      done();
    });
    server.kill("SIGTERM");
  });
}
