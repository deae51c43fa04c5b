// The page: keys in, judgements out, the next picture on the screen.

import { Candidates, Verdicts, filterFromAddress, filterToAddress, readFilter } from "/static/list.js";
import { Ahead, draw, getJson, getPicture, mark } from "/static/pictures.js";
import { Queue, newId } from "/static/queue.js";
import { showFacts } from "/static/facts.js";

const AHEAD = 20;
const ZOOMS = [1, 2, 4];
const BLINK_MS = 500;
const $ = (id) => document.getElementById(id);

const state = {
  night: null,
  candidates: new Candidates(),
  verdicts: null,
  queue: null,
  person: "",
  seq: 0,
  filter: {},
  chosen: [],
  at: -1, // place of the candidate that is shown, -1 for none
  shown: false, // whether its picture is on the screen, or said to be missing
  pictured: false, // whether there is one
  before: [],
  zoom: 0,
  stretch: 0,
  marks: true,
  blink: null,
};

const pictures = new Ahead(
  (key) => {
    const [row, how] = key.split("/");
    return getPicture(`/api/picture/${row}?how=${how}&of=${state.night.night}`);
  },
  (key) => key === pictureKey(state.at) && paint(),
);
const facts = new Ahead(
  async (row) => (await getJson(`/api/details?rows=${row}`))[0],
  (row) => row === rowOf(state.at) && paintFacts(),
);

const rowOf = (at) => (at < 0 ? -1 : state.candidates.get("row", at));
const idOf = (at) => (at < 0 ? "" : state.candidates.get("id", at));
const pictureKey = (at) => (at < 0 ? "" : `${rowOf(at)}/${how()}`);
const how = () => state.night.stretches[state.stretch];

// ---- what is shown

function show(at, { remember = true } = {}) {
  if (remember && state.at >= 0 && state.at !== at) state.before.push(state.at);
  stopBlink();
  state.at = at;
  state.shown = false;
  document.body.dataset.shown = "";
  document.body.dataset.candidate = idOf(at);
  paint();
  paintFacts();
  paintState();
  fetchAhead();
}

function paint() {
  const box = $("pictures");
  const found = state.at < 0 ? null : pictures.get(pictureKey(state.at));
  box.classList.toggle("waiting", !found?.value);
  say("nothing", state.at < 0 ? done() : found?.error ? `no picture: ${found.error}` : "");
  if (state.at < 0 || !found) return;
  if (found.value) paintPicture(found.value);
  if (found.error) checkNight();
  state.shown = true;
  state.pictured = Boolean(found.value);
  document.body.dataset.shown = idOf(state.at);
}

function paintPicture(picture) {
  const zoom = ZOOMS[state.zoom];
  ["science", "reference", "difference"].forEach((name, part) => {
    draw(canvasOf(name), picture, part, zoom);
    caption(name, name);
  });
  const ends = state.candidates.get("ends", state.at);
  mark($("difference").querySelector("svg"), ends, picture.height, zoom, state.marks);
}

const canvasOf = (name) => $(name).querySelector("canvas");
function caption(name, text) {
  $(name).querySelector("figcaption").textContent = text;
}

function say(id, text) {
  $(id).textContent = text;
  if (id !== "note") $(id).hidden = !text;
}

function done() {
  if (!state.candidates.length) return "The night has no streaks.";
  if (!state.chosen.length) return "No streak passes the filter.\nPress / to change it.";
  return "All of these are judged.\nPress u to undo the last one, / to choose others.";
}

function paintFacts() {
  const found = state.at < 0 ? null : facts.get(rowOf(state.at));
  $("facts").hidden = state.at < 0;
  showFacts(found?.value, {
    id: idOf(state.at),
    others: state.verdicts?.others.get(idOf(state.at))?.size ?? 0,
    comment: state.verdicts?.comments.get(idOf(state.at)) ?? "",
    by: state.night.by,
    checked: state.night.checked,
  });
}

function paintState() {
  const id = idOf(state.at);
  const said = state.verdicts.label(id);
  for (const button of $("verdicts").children) {
    button.classList.toggle("said", Boolean(said) && button.dataset.label === said);
  }
  press("f", Boolean(state.verdicts.bad.get(id)));
  $("zoom").textContent = `${ZOOMS[state.zoom]}×`;
  $("stretch").textContent = how();
  const n = state.candidates.length;
  const judged = state.verdicts.standing.size;
  const left = state.chosen.reduce((sum, at) => sum + !hidden(at), 0);
  const part = state.chosen.length < n ? ` of ${state.chosen.length} that pass the filter` : "";
  $("progress").textContent = `${judged} of ${n} judged, ${left} left${part}`;
  $("meter").value = judged;
}

