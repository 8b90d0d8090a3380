// What only a living page can do: local times, an order that moves, a curve that answers the
// pointer, an answer that streams. Every page is complete without this file.
"use strict";

// What a page of somebody who is logged in carries, so that the server knows whose page asks.
const token = document.querySelector("meta[name=csrf]")?.content;
const ours = token ? { "X-CSRF-Token": token } : {};

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
// only the parts that differ, so that what one reads or has opened stays.
function liveOrder(live) {
  const pause_ms = 1000;
  let timer = 0;
  let again = false;

  async function refresh() {
    const response = await fetch(live.dataset.parts, { headers: { Accept: "text/html" } });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").body;
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
    refresh().catch(() => {});
    timer = setTimeout(() => {
      timer = 0;
      if (again) {
        again = false;
        soon();
      }
    }, pause_ms);
  }

  const events = new EventSource(live.dataset.events);
  for (const name of ["order", "curve", "log"]) events.addEventListener(name, soon);
  events.addEventListener("end", () => {
    events.close();
    clearTimeout(timer);
    refresh().catch(() => {});
  });
  scrollLog(live);
}

function scrollLog(root) {
  const log = root.querySelector(".log");
  if (log) log.scrollTop = log.scrollHeight;
}

// The pointer over a chart: a line through both drawings and the values of the nearest step, read
// back from the polylines themselves.
function chartReadout(event) {
  const svg = event.target.closest(".plot svg");
  const chart = svg?.closest(".chart");
  if (!chart) return;
  const box = svg.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * 1000;
  const texts = [];
  let at = null;
  for (const plot of chart.querySelectorAll(".plot svg")) {
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
    texts.push(value >= 0.01 ? value.toFixed(3) : value.toExponential(1));
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
async function* streamed(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) yield line.slice(5).trim();
    }
  }
}

const filled = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

// The try page: the form's answer streams from /v1/chat/completions, then the server draws what
// it reads in it.
function askModel(form) {
  const answer = document.getElementById("answer");
  const raw = answer.querySelector(".raw");
  const usage = answer.querySelector(".usage");
  const gauges = answer.querySelector(".gauges");
  const origin = answer.querySelector(".origin");
  const button = form.querySelector("button[type=submit]");
  const stop = form.querySelector("[data-stop]");
  const words = form.dataset;
  let abort = null;

  async function ask() {
    const fields = new FormData(form);
    const messages = [{ role: "user", content: fields.get("user") }];
    if (fields.get("system").trim()) messages.unshift({ role: "system", content: fields.get("system") });
    const body = { model: fields.get("model"), messages, temperature: 0, stream: true, stream_options: { include_usage: true } };
    const began = performance.now();
    let first = 0;
    let counted = null;
    const response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...ours },
      body: JSON.stringify(body),
      signal: abort.signal,
    });
    if (!response.ok) {
      const reason = await response.json().catch(() => null);
      throw new Error(reason?.error?.message ?? response.statusText);
    }
    for await (const data of streamed(response)) {
      if (data === "[DONE]") break;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      const text = chunk.choices?.[0]?.delta?.content ?? "";
      if (text && !first) {
        first = performance.now();
        usage.textContent = "";
      }
      raw.textContent += text;
      counted = chunk.usage ?? counted;
    }
    const receipt = response.headers.get("x-lathe-receipt");
    if (receipt) {
      origin.querySelector("a").href = `/receipts/${encodeURIComponent(receipt)}`;
      origin.hidden = false;
    }
    const total = Math.round(performance.now() - began);
    const timing = filled(words.timing, { first: Math.round((first || performance.now()) - began), total });
    const cost = counted ? filled(words.usage, { prompt: counted.prompt_tokens, completion: counted.completion_tokens }) + " · " : "";
    usage.textContent = cost + timing;
    const drawn = await fetch("/try/answer", {
      method: "POST",
      headers: ours,
      body: new URLSearchParams({ model: body.model, text: raw.textContent }),
    });
    if (drawn.ok) gauges.innerHTML = await drawn.text();
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    answer.querySelector(".hint")?.remove();
    answer.querySelector(".alert")?.remove();
    gauges.replaceChildren();
    raw.textContent = "";
    usage.textContent = words.waiting;
    origin.hidden = true;
    abort = new AbortController();
    button.disabled = true;
    stop.hidden = false;
    try {
      await ask();
    } catch (error) {
      usage.textContent = error.name === "AbortError" ? words.stopped : words.failed.replace("{value}", error.message);
    }
    button.disabled = false;
    stop.hidden = true;
  });
  stop.addEventListener("click", () => abort?.abort());
  form.elements.model.addEventListener("change", () => {
    location.search = `?model=${encodeURIComponent(form.elements.model.value)}`;
  });
  form.elements.user.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  for (const sample of form.querySelectorAll("[data-sample]")) {
    sample.addEventListener("click", (event) => {
      event.preventDefault();
      form.elements.user.value = sample.dataset.sample;
      form.requestSubmit();
    });
  }
}

async function copyCommand(event) {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
  const text = button.textContent;
  button.textContent = button.dataset.copied;
  setTimeout(() => { button.textContent = text; }, 1500);
}

localTimes(document);
const live = document.getElementById("live");
if (live?.dataset.events) liveOrder(live);
else if (live) scrollLog(live);
const ask = document.getElementById("ask");
if (ask) askModel(ask);
document.addEventListener("pointermove", chartReadout);
document.addEventListener("pointerout", chartLeave);
document.addEventListener("click", (event) => { copyCommand(event).catch(() => {}); });
