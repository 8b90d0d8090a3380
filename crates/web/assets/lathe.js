// What only a living page can do: local times, an order that moves, a curve that answers the
// pointer, an answer that streams. Every page is complete without this file.
"use strict";

// What a page of somebody who is logged in carries, so that the server knows whose page asks.
const token = document.querySelector("meta[name=csrf]")?.content;
const ours = token ? { "X-CSRF-Token": token } : {};

// What any part of a page may have to say, in the page's language.
const shared = document.body.dataset;

const rest = (ms) => new Promise((wake) => setTimeout(wake, ms));

// An error whose text says all there is to be said.
const whole = (text, more) => Object.assign(new Error(text), { whole: true, ...more });

// Asks the workshop. A browser tells in its own words that nothing came back, and follows to where one logs in as if
// that were what was asked for: both are told in the page's words.
async function reached(address, options) {
  const unreached = (error) => {
    if (error.name === "AbortError") throw error;
    throw whole(shared.unreached, { unreached: true });
  };
  const response = await fetch(address, options).catch(unreached);
  if (response.redirected) throw whole(shared.loggedOut, { gone: true });
  return response;
}

const pad = (number) => String(number).padStart(2, "0");

// Times are written in UTC by the server; the reader's own zone stands here.
function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const clock = `${pad(at.getHours())}:${pad(at.getMinutes())}`;
    const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
    time.textContent = "clock" in time.dataset ? `${clock}:${pad(at.getSeconds())}` : `${day} ${clock}`;
  }
}

// An order's page: every event fetches the living part anew, at most once a second, and exchanges
// only the parts that differ, so that what one reads or has opened stays. Where the order cannot be followed any more,
// for now or for good, that is said: a page that stands still must not look as if it went on.
function liveOrder(live) {
  const pause_ms = 1000;
  const patience_ms = 4000;
  const again_ms_min = 2000;
  const again_ms_max = 60000;
  const note = document.getElementById("live-note");
  let timer = 0;
  let again = false;
  let asked = 0;
  let shown = 0;
  let again_ms = again_ms_min;
  let late = 0;
  let events = null;
  let over = false;

  function tell(text) {
    clearTimeout(late);
    late = 0;
    note.textContent = text;
    note.hidden = !text;
  }

  // A stream that broke off is mostly there again at once.
  function lost() {
    if (!over && !late && note.hidden) late = setTimeout(() => tell(note.dataset.lost), patience_ms);
  }

  function well() {
    if (!over) tell("");
  }

  // Only a stream that opens ends the pauses: one may be refused while parts are still given.
  function opened() {
    again_ms = again_ms_min;
    well();
  }

  // Whoever is not logged in any more, or may not see the order any more, is told so once.
  function gone() {
    over = true;
    events.close();
    tell(note.dataset.ended);
  }

  async function refresh() {
    asked += 1;
    const turn = asked;
    let response;
    try {
      response = await reached(live.dataset.parts, { headers: { Accept: "text/html" } });
    } catch (error) {
      if (error.gone) return gone();
      throw error;
    }
    if ([401, 403, 404].includes(response.status)) return gone();
    if (!response.ok) throw whole(response.statusText);
    const text = await response.text();
    // What was asked for earlier may come later.
    if (turn < shown) return;
    shown = turn;
    show(new DOMParser().parseFromString(text, "text/html").body);
    well();
  }

  function show(fresh) {
    localTimes(fresh);
    const shape = (root) => [...root.querySelectorAll("[data-part]")].map((part) => part.dataset.part).join();
    for (const details of live.querySelectorAll("details[id]")) {
      const same = fresh.querySelector(`#${CSS.escape(details.id)}`);
      if (same) same.open = details.open;
    }
    if (shape(live) !== shape(fresh)) {
      live.replaceChildren(...fresh.childNodes);
    } else {
      for (const part of fresh.querySelectorAll("[data-part]")) {
        const old = live.querySelector(`[data-part="${part.dataset.part}"]`);
        if (old && old.outerHTML !== part.outerHTML) old.replaceWith(part);
      }
    }
    scrollLog(live);
  }

  function soon() {
    if (timer) {
      again = true;
      return;
    }
    refresh().catch(lost);
    timer = setTimeout(() => {
      timer = 0;
      if (again) {
        again = false;
        soon();
      }
    }, pause_ms);
  }

  // Each time later than the last.
  function later(work) {
    lost();
    setTimeout(work, again_ms);
    again_ms = Math.min(2 * again_ms, again_ms_max);
  }

  // A browser opens a stream anew that broke off, and gives up one that was refused. Why it was, the living part says.
  async function broken() {
    lost();
    if (events.readyState !== EventSource.CLOSED || over) return;
    await refresh().catch(() => {});
    if (!over) later(listen);
  }

  // How it ended is the last thing that there is to be shown.
  function end() {
    refresh().catch(() => later(end));
  }

  function listen() {
    events = new EventSource(live.dataset.events);
    for (const name of ["order", "curve", "log"]) events.addEventListener(name, soon);
    events.addEventListener("open", opened);
    events.addEventListener("error", broken);
    events.addEventListener("end", () => {
      events.close();
      clearTimeout(timer);
      end();
    });
  }

  listen();
  scrollLog(live);
}