function press(key, on) {
  document.querySelector(`#tools [data-key="${key}"]`).setAttribute("aria-pressed", String(on));
}

const hidden = (at) => state.verdicts.hides(idOf(at), state.filter.hide ?? "me");

// Places still to be judged after one in the order shown, round to those that were passed over.
function* following(at) {
  const order = state.chosen;
  const here = order.indexOf(at);
  for (let step = 1; step <= order.length; step += 1) {
    const next = order[(here + step + order.length) % order.length];
    if (next !== at && !hidden(next)) yield next;
  }
}

function fetchAhead() {
  const wanted = state.at < 0 ? [] : [state.at];
  for (const at of following(state.at)) {
    wanted.push(at);
    if (wanted.length > AHEAD) break;
  }
  const last = state.verdicts.history.at(-1);
  if (last && state.candidates.place.has(last.streak)) wanted.push(state.candidates.place.get(last.streak));
  pictures.want(wanted.map(pictureKey));
  facts.want(wanted.map(rowOf));
}

function next() {
  for (const at of following(state.at)) return show(at);
  if (state.at >= 0 && !hidden(state.at)) return note("This is the last one that is left.");
  return show(-1);
}

function back() {
  const at = state.before.pop();
  if (at === undefined) return note("Nothing was shown before this.");
  return show(at, { remember: false });
}

// ---- what is said

function send(kind, streak, value) {
  const item = {
    id: newId(), person: state.person, streak_id: streak, kind, value, made: new Date().toISOString(),
    ...state.candidates.where(streak),
  };
  state.verdicts.apply(item);
  state.queue.add(item);
  return item;
}

function judge(label) {
  if (state.at < 0) return note("Nothing is shown: the key does not count.");
  if (!state.shown) return note("The picture is not there yet: the key does not count.");
  if (!state.pictured && label !== "skip") return note("Without a picture only 0 (skip) counts.");
  const id = idOf(state.at);
  send("label", id, label);
  note(`${label.replaceAll("_", " ")}: ${id}`);
  return next();
}

function undo() {
  const last = state.verdicts.history.at(-1);
  if (!last) return note("Nothing to undo.");
  send("undo", last.streak, last.id);
  note(`taken back: ${last.streak}`);
  const at = state.candidates.place.get(last.streak);
  return at === undefined ? paintState() : show(at, { remember: false });
}

function flag() {
  if (state.at < 0) return;
  const id = idOf(state.at);
  const bad = !state.verdicts.bad.get(id);
  send("bad_reference", id, bad ? "1" : "0");
  note(bad ? "reference marked as bad" : "reference no longer marked as bad");
  paintState();
}

function comment() {
  if (state.at < 0) return;
  const id = idOf(state.at);
  const dialog = $("comment-dialog");
  $("comment").value = state.verdicts.comments.get(id) ?? "";
  dialog.dataset.streak = id;
  dialog.showModal();
  $("comment").focus();
}

function keepComment() {
  const dialog = $("comment-dialog");
  const text = $("comment").value.trim();
  if (text !== (state.verdicts.comments.get(dialog.dataset.streak) ?? "")) {
    send("comment", dialog.dataset.streak, text);
    note(text ? "comment kept" : "comment taken back");
  }
  dialog.close();
  paintFacts();
}

function note(text) {
  say("note", text);
}

// ---- how it is shown

function zoom() {
  state.zoom = (state.zoom + 1) % ZOOMS.length;
  stopBlink();
  paint();
  paintState();
}

function stretch() {
  state.stretch = (state.stretch + 1) % state.night.stretches.length;
  stopBlink();
  paintState();
  state.shown = false;
  document.body.dataset.shown = "";
  paint();
  fetchAhead();
}

function marks() {
  state.marks = !state.marks;
  paint();
}

function stopBlink() {
  if (!state.blink) return;
  clearInterval(state.blink.timer);
  $(state.blink.where).classList.remove("blinking");
  press(state.blink.key, false);
  state.blink = null;
}

