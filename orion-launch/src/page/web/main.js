// SPDX-License-Identifier: MPL-2.0
// The page: who may see it, which cameras there are, and what they say.

import { Camera } from "./camera.js";
import { element, set } from "./figures.js";
import { Live, post } from "./live.js";
import { clock, said } from "./words.js";

const EVENTS = 50;
const TICK_MS = 250;
const at = (id) => document.getElementById(id);
const cameras = new Map();

function link(text, tone) {
  at("link").dataset.tone = tone;
  set(at("link"), text);
}

function banner(text) {
  at("banner").hidden = !text;
  set(at("banner"), text);
}

function place(id) {
  let camera = cameras.get(id);
  if (!camera) {
    camera = new Camera(id);
    cameras.set(id, camera);
    const after = [...cameras.keys()].filter((other) => other > id).sort()[0];
    at("cameras").insertBefore(camera.root, after ? cameras.get(after).root : null);
    arrange();
  }
  return camera;
}

function arrange() {
  at("cameras").classList.toggle("single", cameras.size === 1);
  at("empty").hidden = cameras.size > 0;
}

function tell({ camera, said: message }) {
  const { text, trouble } = said(message);
  const list = at("event-list");
  const time = element("time", { dateTime: message.timestamp, textContent: clock(message.timestamp) });
  const what = element("span", { className: trouble ? "what trouble" : "what", textContent: text });
  list.prepend(element("li", {}, time, element("span", { className: "who", textContent: camera }), what));
  while (list.children.length > EVENTS) list.lastChild.remove();
  at("events").hidden = false;
}

const live = new Live({
  hello({ recent, version }) {
    at("event-list").replaceChildren();
    recent.forEach(tell);
    set(at("version"), `Orion ${version}`);
  },
  state({ cameras: all }) {
    for (const camera of all) place(camera.state.instance_id).state(camera);
    const names = new Set(all.map((camera) => camera.state.instance_id));
    for (const [id, camera] of cameras) {
      if (names.has(id)) continue;
      camera.root.remove();
      cameras.delete(id);
    }
    arrange();
  },
  result: (result) => cameras.get(result.camera)?.result(result),
  presence: ({ camera, said }) => cameras.get(camera)?.presence(said),
  said: tell,
  up() {
    link("connected", "good");
    banner("");
  },
  down(why) {
    link("disconnected", "bad");
    banner(`Disconnected: ${why}. What you see is old; this page connects again by itself.`);
    for (const camera of cameras.values()) camera.down();
  },
  out: enter,
});

setInterval(() => cameras.forEach((camera) => camera.tick()), TICK_MS);

// Shows what this visitor may see.
function enter(session) {
  at("logout").hidden = !(session.token_needed && session.admitted);
  at("login").hidden = session.admitted;
  at("cameras").hidden = !session.admitted;
  if (session.admitted) {
    live.start();
    return;
  }
  at("events").hidden = true;
  at("event-list").replaceChildren();
  for (const camera of cameras.values()) camera.root.remove();
  cameras.clear();
  at("empty").hidden = true;
  banner("");
  link("logged out", "unknown");
  at("token").focus();
}

async function begin() {
  try {
    const answer = await fetch("api/session");
    const session = await answer.json();
    if (!answer.ok) throw new Error(session.error);
    enter(session);
  } catch (error) {
    link("disconnected", "bad");
    banner(`No answer from the daemon: ${error.message}. Trying again.`);
    setTimeout(begin, 3000);
  }
}

at("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  set(at("login-error"), "");
  try {
    await post("api/login", { token: at("token").value });
    at("token").value = "";
    await begin();
  } catch (error) {
    set(at("login-error"), error.message);
    at("token").select();
  }
});

at("logout").addEventListener("click", async () => {
  live.stop();
  await post("api/logout", {}).catch(() => null);
  await begin();
});

begin();
