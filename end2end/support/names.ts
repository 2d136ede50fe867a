// A name server that knows texts, and says of every other name that there is none.
import { createSocket, type Socket } from "node:dgram";

const TEXT = 16;

export class Names {
  private constructor(private socket: Socket, private texts: Map<string, string>) {}

  /** On the port that the server was told to ask: the one test that needs it starts it. */
  static async start(): Promise<Names> {
    const socket = createSocket("udp4");
    const texts = new Map<string, string>();
    socket.on("message", (packet, from) => {
      const { name, type, end } = question(packet);
      const said = texts.get(name);
      const answer = said !== undefined && type === TEXT ? text(said) : Buffer.alloc(0);
      const head = Buffer.from(packet.subarray(0, 12));
      head.writeUInt16BE(said === undefined ? 0x8183 : 0x8180, 2);
      head.writeUInt16BE(answer.length > 0 ? 1 : 0, 6);
      head.writeUInt32BE(0, 8);
      socket.send(Buffer.concat([head, packet.subarray(12, end), answer]), from.port, from.address);
    });
    await new Promise<void>((done, fail) => {
      socket.once("error", fail);
      socket.bind(Number(process.env.MOAT_E2E_DNS), "127.0.0.1", done);
    });
    return new Names(socket, texts);
  }

  say(name: string, said: string): void {
    this.texts.set(name.toLowerCase(), said);
  }

  stop(): Promise<void> {
    return new Promise((done) => this.socket.close(() => done()));
  }
}

/** What is asked, and where the question ends. */
function question(packet: Buffer): { name: string; type: number; end: number } {
  const labels = [];
  let at = 12;
  for (; packet[at]! > 0; at += 1 + packet[at]!) labels.push(packet.toString("latin1", at + 1, at + 1 + packet[at]!));
  return { name: labels.join(".").toLowerCase(), type: packet.readUInt16BE(at + 1), end: at + 5 };
}

/** A record of this text, for the name in the question. */
function text(said: string): Buffer {
  const data = Buffer.concat([Buffer.from([said.length]), Buffer.from(said)]);
  return Buffer.concat([Buffer.from([0xc0, 12, 0, TEXT, 0, 1, 0, 0, 0, 60, 0, data.length]), data]);
}