// parts: [picture, number of its square, caption] each, shown in turn.
function startBlink(key, where, parts) {
  stopBlink();
  let turn = 0;
  const step = () => {
    turn = (turn + 1) % parts.length;
    const [picture, part, text] = parts[turn];
    draw(canvasOf(where), picture, part, ZOOMS[state.zoom]);
    caption(where, text);
    document.body.dataset.blink = text;
  };
  state.blink = { key, where, timer: setInterval(step, BLINK_MS) };
  $(where).classList.add("blinking");
  press(key, true);
  step();
}

function endBlink() {
  stopBlink();
  paint();
}

function blink() {
  if (state.blink?.key === "b") return endBlink();
  const picture = pictures.get(pictureKey(state.at))?.value;
  if (picture) startBlink("b", "science", [[picture, 0, "science"], [picture, 1, "reference"]]);
  return undefined;
}

async function blinkOthers() {
  if (state.blink?.key === "v") return endBlink();
  const at = state.at;
  const own = pictures.get(pictureKey(at))?.value;
  if (!own) return undefined;
  note("reading the other exposures…");
  const parts = [[own, 2, "difference, this exposure"]];
  try {
    for (const other of await getJson(`/api/others/${rowOf(at)}`)) {
      try {
        const picture = await getPicture(`/api/other/${rowOf(at)}/${other.frame}?how=${how()}`);
        const sign = other.minutes >= 0 ? "+" : "−";
        const when = other.minutes === null ? other.image : `${sign}${Math.abs(other.minutes)} min`;
        parts.push([picture, 0, `difference, ${when}`]);
      } catch (error) {
        if (!error.final) throw error;
      }
    }
  } catch {
    return note("The server did not answer; try again.");
  }
  if (at !== state.at) return undefined;
  if (parts.length < 2) return note("No other exposure shows this place.");
  note(`${parts.length - 1} other exposures`);
  return startBlink("v", "difference", parts);
}

// ---- keys

const KEYS = {
  u: undo, " ": next, arrowright: next, arrowleft: back, z: zoom, s: stretch, b: blink, v: blinkOthers,
  m: marks, f: flag, c: comment, "/": toggleFilters, "?": () => $("help").showModal(),
};

function keyOf(event) {
  // By its place too: some keyboards have digits only with Shift.
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];
  if (digit !== undefined && (!event.shiftKey || event.key === digit)) return digit;
  return event.key.length === 1 || event.key.startsWith("Arrow") ? event.key.toLowerCase() : "";
}

function act(key) {
  if (!document.body.dataset.ready || document.querySelector("dialog[open]")) return false;
  const verdict = state.night.keys.find((one) => one.key === key);
  if (verdict) judge(verdict.label);
  else if (KEYS[key]) KEYS[key]();
  else return false;
  return true;
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  const field = event.target.closest?.("input, select, textarea");
  // A box that was ticked keeps the focus; digits and letters are no matter to it.
  const typed = field && !(field.type === "checkbox" && event.key !== " " && event.key !== "Tab");
  if (event.key === "Escape") {
    if (field) field.blur();
    if (!$("filters").hidden && !document.querySelector("dialog[open]")) toggleFilters();
    return;
  }
  if (typed) return;
  const key = keyOf(event);
  // A key that is held down is one key: what follows was not looked at.
  if (event.repeat && (/^\d$/.test(key) || key in KEYS)) {
    event.preventDefault();
    return;
  }
  if (act(key)) event.preventDefault();
}

function toggleFilters() {
  const form = $("filters");
  form.hidden = !form.hidden;
  $("filter-button").setAttribute("aria-expanded", String(!form.hidden));
  if (form.hidden) $("filter-button").blur();
  else form.elements.sort.focus();
}

function onFilter() {
  state.filter = readFilter($("filters"));
  filterToAddress(state.filter);
  state.chosen = state.candidates.chosen(state.filter);
  const first = state.chosen.find((at) => !hidden(at));
  show(first ?? -1);
}

// ---- the server

function saved({ waiting, reachable }) {
  const words = `${waiting} not saved yet`;
  $("saved").className = waiting ? (reachable ? "waiting" : "lost") : "";
  $("saved").textContent = !waiting
    ? "all saved"
    : reachable ? words : `server away: ${words}, kept in this browser`;
  document.body.dataset.waiting = String(waiting);
}

function refused(item, reason) {
  say("alarm", `A judgement of ${item.streak_id} was not taken: ${reason}`);
}

