// Shows the room on a canvas: a camera that follows, who stands where. It looks at the model and changes nothing.

import {EMOTE_MS, bubble, emoteSign, figure, measureBubble, nameTag} from "./figure.js";
import {ring, scene, target, themeOf} from "./scene.js";

const MIN_SCALE = 40, MAX_SCALE = 58; // pixels a metre
const MARGIN = 2; // metres of garden in sight beyond the wall
const GAP = 8; // pixels between bubbles, and to the canvas's edge

/** Sorts people from the back to the front; of those at one place, oneself is before the others. */
export function backToFront(people, self) {
  return people.sort((a, b) => Math.round(a.y) - Math.round(b.y) || (a.avatar.entity === self) - (b.avatar.entity === self));
}

export class View {
  /** @param {HTMLCanvasElement} canvas @param {import("./model.js").Model} model */
  constructor(canvas, model) {
    this.canvas = canvas;
    this.model = model;
    this.context = canvas.getContext("2d");
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.camera = {x: 0, z: 0, scale: MIN_SCALE, room: ""};
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.dark.addEventListener("change", () => this.#colours());
    this.#colours();
    this.#resize();
  }

  #colours() {
    const style = getComputedStyle(document.documentElement);
    const names = ["bg", "panel", "ink", "accent", "accent-ink"];
    this.colours = Object.fromEntries(names.map((n) => [n, style.getPropertyValue(`--${n}`).trim()]));
    this.camera.room = "";
  }

  #resize() {
    this.ratio = Math.min(2, devicePixelRatio || 1);
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * this.ratio);
    this.canvas.height = Math.round(this.height * this.ratio);
    this.camera.room = "";
  }

  /** The place in the room under a point of the canvas. */
  toRoom(px, py) {
    const {x, z, scale} = this.camera;
    return {x: x + (px - this.width / 2) / scale, y: 0, z: z + (py - this.height / 2) / scale};
  }

  #toScreen(p) {
    const {x, z, scale} = this.camera;
    return [this.width / 2 + (p.x - x) * scale, this.height / 2 + (p.z - z) * scale];
  }

  /** The avatar under a point, the nearest if there are several; never oneself. */
  avatarAt(px, py, now) {
    const {scale} = this.camera;
    const under = [...this.model.avatars.values()].filter((avatar) => {
      const [x, y] = this.#toScreen(this.model.place(avatar, now));
      return avatar.inSight && avatar.entity !== this.model.self && Math.abs(px - x) < scale * 0.45 && py < y + 22 && py > y - scale * 1.3;
    });
    return under.sort((a, b) => this.model.place(b, now).z - this.model.place(a, now).z)[0];
  }

  draw(now) {
    const {room, self} = this.model;
    if (!room || !this.width) return;
    const c = this.context, s = this.#follow(room), beat = this.calm.matches ? 0 : now;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    const [left, top] = this.#toScreen({x: 0, z: 0});
    scene(c, {left, top, scale: s, width: this.width, height: this.height}, room, this.theme);
    if (this.model.target) target(c, ...this.#toScreen(this.model.target), s, beat, this.colours.accent);
    const people = this.#people(now);
    for (const p of people) {
      if (p.avatar.entity === self) ring(c, p.x, p.y, s, this.colours.accent);
      figure(c, p.avatar.user, {...p, scale: s, beat});
    }
    for (const p of people) nameTag(c, p.avatar.user, p.x, p.y + s * 0.24, p.avatar.entity === self, this.colours);
    this.#bubbles(people, now);
    for (const p of people) {
      if (!p.emote) continue;
      emoteSign(c, p.emote, p.x, p.y, s, (now - p.avatar.emote.from) / EMOTE_MS, this.calm.matches, this.colours);
    }
  }

  /** Everybody in sight, from the back to the front. */
  #people(now) {
    const {model} = this, people = [];
    for (const avatar of model.avatars.values()) {
      if (!avatar.inSight) continue;
      const self = avatar.entity === model.self;
      const [x, y] = this.#toScreen(model.place(avatar, now));
      if (x < -120 || x > this.width + 120 || y < -60 || y > this.height + 160) continue;
      people.push({
        avatar, x, y,
        yaw: (self ? model.me.yaw : avatar.yawAt(now)) / 65536 * 2 * Math.PI,
        walking: self ? model.me.walking : avatar.walking(now),
        emote: avatar.emote && now < avatar.emote.until ? avatar.emote.id : "",
      });
    }
    return backToFront(people, model.self);
  }

  /** Bubbles from the front to the back; one that would cover another moves up. */
  #bubbles(people, now) {
    const c = this.context, s = this.camera.scale, placed = [];
    for (const {avatar, x, y} of people.toReversed()) {
      if (!avatar.bubble || now >= avatar.bubble.until) continue;
      const size = measureBubble(c, avatar.bubble.text);
      const left = Math.max(GAP, Math.min(this.width - size.width - GAP, x - size.width / 2));
      let top = y - s * 1.45 - size.height;
      const covers = (o) => left < o.left + o.width && left + size.width > o.left
        && top < o.top + o.height + GAP && top + size.height + GAP > o.top;
      for (let other; (other = placed.find(covers));) top = other.top - size.height - GAP - 1;
      top = Math.max(GAP, top);
      placed.push({left, top, ...size});
      bubble(c, size, left, top, {x, y: y - s * 1.22}, this.colours);
      if (placed.length > 40) break;
    }
  }

  /** Moves the camera; returns its scale. A room that fits is in the middle. */
  #follow(room) {
    const {camera} = this, {me} = this.model;
    const fit = Math.min(this.width / (room.width + 2 * MARGIN), this.height / (room.depth + 2 * MARGIN));
    camera.scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, fit));
    const centre = (value, size, shown) => (shown >= size + 2 * MARGIN ? size / 2
      : Math.min(size + MARGIN - shown / 2, Math.max(shown / 2 - MARGIN, value)));
    const x = centre(me.x, room.width, this.width / camera.scale);
    const z = centre(me.z, room.depth, this.height / camera.scale);
    const fresh = camera.room !== room.id;
    if (fresh) {
      camera.room = room.id;
      this.theme = themeOf(room.id, this.dark.matches);
    }
    const ease = fresh || this.calm.matches ? 1 : 0.14;
    camera.x += (x - camera.x) * ease;
    camera.z += (z - camera.z) * ease;
    return camera.scale;
  }
}