function scrollLog(root) {
  const log = root.querySelector(".log");
  if (log) log.scrollTop = log.scrollHeight;
}

// The pointer over a chart: a line through both drawings and the values of the nearest step, read
// back from the polylines themselves.
function chartReadout(event) {
  const svg = event.target.closest(".plot svg[data-low]");
  const chart = svg?.closest(".chart");
  if (!chart) return;
  const box = svg.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * 1000;
  const texts = [];
  let at = null;
  for (const plot of chart.querySelectorAll(".plot svg[data-low]")) {
    const points = plot.querySelector("polyline").points;
    let nearest = null;
    for (const point of points) {
      if (!nearest || Math.abs(point.x - x) < Math.abs(nearest.x - x)) nearest = point;
    }
    if (!nearest) return;
    at ??= nearest;
    const [low, high] = [Number(plot.dataset.low), Number(plot.dataset.high)];
    const share = 1 - nearest.y / 200;
    const value = "log" in plot.dataset ? low * (high / low) ** share : low + share * (high - low);
    const exact = value >= 0.01 ? value.toFixed(3) : value.toExponential(1);
    texts.push("digits" in plot.dataset ? value.toFixed(plot.dataset.digits) : exact);
    plot.querySelector(".cursor").setAttribute("d", `M${at.x} 0V200`);
  }
  const step = Math.round((at.x / 1000) * Number(chart.dataset.steps));
  chart.querySelector(".readout").textContent = `${step} · ${texts.join(" · ")}`;
}

function chartLeave(event) {
  const chart = event.target.closest?.(".chart");
  if (!chart || chart.contains(event.relatedTarget)) return;
  for (const cursor of chart.querySelectorAll(".cursor")) cursor.setAttribute("d", "");
  chart.querySelector(".readout").textContent = "";
}

// The bodies of server-sent events in a streamed response, one by one.
async function* streamed(response, broke) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const broken = (error) => {
    throw error.name === "AbortError" ? error : whole(broke);
  };
  let begun = "";
  for (;;) {
    const { value, done } = await reader.read().catch(broken);
    if (done) return;
    begun += value;
    const lines = begun.split("\n");
    begun = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) yield line.slice(5).trim();
    }
  }
}

// What a refusal is told as: by its code in the page's words, else as it was said.
const refusal = (words, { code, message }) => filled(JSON.parse(words.refusals)[code] ?? "{value}", { value: message });

const filled = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

// One answer: it streams from /v1/chat/completions into its panel, then the server draws what it reads in it.
async function streamAnswer(panel, { body, headers }, words, signal) {
  const raw = panel.querySelector(".raw");
  const usage = panel.querySelector(".usage");
  const origin = panel.querySelector(".origin");
  const began = performance.now();
  let first = 0;
  let counted = null;
  const response = await reached("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers, ...ours },
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) {
    const said = (await response.json().catch(() => null))?.error;
    const error = new Error(said?.message ? refusal(words, said) : response.statusText);
    // It was answered, with a no: as the page without a script tells it.
    error.refused = said?.message && (response.status < 500 || response.status === 503);
    throw error;
  }
  let ended = false;
  for await (const data of streamed(response, words.broke)) {
    ended = data === "[DONE]";
    if (ended) break;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(refusal(words, chunk.error));
    const text = chunk.choices?.[0]?.delta?.content ?? "";
    if (text && !first) {
      first = performance.now();
      usage.textContent = "";
    }
    raw.textContent += text;
    counted = chunk.usage ?? counted;
  }
  if (!ended) throw whole(words.broke);
  const receipt = response.headers.get("x-lathe-receipt");
  if (receipt) {
    origin.querySelector("a").href = `/receipts/${encodeURIComponent(receipt)}`;
    origin.hidden = false;
  }
  const total = Math.round(performance.now() - began);
  const timing = filled(words.timing, { first: Math.round((first || performance.now()) - began), total });
  const cost = counted ? filled(words.usage, { prompt: counted.prompt_tokens, completion: counted.completion_tokens }) + " · " : "";
  usage.textContent = cost + timing;
  // The answer is there whole; without the drawing it is only plainer.
  const drawing = { method: "POST", headers: ours, body: new URLSearchParams({ model: body.model, text: raw.textContent }) };
  const drawn = await reached("/try/answer", drawing).catch(() => null);
  if (drawn?.ok) panel.querySelector(".gauges").innerHTML = await drawn.text().catch(() => "");
}

