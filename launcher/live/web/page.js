"use strict";
// Asks for what is known, and builds the page of it. All text is put in as text, never as HTML.

const SCHEMA_VERSION = 1;
const ASK_MS = 2000;
const SVG = "http://www.w3.org/2000/svg";
const KINDS = { "pays": "good", "does not pay": "bad", "even": "warn", "unknown": "warn" };
const STATES = { READY: "good", STARTING: "warn", UNHEALTHY: "warn", BACKOFF: "warn",
  STOPPING: "warn", EXITED: "bad", FATAL: "bad", DEAD: "bad", ORPHANED: "bad" };

const known = value => value !== null && value !== undefined;
const whole = value => known(value) ? Math.round(value).toLocaleString("en") : "-";
const rate = value => !known(value) ? "-" : value >= 10 || value === 0
  ? Math.round(value).toLocaleString("en") : value.toFixed(1);
const length = value => known(value) ? value.toFixed(2) : "-";
const percent = share => !known(share) ? "-" : share > 0 && share < 0.005
  ? "<1 %" : `${Math.round(share * 100)} %`;
const gib = bytes => known(bytes) ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : "-";

function latency(seconds) {
  if (!known(seconds)) return "-";
  const ms = seconds * 1000;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  return ms < 999.5 ? `${ms.toFixed(0)} ms` : `${seconds.toFixed(2)} s`;
}

function age(seconds) {
  if (!known(seconds)) return "-";
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

function element(name, options = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (value) made.setAttribute(key, value);
  }
  made.append(...children.filter(child => child !== null));
  return made;
}

function drawn(name, options) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(options)) made.setAttribute(key, value);
  return made;
}

// A line through values; a gap where there is none. `levels` are lines across, by their class.
function chart(label, values, seconds, lowest, highest, levels = []) {
  const there = values.filter(known);
  if (there.length < 2) return null;
  const top = Math.max(highest, ...there, ...levels.map(([, at]) => at));
  const svg = drawn("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img",
    "aria-label": `${label}: from ${there[0].toFixed(2)} to ${there.at(-1).toFixed(2)}` });
  const y = value => 39 - 38 * (value - lowest) / Math.max(top - lowest, 1e-9);
  const x = place => 100 * place / Math.max(values.length - 1, 1);
  svg.append(drawn("line", { x1: 0, x2: 100, y1: 39.5, y2: 39.5, class: "floor" }));
  for (const [name, at] of levels) {
    svg.append(drawn("line", { x1: 0, x2: 100, y1: y(at), y2: y(at), class: `level ${name}` }));
  }
  let run = [];
  const close = () => {
    if (run.length === 1) run.push(run[0]);
    if (run.length) svg.append(drawn("polyline", { points: run.join(" ") }));
    run = [];
  };
  values.forEach((value, place) => {
    if (known(value)) run.push(`${x(place).toFixed(2)},${y(value).toFixed(2)}`);
    else close();
  });
  close();
  const scale = `${lowest} to ${top >= 10 ? whole(top) : top.toFixed(top % 1 ? 1 : 0)}`;
  return element("figure", {}, svg, element("figcaption", {}, `${scale}, over ${age(seconds)}`));
}

function card(title, big, unit, ...rest) {
  return element("div", { class: "card" },
    element("h3", {}, title),
    known(big) ? element("div", { class: "big" }, big, unit ? element("small", {}, ` ${unit}`) : null)
      : null,
    ...rest);
}

const line = (text, kind = "") => text ? element("p", { class: kind }, text) : null;
const joined = (...parts) => parts.filter(Boolean).join(", ");

