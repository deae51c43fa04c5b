// Pictures and facts, fetched ahead of the eye.

const AT_ONCE = 4;
const KEPT = 120;

// What is fetched by key: {value} when it is there, {error} when it never will be.
export class Ahead {
  // load(key): a promise; it throws {final: true, ...} for what will never come.
  constructor(load, arrived) {
    this.load = load;
    this.arrived = arrived;
    this.held = new Map();
    this.wanted = [];
    this.busy = new Set();
    this.later = new Map();
  }

  get(key) {
    const found = this.held.get(key);
    if (found) {
      this.held.delete(key);
      this.held.set(key, found);
    }
    return found;
  }

  // The keys to have, the most urgent first; what was wanted before and is not begun is dropped.
  want(keys) {
    this.wanted = keys.filter((key) => !this.held.has(key));
    this.begin();
  }

  begin() {
    const now = Date.now();
    for (const key of this.wanted) {
      if (this.busy.size >= AT_ONCE) return;
      if (this.busy.has(key) || (this.later.get(key) ?? 0) > now) continue;
      this.fetch(key);
    }
  }

  async fetch(key) {
    this.busy.add(key);
    let found = null;
    try {
      found = { value: await this.load(key) };
    } catch (error) {
      if (error.final) found = { error: error.message };
    }
    this.busy.delete(key);
    this.wanted = this.wanted.filter((other) => other !== key || !found);
    if (found) {
      this.later.delete(key);
      this.held.set(key, found);
      while (this.held.size > KEPT) {
        const [oldest, gone] = this.held.entries().next().value;
        this.held.delete(oldest);
        gone.value?.close?.();
      }
      this.arrived(key);
    } else {
      // The server is away: again in a while.
      this.later.set(key, Date.now() + 700);
      setTimeout(() => this.begin(), 750);
    }
    this.begin();
  }
}

async function ok(response) {
  if (response.ok) return response;
  let message = `${response.status}`;
  try {
    message = (await response.json()).error ?? message;
  } catch {
    // No words came: the number says it.
  }
  throw Object.assign(new Error(message), {
    status: response.status,
    final: response.status < 500,
  });
}

export async function getJson(address) {
  return (await ok(await fetch(address, { signal: AbortSignal.timeout(20000) }))).json();
}

export async function getPicture(address) {
  const response = await ok(await fetch(address, { signal: AbortSignal.timeout(30000) }));
  return createImageBitmap(await response.blob());
}

// Draws one of the squares that stand side by side in a picture, its middle enlarged.
export function draw(canvas, picture, part, zoom) {
  const side = picture.height;
  const shown = Math.max(8, Math.round(side / zoom));
  const left = Math.round((side - shown) / 2);
  if (canvas.width !== shown) canvas.width = canvas.height = shown;
  const paper = canvas.getContext("2d");
  paper.imageSmoothingEnabled = false;
  paper.drawImage(picture, part * side + left, left, shown, shown, 0, 0, shown, shown);
}

// Ticks beyond either end of the streak, so that its light stays free.
export function mark(svg, ends, side, zoom, visible) {
  const lines = svg.querySelectorAll("line");
  const whole = visible && ends.every((value) => value !== null);
  svg.toggleAttribute("hidden", !whole);
  if (!whole) return;
  const shown = Math.max(8, Math.round(side / zoom));
  const left = Math.round((side - shown) / 2);
  svg.setAttribute("viewBox", `0 0 ${shown} ${shown}`);
  // The midpoint lies on pixel floor(side/2), counted from the left and from below.
  const middle = Math.floor(side / 2);
  const x = [ends[0], ends[2]].map((value) => middle + value + 0.5 - left);
  const y = [ends[1], ends[3]].map((value) => side - 1 - middle - value + 0.5 - left);
  const length = Math.hypot(x[1] - x[0], y[1] - y[0]);
  const ux = length > 0 ? (x[1] - x[0]) / length : 1;
  const uy = length > 0 ? (y[1] - y[0]) / length : 0;
  [-1, 1].forEach((sign, i) => {
    const at = { x1: x[i] + 5 * sign * ux, y1: y[i] + 5 * sign * uy, x2: x[i] + 11 * sign * ux, y2: y[i] + 11 * sign * uy };
    for (const [name, value] of Object.entries(at)) lines[i].setAttribute(name, value.toFixed(2));
  });
}
