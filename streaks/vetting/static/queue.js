// Judgements on their way to the server. Each is kept in this browser from the key until the
// server says that it is on the disk: a closed tab, a dead server or a lost network loses none.

const PREFIX = "streaks-vet:";
const BATCH = 100;
let running = 0;

// Not randomUUID, which a page has only under https or on this machine.
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Queue {
  // night: its fingerprint. say(state): told of each change. refuse(item, reason): of what the
  // server will never take.
  constructor(night, say, refuse) {
    this.prefix = `${PREFIX}${night}:`;
    this.say = say;
    this.refuse = refuse;
    this.memory = new Map();
    this.sending = false;
    this.reachable = true;
    this.delay = 0;
    for (const [key, item] of this.stored()) this.memory.set(key, item);
    addEventListener("online", () => this.flush());
  }

  *stored() {
    try {
      for (let i = 0; i < localStorage.length; i += 1) {
        const key = localStorage.key(i);
        if (!key.startsWith(this.prefix)) continue;
        try {
          yield [key, JSON.parse(localStorage.getItem(key))];
        } catch {
          // Not ours, or cut short: left where it is.
        }
      }
    } catch {
      // No storage here (a private window): memory alone holds them.
    }
  }

  get items() {
    return [...this.memory.keys()].sort().map((key) => this.memory.get(key));
  }

  get size() {
    return this.memory.size;
  }

  add(item) {
    running += 1;
    const order = String(Date.now()).padStart(15, "0") + String(running).padStart(7, "0");
    const key = `${this.prefix}${order}:${item.id}`;
    this.memory.set(key, item);
    try {
      localStorage.setItem(key, JSON.stringify(item));
    } catch {
      // A full or forbidden storage: memory alone holds it.
    }
    this.tell();
    this.flush();
  }

  drop(id) {
    for (const [key, item] of this.memory) {
      if (item.id !== id) continue;
      this.memory.delete(key);
      try {
        localStorage.removeItem(key);
      } catch {
        // As above.
      }
    }
  }

  tell() {
    this.say({ waiting: this.size, reachable: this.reachable });
  }

  // One request at a time, in order, until all are acknowledged.
  async flush() {
    if (this.sending || !this.size) return;
    this.sending = true;
    try {
      while (this.size) {
        if (await this.send(this.items.slice(0, BATCH))) {
          this.delay = 0;
        } else {
          this.delay = Math.min(4000, Math.max(300, this.delay * 2));
          await new Promise((done) => setTimeout(done, this.delay));
        }
      }
    } finally {
      this.sending = false;
    }
  }

  async send(batch) {
    let answer;
    try {
      const response = await fetch("/api/judgements", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ judgements: batch }),
        signal: AbortSignal.timeout(15000),
      });
      if (!response.ok) throw new Error(String(response.status));
      answer = await response.json();
    } catch {
      this.reachable = false;
      this.tell();
      return false;
    }
    this.reachable = true;
    for (const id of answer.kept) this.drop(id);
    for (const item of batch) {
      if (!(item.id in answer.refused)) continue;
      this.drop(item.id);
      this.refuse(item, answer.refused[item.id]);
    }
    this.tell();
    return true;
  }
}
