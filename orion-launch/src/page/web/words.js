// SPDX-License-Identifier: MPL-2.0
// From what the daemon says to what people read. Nothing here touches the page.

const REASONS = {
  stopped: "the daemon has stopped",
  stream_lost: "no frames come from the camera",
  frozen: "the camera repeats the same picture",
  black: "the picture is black",
  paused: "inference is paused",
  no_worker: "no worker is ready",
  evidence_too_old: "the last look is too old",
  starting: "not looked at for long enough yet",
};

const SOURCES = {
  external: "region set by hand",
  python_suggested: "region follows what was found",
  auto_history: "region from recent finds",
  "": "whole frame",
};

const STEPS = { source: "Gate", roi: "Region", sink: "Published" };

export function seconds(s) {
  if (s < 1) return `${Math.max(0, Math.round(s * 10) / 10)} s`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return `${(s / 3600).toFixed(1)} h`;
}

export function count(n) {
  return n.toLocaleString("en");
}

export function milliseconds(ms) {
  return ms < 9.95 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

export function clock(timestamp) {
  return new Date(timestamp).toLocaleTimeString([], { hour12: false });
}

// What can be said of persons. Nothing that is not known is made to look known.
export function presence(told, connected) {
  if (!connected) return { text: "Unknown", tone: "unknown", why: "no connection to the daemon" };
  if (!told) return { text: "Not watched for", tone: "unknown", why: "presence is off in the configuration" };
  if (told.state === "present") {
    const many = told.count === 0 ? "Present" : `Present: ${told.count}`;
    return { text: many, tone: "good", why: "" };
  }
  if (told.state === "absent") return { text: "Nobody there", tone: "calm", why: "" };
  return { text: "Unknown", tone: "unknown", why: REASONS[told.reason] ?? told.reason ?? "" };
}

export function evidence(told, age, connected, why) {
  const parts = why ? [why] : [];
  if (told && connected) {
    parts.push(`since ${clock(told.since)}`);
    parts.push(age === null ? "no evidence yet" : `evidence is ${seconds(age)} old`);
  }
  return parts.join(" · ");
}

export function attention(found) {
  return found ? SOURCES[found.source] ?? found.source : "whole frame";
}

export function seen(result) {
  const found = result.detections.map((d) => `${d.label} ${Math.round(d.confidence * 100)} %`);
  return `Frame ${count(result.seq)}: ${found.length ? found.join(", ") : "nothing found"} · ${attention(result.attention)}`;
}

// Chips for stream, broker and workers.
export function states(camera) {
  const { stream, broker, workers } = camera.state;
  const chips = [];
  if (stream.state === "streaming") {
    const fps = stream.fps === null ? "" : `, ${stream.fps.toFixed(1)} frames/s`;
    const late = stream.live && stream.last_frame_age_s > 2;
    const age = late ? `, last frame ${seconds(stream.last_frame_age_s)} ago` : "";
    chips.push({ text: `Stream up${fps}${age}`, tone: late ? "bad" : "good" });
  } else {
    const why = [stream.cause, stream.detail].filter(Boolean).join(": ");
    const text = `Stream ${stream.state} for ${seconds(stream.state_for_s)}${why ? ` (${why})` : ""}`;
    chips.push({ text, tone: stream.state === "lost" ? "bad" : "unknown" });
  }
  if (broker.connected) {
    const waiting = broker.buffered > 1 ? `, ${count(broker.buffered)} waiting` : "";
    chips.push({ text: `Broker connected${waiting}`, tone: "good" });
  } else {
    const why = broker.last_error ? ` (${broker.last_error})` : "";
    chips.push({ text: `Broker away, ${count(broker.buffered)} waiting${why}`, tone: "warn" });
  }
  for (const worker of workers) {
    const ready = worker.processes.filter((p) => p.state === "ready" || p.state === "busy").length;
    const all = worker.processes.length;
    const model = worker.processes[0]?.model_file.split("/").pop();
    const name = `Worker ${worker.name}: ${ready} of ${all} ready`;
    const away = worker.processes.find((p) => p.state !== "ready" && p.state !== "busy");
    const why = away ? `, ${away.state}${away.last_error ? ` (${away.last_error})` : ""}` : "";
    const text = `${name}${model ? `, ${model}` : ""}${why}`;
    chips.push({ text, tone: ready === 0 ? "bad" : ready < all ? "warn" : "good" });
  }
  return chips;
}

// The ledger as the way of the frames: each step with what passed it and what was dropped there, by cause.
export function flow(camera) {
  const steps = [];
  const add = (step, passed, dropped, inFlight = 0) => {
    const causes = Object.entries(dropped).filter(([, n]) => n > 0);
    steps.push({ step, passed, causes, inFlight });
  };
  for (const book of camera.state.ledger) {
    if (book.element === "source") {
      add("Received", book.received, {});
      add("Gate", book.forwarded, book.dropped);
    } else if (camera.state.workers.some((worker) => worker.name === book.element)) {
      const { queue_full = 0, ...others } = book.dropped;
      const several = camera.state.workers.length > 1 ? ` ${book.element}` : "";
      add(`Queue${several}`, book.received - queue_full, { queue_full });
      add(`Worker${several}`, book.forwarded, others, book.in_flight);
    } else {
      add(STEPS[book.element] ?? book.element, book.forwarded, book.dropped, book.in_flight);
    }
  }
  return steps;
}

export function cause(name) {
  return name.replaceAll("_", " ");
}

// An answer or an event in one line.
export function said(message) {
  if ("command_ack" in message) {
    const name = message.command_ack || "command";
    if (message.status === "success") {
      const from = message.applied_at_seq === undefined ? "" : ` from frame ${count(message.applied_at_seq)} on`;
      return { text: `${name}: in force${from}`, trouble: false };
    }
    return { text: `${name} was refused: ${message.error}`, trouble: true };
  }
  const { event, timestamp, ...rest } = message;
  const details = Object.entries(rest)
    .filter(([, value]) => value !== null && value !== "")
    .map(([key, value]) => `${cause(key)} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  const trouble = /lost|failed|rejected|restart$/.test(event);
  return { text: [cause(event), ...details].join(" · "), trouble };
}