async function showAnswer(panel, question, words, signal) {
  for (const old of panel.querySelectorAll(".hint, .alert")) old.remove();
  panel.querySelector(".gauges").replaceChildren();
  panel.querySelector(".raw").textContent = "";
  panel.querySelector(".origin").hidden = true;
  panel.querySelector("[data-who]").textContent = question.body.model;
  const usage = panel.querySelector(".usage");
  usage.textContent = words.waiting;
  try {
    await streamAnswer(panel, question, words, signal);
  } catch (error) {
    const told = error.refused ? words.refused : words.failed;
    const why = error.whole ? error.message : filled(told, { value: error.message });
    usage.textContent = error.name === "AbortError" ? words.stopped : why;
  }
}

// The try page: one question to one model, or to two at once, each answer in its panel.
function askModel(form) {
  const { model, other, user, system, schema, accepts } = form.elements;
  const panels = [document.getElementById("answer"), document.getElementById("answer-2")];
  const button = form.querySelector("button[type=submit]");
  const stop = form.querySelector("[data-stop]");
  let abort = null;

  // What is left empty is not sent.
  function parameters() {
    const read = {};
    for (const name of ["temperature", "top_p", "max_tokens", "seed"]) {
      const text = form.elements[name].value.trim();
      if (text) read[name] = Number(text);
    }
    if (schema.value.trim()) {
      read.response_format = { type: "json_schema", json_schema: { name: "answer", schema: JSON.parse(schema.value) } };
    }
    return read;
  }

  function body(name, told, parameters) {
    const messages = [{ role: "user", content: user.value }];
    if (told.trim()) messages.unshift({ role: "system", content: told });
    return { ...parameters, model: name, messages, stream: true, stream_options: { include_usage: true } };
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    // The keys ask as well as the button, which waits for the answer.
    if (button.disabled) return;
    let chosen;
    try {
      chosen = parameters();
    } catch (error) {
      schema.closest("details").open = true;
      schema.setCustomValidity(filled(schema.dataset.not, { name: schema.dataset.name, value: error.message }));
      schema.reportValidity();
      return;
    }
    const asked = [body(model.value, system.value, chosen)];
    if (other.value) {
      // Each gets the system message it was tuned with, unless one was written.
      const own = system.value === system.dataset.own ? other.selectedOptions[0].dataset.system : system.value;
      asked.push(body(other.value, own, chosen));
    }
    // Whoever ticks it knows that a model is restricted; the box is there only where one is.
    const headers = accepts?.checked ? { "x-lathe-accept-restricted": "1" } : {};
    abort = new AbortController();
    button.disabled = true;
    stop.hidden = false;
    await Promise.all(asked.map((it, at) => showAnswer(panels[at], { body: it, headers }, form.dataset, abort.signal)));
    button.disabled = false;
    stop.hidden = true;
  });
  schema.addEventListener("input", () => schema.setCustomValidity(""));
  stop.addEventListener("click", () => abort?.abort());
  model.addEventListener("change", () => {
    const beside = other.value ? `&other=${encodeURIComponent(other.value)}` : "";
    location.search = `?model=${encodeURIComponent(model.value)}${beside}`;
  });
  other.addEventListener("change", () => {
    panels[1].hidden = !other.value;
    panels[1].querySelector("[data-who]").textContent = other.value;
  });
  user.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  for (const sample of form.querySelectorAll("[data-sample]")) {
    sample.addEventListener("click", (event) => {
      event.preventDefault();
      user.value = sample.dataset.sample;
      form.requestSubmit();
    });
  }
}

// What is typed and not asked yet goes along when the language is switched. A browser may keep no store for the page:
// then it is lost, as without a script.
function keepMessage({ user }) {
  const name = "lathe-message";
  try {
    const kept = sessionStorage.getItem(name);
    sessionStorage.removeItem(name);
    if (kept !== null) user.value = kept;
  } catch {
    return;
  }
  document.querySelector("a.lang").addEventListener("click", (event) => {
    // Another tab leaves this one as it is.
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    sessionStorage.setItem(name, user.value);
  });
}