function acceptance(server) {
  const { acceptance, draft_steps: steps, draft_tokens: tokens } = server.figures;
  const verdict = server.verdict;
  const now = acceptance.window ?? acceptance.since_start;
  const baseline = verdict.baseline === "benchmark" ? verdict.baseline_acceptance_length : null;
  const needed = verdict.needed_acceptance_length;
  const levels = [];
  if (known(baseline)) levels.push(["baseline", baseline]);
  if (known(needed)) levels.push(["need", needed]);
  return card("Acceptance length", length(now), "tokens a step",
    line(joined(known(baseline) && `benchmark ${length(baseline)}`,
      known(acceptance.since_start) && `since its start ${length(acceptance.since_start)}`)),
    line(known(needed) ? `needs ${length(needed)} to pay` : "", "need"),
    line(verdict.has_decayed ? "It has decayed." : "", "bad"),
    line(steps || tokens ? `${whole(steps)} draft steps, ${whole(tokens)} tokens to verify`
      : known(steps) ? "no draft steps at the last report" : ""),
    chart("acceptance length", server.course.acceptance_length, server.course.seconds, 1, tokens ?? 2, levels));
}

function requests(server) {
  const figures = server.figures;
  const waiting = figures.waiting_requests;
  return card("Requests", whole(figures.running_requests), "running",
    line(`${whole(waiting)} waiting` + (waiting
      ? `, expected wait ${latency(figures.expected_wait_seconds)}` : ""), waiting ? "warn" : ""),
    line(`${rate(figures.requests_per_second)} ended a second`),
    chart("running requests", server.course.running_requests, server.course.seconds, 0, 1));
}

function tokens(server) {
  const figures = server.figures;
  return card("Tokens", rate(figures.output_tokens_per_second), "a second out",
    line(`${rate(figures.prompt_tokens_per_second)} a second in`),
    line(`${whole(figures.totals.output_tokens)} out since its start`),
    chart("tokens a second", server.course.output_tokens_per_second,
      server.course.seconds, 0, 1));
}

function latencies(server) {
  const figures = server.figures;
  const rows = [["first token", figures.time_to_first_token_seconds],
    ["output token", figures.time_per_output_token_seconds],
    ["in the queue", figures.queue_time_seconds]];
  const cells = ["", "median", "p90", "p99"].map(text => element("span", { class: "soft" }, text));
  for (const [name, one] of rows) {
    cells.push(element("span", { class: "soft" }, name));
    for (const value of [one.p50, one.p90, one.p99]) {
      cells.push(element("span", {}, latency(value)));
    }
  }
  return card("Latency", null, "", element("div", { class: "rows" }, ...cells),
    line(`of the last ${age(figures.window_seconds)}`));
}

function cache(server) {
  const figures = server.figures;
  const used = figures.kv_used_fraction, kept = figures.kv_evictable_fraction;
  const part = (name, share) => {
    const made = element("div", { class: name });
    made.style.width = `${100 * Math.min(1, share ?? 0)}%`;
    return made;
  };
  return card("KV cache", percent(used),
    known(figures.kv_total_tokens) ? `used of ${whole(figures.kv_total_tokens)} tokens` : "used",
    element("div", { class: "bar" }, part(used >= 0.9 ? "used full" : "used", used),
      part("kept", kept)),
    line(joined(known(kept) && `${percent(kept)} evictable`,
      known(figures.prefix_hit_fraction)
        && `${percent(figures.prefix_hit_fraction)} of prompt tokens hit`)),
    line(known(figures.retractions) ? `${whole(figures.retractions)} retractions` : "",
      figures.retractions ? "warn" : ""));
}

function supervisor(server) {
  const ago = server.last_failure_seconds_ago;
  const cores = server.usage.cpu_cores;
  const gpus = server.usage.gpus.map(gpu => line(`GPU ${gpu.index}: `
    + `${gib(gpu.memory_used_bytes)} of ${gib(gpu.memory_total_bytes)}, `
    + `${percent(gpu.utilisation)} busy`
    + (known(gpu.power_watts) ? `, ${gpu.power_watts.toFixed(0)} W` : "")));
  return card("Supervisor and machine", whole(server.restarts),
    server.restarts === 1 ? "restart" : "restarts",
    line(known(server.routed) ? `gets requests: ${server.routed ? "yes" : "no"}` : ""),
    line(server.alarm && `alarm: ${server.alarm}`, "warn"),
    line(server.last_failure
      && `last failure${known(ago) ? `, ${age(ago)} ago` : ""}: ${server.last_failure}`, "warn"),
    ...gpus,
    line(known(cores) ? `${cores.toFixed(2)} processor cores busy` : ""),
    line(server.origin && (server.origin === "files" ? "figures from its files"
      : `figures by /metrics, ${age(server.age_seconds)} old`)));
}