async function checkNight() {
  try {
    const now = await getJson("/api/night");
    if (now.night !== state.night.night) say("alarm", "The night was run again: load this page anew.");
  } catch {
    // The server is away; the next key will tell.
  }
}

async function sync() {
  // Another person may sit down before the answer comes.
  const { person, verdicts } = state;
  let more = true;
  while (more) {
    const who = encodeURIComponent(person);
    const told = await getJson(`/api/judgements?person=${who}&after=${state.seq}`);
    if (verdicts !== state.verdicts) return;
    state.seq = told.seq;
    more = told.more;
    for (const one of told.mine) verdicts.apply(one);
    for (const [other, id] of told.others) verdicts.addOther(other, id);
  }
}

async function syncAgain() {
  try {
    await sync();
    paintState();
  } catch {
    // The server is away; what is judged meanwhile waits.
  }
}

async function untilDone(work) {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      say("alarm", error.final ? `The server says: ${error.message}` : "The server does not answer; trying again…");
      await new Promise((again) => setTimeout(again, 1000));
    }
  }
}

async function loadList() {
  const { candidates, night } = state;
  do {
    candidates.add(await getJson(`/api/candidates?offset=${candidates.length}&limit=2000`));
  } while (candidates.length < night.n);
  const ccds = [...new Set(candidates.columns.ccd)].filter((ccd) => ccd >= 0).sort((a, b) => a - b);
  for (const ccd of ccds) $("filters").elements.ccd.add(new Option(String(ccd), String(ccd)));
  const tells = candidates.columns.disagree.some((value) => value !== null);
  $("disagree-tick").hidden = !tells;
  $("filters").elements.sort.querySelector("[value='-disagree']").disabled = !tells;
}

// ---- who

function askPerson() {
  $("person").value = state.person;
  $("person-dialog").showModal();
  $("person").select();
}

async function begin(person) {
  document.body.dataset.ready = "";
  state.person = person;
  try {
    localStorage.setItem("streaks-vet-person", person);
  } catch {
    // Asked again next time.
  }
  $("person-button").textContent = person;
  const verdicts = new Verdicts(person);
  state.verdicts = verdicts;
  state.seq = 0;
  state.before = [];
  state.at = -1;
  await untilDone(sync);
  if (verdicts !== state.verdicts) return;
  say("alarm", "");
  for (const item of state.queue.items) if (item.person === person) verdicts.apply(item);
  state.queue.tell();
  state.queue.flush();
  onFilter();
  document.body.dataset.ready = person;
}

function storedPerson() {
  try {
    return localStorage.getItem("streaks-vet-person") ?? "";
  } catch {
    return "";
  }
}

function listen() {
  addEventListener("keydown", onKey);
  for (const bar of ["verdicts", "tools"]) {
    $(bar).addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      button.blur();
      act(button.dataset.key);
    });
  }
  for (const button of $("verdicts").children) {
    const told = state.night.keys.find((one) => one.key === button.dataset.key);
    button.style.borderLeftColor = told.colour;
  }
  const filters = $("filters");
  filters.addEventListener("input", onFilter);
  filters.addEventListener("reset", () => setTimeout(onFilter));
  filters.addEventListener("submit", (event) => event.preventDefault());
  $("filter-button").addEventListener("click", toggleFilters);
  $("person-button").addEventListener("click", askPerson);
  $("help-button").addEventListener("click", () => $("help").showModal());
  $("help-close").addEventListener("click", () => $("help").close());
  $("comment-cancel").addEventListener("click", () => $("comment-dialog").close());
  $("comment-dialog").querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    keepComment();
  });
  $("comment").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    keepComment();
  });
  $("person-dialog").querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const person = $("person").value.trim().replace(/\s+/g, " ");
    if (!person) return;
    $("person-dialog").close();
    begin(person);
  });
  $("person-dialog").addEventListener("cancel", (event) => {
    if (!state.person) event.preventDefault();
  });
  addEventListener("beforeunload", (event) => {
    // They would be sent when the page is opened again; better now.
    if (state.queue?.size) event.preventDefault();
  });
}

async function start() {
  state.night = await untilDone(() => getJson("/api/night"));
  await untilDone(loadList);
  say("alarm", "");
  state.queue = new Queue(state.night.folder, saved, refused);
  listen();
  filterFromAddress($("filters"));
  setInterval(() => document.body.dataset.ready && syncAgain(), 15000);
  const person = storedPerson();
  if (person) await begin(person);
  else askPerson();
}

start();