// A file goes in pieces, each where the one before ended: what did not reach the workshop is sent again a few times,
// and what broke off goes on when the same file is chosen again. The file's digest says that it is the same.
function bringFile(form) {
  const piece_bytes = 4 << 20;
  const misses_max = 5;
  const miss_ms = 2000;
  const hashed_bytes_max = 256 << 20;
  const bar = form.querySelector("progress");
  const status = form.querySelector("[data-status]");
  const button = form.querySelector("button[type=submit]");

  async function told(response) {
    const body = await response.json().catch(() => null);
    if (response.ok) return body;
    const { text, next, said } = body?.error ?? { text: response.statusText };
    // Told in the page's language they are sentences; as they were written they are not.
    throw new Error(said ? `${text}${next} (${said})` : [text, next].filter(Boolean).join("; "));
  }

  // It may have been moved or changed since it was chosen.
  const bytes = (part) => part.arrayBuffer().catch(() => { throw new Error(form.dataset.unread); });

  async function begun(file) {
    const asked = { do: "bring-begin", name: file.name, bytes: file.size };
    if (form.elements.project) asked.project = form.elements.project.value;
    if (globalThis.crypto?.subtle && file.size <= hashed_bytes_max) {
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await bytes(file)));
      asked.sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    }
    const headers = { "Content-Type": "application/json", ...ours };
    return told(await reached("/api/operations", { method: "POST", headers, body: JSON.stringify(asked) }));
  }

  // How far the file is at the workshop: a piece may have come whose answer was lost.
  async function stands(here) {
    const { brought } = await told(await reached("/api/brought"));
    return brought.find((file) => file.id === here.id) ?? here;
  }

  async function bring(file) {
    let here = await begun(file);
    let misses = 0;
    while (!here.complete) {
      bar.value = file.size ? here.received / file.size : 0;
      const sizes = [here.received, file.size].map((bytes) => `${(bytes / 1048576).toFixed(1)} MiB`);
      status.textContent = filled(form.dataset.sent, { sent: sizes[0], bytes: sizes[1] });
      const piece = await bytes(file.slice(here.received, here.received + piece_bytes));
      try {
        here = await told(await reached(`/api/brought/${here.id}?offset=${here.received}`, { method: "PUT", headers: ours, body: piece }));
        misses = 0;
      } catch (error) {
        if (!error.unreached || misses === misses_max) throw error;
        misses += 1;
        status.textContent = form.dataset.waits;
        await rest(misses * miss_ms);
        here = await stands(here).catch(() => here);
      }
    }
    location.href = `/data/bring/${here.id}`;
  }

  form.addEventListener("submit", async (event) => {
    const file = form.elements.file.files[0];
    if (!file || !file.size) return;
    event.preventDefault();
    button.disabled = true;
    bar.hidden = false;
    try {
      await bring(file);
    } catch (error) {
      status.textContent = filled(form.dataset.failed, { value: error.message });
      button.disabled = false;
    }
  });
}

// What an order would take is of the last check: once the form is changed since, that is said. What was pasted to be
// read into the form changes nothing yet.
function marksStale(note) {
  const plan = note.parentElement;
  plan.closest("form").addEventListener("input", (event) => {
    if (["yaml", "recipe"].includes(event.target.name)) return;
    plan.classList.add("stale");
    note.hidden = false;
  });
}

// The review: j and k go through the cards, a accepts, e and r go to what has to be written first. Keys
// that somebody types into a field, or with another key held, are theirs.
function reviewKeys(root) {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const cards = [...root.querySelectorAll("[data-card]")];
    const at = cards.indexOf(document.activeElement?.closest("[data-card]"));
    const step = { j: 1, k: -1 }[event.key];
    if (step) {
      cards[Math.min(Math.max(at + step, 0), cards.length - 1)]?.focus();
      return;
    }
    const fields = { e: "[name=correction]", r: "[name=reason]" };
    if (event.key === "a") cards[at]?.querySelector("[value=accept]")?.click();
    else if (fields[event.key]) {
      event.preventDefault();
      cards[at]?.querySelector(fields[event.key])?.focus();
    }
  });
}

// Where the page may not write to the clipboard, as without TLS from another machine, the text is marked, so that
// keys can take it.
async function copyCommand(event) {
  const button = event.target.closest("[data-copy]");
  if (!button || button.dataset.said) return;
  const code = button.parentElement.querySelector("code");
  button.dataset.said = button.textContent;
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = button.dataset.copied;
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = shared.byHand;
  }
  await rest(1500);
  button.textContent = button.dataset.said;
  delete button.dataset.said;
}

localTimes(document);
const live = document.getElementById("live");
if (live?.dataset.events) liveOrder(live);
else if (live) scrollLog(live);
const ask = document.getElementById("ask");
if (ask) {
  askModel(ask);
  keepMessage(ask.elements);
}
const stale = document.querySelector("[data-stale]");
if (stale) marksStale(stale);
const bring = document.getElementById("bring");
if (bring) bringFile(bring);
const review = document.getElementById("review");
if (review) reviewKeys(review);
document.addEventListener("pointermove", chartReadout);
document.addEventListener("pointerout", chartLeave);
document.addEventListener("click", copyCommand);