function serverSection(server, number) {
  const verdict = server.verdict;
  const state = server.phase ? `${server.state} (${server.phase})` : server.state;
  const since = known(server.seconds_since_start) ? ` for ${age(server.seconds_since_start)}` : "";
  const facts = [server.model, server.engine, server.speculation, server.url]
    .filter(fact => fact && fact !== server.name).join(" · ");
  const cards = verdict ? [server.speculation === "off" ? null : acceptance(server),
    requests(server), tokens(server), latencies(server), cache(server)] : [];
  return element("section", { id: `server-${number}` },
    element("h2", {}, server.name, element("small", { class: STATES[server.state] }, state + since),
      element("small", {}, facts)),
    verdict ? element("p", { class: `verdict ${KINDS[verdict.kind] ?? ""}` }, verdict.sentence) : null,
    server.problem ? line(server.problem, "warn") : null,
    element("div", { class: "cards" },
      ...[...cards, supervisor(server)].filter(Boolean)));
}

function overview(servers) {
  const head = ["server", "state", "running", "waiting", "tokens/s", "acceptance", "speculation",
    "first token", "output token", "KV cache"];
  const rows = servers.map((server, number) => {
    const { figures, verdict } = server;
    const window = figures.acceptance.window ?? figures.acceptance.since_start;
    const says = !verdict ? "-" : known(verdict.speedup) && verdict.kind !== "off"
      ? `${verdict.speedup.toFixed(1)}x` : verdict.kind === "unknown" ? "?" : verdict.kind;
    const cells = [whole(figures.running_requests), whole(figures.waiting_requests),
      rate(figures.output_tokens_per_second),
      [length(window), verdict?.has_decayed ? "bad" : ""], [says, KINDS[verdict?.kind]],
      latency(figures.time_to_first_token_seconds.p50),
      latency(figures.time_per_output_token_seconds.p50), percent(figures.kv_used_fraction)];
    return element("tr", {},
      element("td", {}, element("a", { href: `#server-${number}` }, server.name)),
      element("td", { class: STATES[server.state] }, server.state),
      ...cells.map(cell => [cell].flat()).map(([text, kind]) =>
        element("td", { class: kind }, text)));
  });
  return [element("tr", {}, ...head.map(text => element("th", {}, text))), ...rows];
}

function show(snapshot) {
  const place = id => document.getElementById(id);
  const { servers, problems } = snapshot;
  place("when").textContent = `${snapshot.at.slice(0, 19).replace("T", " ")} UTC`;
  place("overview").hidden = servers.length < 2;
  place("overview").replaceChildren(...overview(servers));
  place("servers").replaceChildren(...problems.map(text => line(text, "bad")),
    ...servers.map(serverSection),
    ...(servers.length ? [] : [line("No server runs here. Start one: python -m launcher up")]));
}

function trouble(text) {
  const place = document.getElementById("trouble");
  place.textContent = text;
  place.hidden = !text;
}

async function ask() {
  try {
    const answer = await fetch("snapshot.json", { cache: "no-store" });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const snapshot = await answer.json();
    if (snapshot && snapshot.schema_version !== SCHEMA_VERSION) {
      trouble("The launcher was updated: load this page again.");
    } else if (snapshot) {
      show(snapshot);
      trouble("");
    }
  } catch {
    trouble("`top --web` does not answer: what is shown is no longer true.");
  }
}

async function go() {
  // A page that nobody sees asks nothing.
  if (!document.hidden) await ask();
  setTimeout(go, ASK_MS);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
go();
