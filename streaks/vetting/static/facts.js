// What is known of a candidate, as text: nothing that came from a file becomes markup.

const $ = (id) => document.getElementById(id);

function make(name, text = "", kind = "") {
  const element = document.createElement(name);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

const fixed = (value, digits) => (value === null || value === undefined ? "" : value.toFixed(digits));

export function showFacts(about, { id, others, comment, by, checked }) {
  $("name").textContent = id;
  for (const part of ["chips", "bars", "about", "again", "links"]) $(part).replaceChildren();
  if (about) {
    chips(about, others, by);
    bars(about);
    rows(about, comment, checked);
    again(about);
    links(about);
  }
}

function chips(about, others, by) {
  const label = make("span", (about.label || "not classified").replaceAll("_", " "), "chip");
  label.style.background = about.colour;
  $("chips").append(label);
  const p = about.p_real ?? about.p_asteroid;
  if (p !== null) $("chips").append(make("span", `${by} ${fixed(p, 3)}`, "chip line"));
  if (about.known) $("chips").append(make("span", "known object near", "chip line"));
  if (about.satellite) $("chips").append(make("span", "satellite near", "chip line"));
  if (about.tracklet) $("chips").append(make("span", `tracklet ${about.tracklet}`, "chip line"));
  if (others) $("chips").append(make("span", `judged by ${others} other${others > 1 ? "s" : ""}`, "chip line"));
}

function bars(about) {
  for (const bar of about.bars.slice(0, 4)) {
    const line = make("li");
    const track = make("span", "", "track");
    const filled = make("i");
    filled.style.width = `${(100 * bar.p).toFixed(1)}%`;
    filled.style.background = bar.colour;
    track.append(filled);
    line.append(make("span", bar.name.replaceAll("_", " ")), track, make("span", `${(100 * bar.p).toFixed(0)} %`));
    $("bars").append(line);
  }
}

function row(name, text) {
  if (text) $("about").append(make("dt", name), make("dd", text));
}

function rows(about, comment, checked) {
  row("Comment", comment);
  row("Reasons", about.reasons.join("; "));
  row("Flags", about.flags);
  row("Known object", about.known || (checked ? "none within the match radius" : "not checked"));
  row("Satellite", about.satellite);
  row("Motion", motion(about));
  row("S/N", `${fixed(about.snr, 1)}${about.mag_text ? `, ${about.mag_text} mag` : ""}`);
  row("rb", `${fixed(about.rb, 3)}${about.novelty === null ? "" : `, novelty ${fixed(about.novelty, 2)}`}`);
  row("Trail", `${about.length_text} px at ${fixed(about.theta, 1)}°, ${fixed(about.width, 1)} px wide`);
  row("ICRS", about.radec ? `${about.radec}  (${fixed(about.ra, 5)} ${fixed(about.dec, 5)})` : "");
  row("UTC", about.time);
  // A streak's name begins with its image's as a rule, and is long enough once.
  const image = about.streak_id.startsWith(about.image) ? "" : ` of ${about.image}`;
  row("Where", `${about.ccd >= 0 ? `CCD ${about.ccd}, ` : ""}(${fixed(about.x, 1)}, ${fixed(about.y, 1)})${image}`);
  row("Group", about.group);
}

function motion(about) {
  const told = about.motion;
  if (told && told.rate !== null) {
    const error = told.rate_err === null ? "" : ` ± ${fixed(told.rate_err, 4)}`;
    return `${fixed(told.rate, 4)}${error}″/s towards PA ${fixed(told.pa, 1)}°, by ${told.n} streaks in ${fixed(told.arc / 60, 1)} min`;
  }
  if (about.rate === null) return "";
  return `${fixed(about.rate, 3)}″/s = ${about.rate_deg_day}°/day along PA ${fixed(about.pa, 1)}° or ${fixed(about.pa + 180, 1)}°`;
}

function again(about) {
  if (!about.again.length) return;
  $("again").append(make("h3", "Where it should be seen again"));
  const list = make("ul");
  for (const one of about.again) {
    const line = make("li");
    const sign = one.minutes < 0 ? "−" : "+";
    line.append(make("span", `${sign}${Math.abs(one.minutes)} min`));
    const where = make("span", one.places.join(" or "));
    const seen = one.found ? `, seen ${fixed(one.off, 1)}″ off` : ", nothing found there";
    where.append(make("span", seen, one.found ? "yes" : "no"));
    where.title = one.found || one.image;
    line.append(where);
    list.append(line);
  }
  $("again").append(list);
}

function links(about) {
  for (const link of about.links) {
    const anchor = make("a", `${link.name} ↗`);
    anchor.href = link.to;
    anchor.target = "_blank";
    anchor.rel = "noopener noreferrer";
    $("links").append(anchor);
  }
}
