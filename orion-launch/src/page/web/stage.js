// SPDX-License-Identifier: MPL-2.0
// The picture of a camera with what was found on it. Both are drawn together, so they always belong to the same frame.

const BOX = "#5ee28f";
const OTHER = "#ffd166";
const REGION = "#6cb8ff";
const KEPT = 30;

export class Stage {
  shown = null;
  #canvas;
  #picture = null;
  #busy = false;
  #waiting = null;
  #times = [];
  #draft = null;
  #drawn;
  #painted;
  #seen = true;

  // `drawn(region)`: somebody has drawn a region, in fractions of the frame. `painted()`: another frame is shown.
  constructor(canvas, drawn, painted) {
    this.#canvas = canvas;
    this.#drawn = drawn;
    this.#painted = painted;
    new ResizeObserver(() => this.#paint()).observe(canvas);
    // Of a camera that is scrolled away no picture is fetched.
    new IntersectionObserver(([entry]) => {
      this.#seen = entry.isIntersecting;
      this.#next();
    }).observe(canvas);
    this.#listen();
  }

  // Takes a result; a newer one replaces one whose picture is not there yet.
  offer(result) {
    result.heard = performance.now();
    if (this.shown && result.epoch === this.shown.epoch && result.seq === this.shown.seq) {
      // Another worker's result of the same frame.
      this.shown.others = [...(this.shown.others ?? []).filter((o) => o.type !== result.type), result];
      return this.#paint();
    }
    this.#waiting = result;
    this.#next();
  }

  #next() {
    if (this.#busy || !this.#seen || !this.#waiting) return;
    const result = this.#waiting;
    this.#waiting = null;
    this.#fetch(result);
  }

  get rate() {
    const now = performance.now();
    const recent = this.#times.filter((time) => now - time < 6000);
    if (recent.length < 2) return null;
    return (1000 * (recent.length - 1)) / (recent[recent.length - 1] - recent[0]);
  }

  // Seconds since the frame came to the daemon; null = there is none.
  get age() {
    if (!this.shown) return null;
    return (this.shown.age_ms + performance.now() - this.shown.heard) / 1000;
  }

  clear() {
    this.#waiting = null;
    this.#times = [];
  }

  set drawing(on) {
    this.#draft = null;
    this.#canvas.parentElement.classList.toggle("drawing", on);
    this.#paint();
  }

  get drawing() {
    return this.#canvas.parentElement.classList.contains("drawing");
  }

  async #fetch(result) {
    this.#busy = true;
    try {
      let picture = null;
      if (result.picture) {
        const camera = encodeURIComponent(result.camera);
        const answer = await fetch(`api/cameras/${camera}/frames/${result.seq}.jpg`, { signal: AbortSignal.timeout(5000) });
        // One that was too old to be kept is skipped; the next one is on its way.
        if (!answer.ok) return;
        picture = await createImageBitmap(await answer.blob());
      }
      this.#picture?.close();
      this.#picture = picture;
      this.shown = result;
      this.#times = [...this.#times.slice(1 - KEPT), performance.now()];
      this.#canvas.dataset.seq = result.seq;
      this.#canvas.dataset.boxes = result.detections.length;
      this.#paint();
      this.#painted();
    } catch {
      // The connection is gone, which is told elsewhere.
    } finally {
      this.#busy = false;
      this.#next();
    }
  }

  #paint() {
    const canvas = this.#canvas;
    const scale = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale);
    const height = Math.round(canvas.clientHeight * scale);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (this.shown) {
      canvas.parentElement.style.aspectRatio = `${this.shown.width} / ${this.shown.height}`;
      if (this.#picture) context.drawImage(this.#picture, 0, 0, width, height);
      const lines = Math.max(2, Math.round(2 * scale));
      this.#regions(context, width, height, lines, scale);
      for (const [result, colour] of [[this.shown, BOX], ...(this.shown.others ?? []).map((o) => [o, OTHER])]) {
        const [x, y] = [width / result.width, height / result.height];
        for (const { bbox, label, confidence } of result.detections) {
          const text = `${label} ${Math.round(100 * confidence)} %`;
          box(context, [bbox.x * x, bbox.y * y, bbox.width * x, bbox.height * y], colour, lines, text, scale);
        }
      }
    }
    if (this.#draft) {
      const { x, y, width: w, height: h } = this.#draft;
      context.setLineDash([8 * scale, 5 * scale]);
      box(context, [x * width, y * height, w * width, h * height], "#ffffff", 2 * scale, "", scale);
      context.setLineDash([]);
    }
  }

  #regions(context, width, height, lines, scale) {
    const { rois = [], merged = null } = this.shown.attention ?? {};
    if (merged) {
      const at = [merged.x * width, merged.y * height, merged.width * width, merged.height * height];
      context.fillStyle = "rgb(5 8 13 / 38%)";
      context.beginPath();
      context.rect(0, 0, width, height);
      context.rect(...at);
      context.fill("evenodd");
      context.setLineDash([9 * scale, 5 * scale]);
      box(context, at, REGION, lines, "", scale);
      context.setLineDash([]);
    }
    if (rois.length > 1) {
      for (const roi of rois) {
        box(context, [roi.x * width, roi.y * height, roi.width * width, roi.height * height], REGION, lines / 2, "", scale);
      }
    }
  }

  #listen() {
    const canvas = this.#canvas;
    let start = null;
    const place = (event) => {
      const frame = canvas.getBoundingClientRect();
      const within = (value) => Math.min(1, Math.max(0, value));
      return [within((event.clientX - frame.left) / frame.width), within((event.clientY - frame.top) / frame.height)];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.drawing || event.button !== 0) return;
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      start = place(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!start) return;
      const end = place(event);
      const [x, y] = [Math.min(start[0], end[0]), Math.min(start[1], end[1])];
      this.#draft = { x, y, width: Math.abs(start[0] - end[0]), height: Math.abs(start[1] - end[1]) };
      this.#paint();
    });
    const end = (done) => {
      const region = this.#draft;
      start = null;
      this.#draft = null;
      this.#paint();
      // A click is no region.
      if (done && region && region.width > 0.01 && region.height > 0.01) this.#drawn(region);
    };
    canvas.addEventListener("pointerup", () => start && end(true));
    canvas.addEventListener("pointercancel", () => end(false));
  }
}

function box(context, [x, y, width, height], colour, lines, text, scale) {
  context.lineWidth = lines + 2 * scale;
  context.strokeStyle = "rgb(5 8 13 / 55%)";
  context.strokeRect(x, y, width, height);
  context.lineWidth = lines;
  context.strokeStyle = colour;
  context.strokeRect(x, y, width, height);
  if (!text) return;
  context.font = `600 ${Math.round(12 * scale)}px system-ui, sans-serif`;
  const high = Math.round(18 * scale);
  const wide = context.measureText(text).width + 10 * scale;
  const left = Math.max(0, Math.min(x - lines / 2, context.canvas.width - wide));
  // Above the box, or within it where there is no room.
  const top = y < high ? y + lines / 2 : y - high;
  context.fillStyle = colour;
  context.fillRect(left, top, wide, high);
  context.fillStyle = "#05080d";
  context.textBaseline = "middle";
  context.fillText(text, left + 5 * scale, top + high / 2 + scale);
}
