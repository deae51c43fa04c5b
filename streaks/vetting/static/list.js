// The candidates, what was said of them, and which are shown in which order.

const RANGES = ["rb", "snr", "rate", "x", "y"];

export class Candidates {
  constructor() {
    this.columns = {};
    this.place = new Map();
    this.length = 0;
  }

  add({ columns, images }) {
    columns.image = columns.image.map((i) => images[i]);
    for (const [name, values] of Object.entries(columns)) {
      this.columns[name] = (this.columns[name] ?? []).concat(values);
    }
    for (const id of columns.id) {
      this.place.set(id, this.length);
      this.length += 1;
    }
  }

  get(name, i) {
    return this.columns[name][i];
  }

  // Where a candidate lies, as this page knows it.
  where(id) {
    const i = this.place.get(id);
    if (i === undefined) return {};
    return { image: this.get("image", i), x: this.get("x", i), y: this.get("y", i) };
  }

  // Places that pass a filter, in its order; stable, so that equal ones keep the server's order.
  chosen(filter) {
    const places = [];
    for (let i = 0; i < this.length; i += 1) if (this.passes(filter, i)) places.push(i);
    if (!filter.sort) return places;
    const down = filter.sort.startsWith("-");
    const values = this.columns[filter.sort.replace("-", "")];
    const low = down ? -Infinity : Infinity;
    const value = (i) => values[i] ?? low;
    return places.sort((a, b) => (down ? value(b) - value(a) : value(a) - value(b)) || a - b);
  }

  passes(filter, i) {
    const c = this.columns;
    if (filter.label && c.label[i] !== filter.label) return false;
    if (filter.ccd && c.ccd[i] !== Number(filter.ccd)) return false;
    if (filter.unmatched && c.known[i]) return false;
    if (filter.tracklet && !c.tracklet[i]) return false;
    if (filter.disagree && !(c.disagree[i] > 0)) return false;
    for (const name of RANGES) {
      const [least, most] = [filter[`${name}_min`], filter[`${name}_max`]];
      const value = c[name][i];
      if (least && !(value !== null && value >= Number(least))) return false;
      if (most && !(value !== null && value <= Number(most))) return false;
    }
    return true;
  }
}

// What one person said and what stands of it; others only by which candidates they judged.
export class Verdicts {
  constructor(person) {
    this.person = person;
    this.known = new Set();
    this.standing = new Map();
    this.history = [];
    this.bad = new Map();
    this.comments = new Map();
    this.others = new Map();
    this.undone = new Set();
  }

  // Once each, however often it comes.
  apply(one) {
    if (this.known.has(one.id)) return false;
    this.known.add(one.id);
    const id = one.streak_id;
    if (one.kind === "label") {
      if (this.undone.has(one.id)) return true;
      const said = this.standing.get(id) ?? [];
      said.push({ id: one.id, label: one.value });
      this.standing.set(id, said);
      this.history.push({ id: one.id, streak: id });
    } else if (one.kind === "undo") {
      this.undone.add(one.value);
      const left = (this.standing.get(id) ?? []).filter((said) => said.id !== one.value);
      if (left.length) this.standing.set(id, left);
      else this.standing.delete(id);
      this.history = this.history.filter((said) => said.id !== one.value);
    } else if (one.kind === "bad_reference") {
      this.bad.set(id, one.value === "1");
    } else if (one.kind === "comment") {
      this.comments.set(id, one.value);
    }
    return true;
  }

  label(id) {
    return this.standing.get(id)?.at(-1)?.label ?? "";
  }

  addOther(person, id) {
    if (!this.others.has(id)) this.others.set(id, new Set());
    this.others.get(id).add(person);
  }

  hides(id, by) {
    if (by === "nobody") return false;
    return this.standing.has(id) || (by === "anyone" && this.others.has(id));
  }
}

export function readFilter(form) {
  const filter = {};
  for (const [name, value] of new FormData(form)) if (value !== "") filter[name] = value;
  return filter;
}

// In the address, so that a page that is loaded again shows the same.
export function filterFromAddress(form) {
  const told = new URLSearchParams(location.hash.slice(1));
  for (const element of form.elements) {
    if (!element.name || !told.has(element.name)) continue;
    if (element.type === "checkbox") element.checked = true;
    else element.value = told.get(element.name);
  }
}

export function filterToAddress(filter) {
  const plain = Object.entries(filter).filter(([name, value]) => !(name === "hide" && value === "me"));
  const told = new URLSearchParams(plain).toString();
  history.replaceState(null, "", told ? `#${told}` : location.pathname);
}
