// Draws the room on a canvas. It looks at the model and changes nothing.

import {colourOf} from "./model.js";

export const EMOTES = {wave: "👋", heart: "❤️", laugh: "😄", dance: "💃", clap: "👏"};
const MIN_SCALE = 28, MAX_SCALE = 44; // pixels a metre

export class View {
  /** @param {HTMLCanvasElement} canvas @param {import("./model.js").Model} model */
  constructor(canvas, model) {
    this.canvas = canvas;
    this.model = model;
    this.context = canvas.getContext("2d");
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.camera = {x: 0, z: 0, scale: 20};
    new ResizeObserver(() => this.#resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#colours());
    this.#colours();
    this.#resize();
  }

  #colours() {
    const style = getComputedStyle(document.documentElement);
    const names = ["bg", "panel", "ink", "soft", "floor-a", "floor-b", "wall", "accent"];
    this.colours = Object.fromEntries(names.map((n) => [n, style.getPropertyValue(`--${n}`).trim()]));
  }

  #resize() {
    this.ratio = devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * this.ratio);
    this.canvas.height = Math.round(this.height * this.ratio);
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

  /** The avatar under a point, if there is one. */
  avatarAt(px, py, now) {
    for (const avatar of this.model.avatars.values()) {
      const [x, y] = this.#toScreen(this.model.place(avatar, now));
      if (avatar.entity !== this.model.self && Math.hypot(px - x, py - y) < this.camera.scale * 0.8) return avatar;
    }
    return undefined;
  }

  draw(now) {
    const c = this.context;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.fillStyle = this.colours.bg;
    c.fillRect(0, 0, this.width, this.height);
    if (!this.model.room) return;
    this.#follow();
    this.#floor();
    this.#target();
    const avatars = [...this.model.avatars.values()]
      .map((avatar) => ({avatar, place: this.model.place(avatar, now)}))
      .sort((a, b) => a.place.z - b.place.z);
    for (const {avatar, place} of avatars) this.#avatar(avatar, place, now);
    for (const {avatar, place} of avatars) this.#above(avatar, place, now);
  }

  #follow() {
    const {room, me} = this.model;
    const fit = Math.min(this.width / (room.width + 3), this.height / (room.depth + 3));
    const scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, fit));
    const centre = (value, size, shown) => (shown >= size + 2 ? size / 2
      : Math.min(size + 1 - shown / 2, Math.max(shown / 2 - 1, value)));
    const x = centre(me.x, room.width, this.width / scale);
    const z = centre(me.z, room.depth, this.height / scale);
    const ease = this.calm.matches ? 1 : 0.15;
    this.camera.scale = scale;
    this.camera.x += (x - this.camera.x) * ease;
    this.camera.z += (z - this.camera.z) * ease;
  }

  #floor() {
    const c = this.context, {room} = this.model, s = this.camera.scale;
    const [left, top] = this.#toScreen({x: 0, z: 0});
    c.save();
    c.beginPath();
    c.roundRect(left, top, room.width * s, room.depth * s, s * 0.8);
    c.lineWidth = s * 0.5;
    c.strokeStyle = this.colours.wall;
    c.stroke();
    c.fillStyle = this.colours["floor-a"];
    c.fill();
    c.clip();
    c.fillStyle = this.colours["floor-b"];
    const tile = 2;
    for (let x = 0; x < room.width; x += tile) {
      for (let z = (x / tile) % 2 ? 0 : tile; z < room.depth; z += 2 * tile) {
        c.fillRect(left + x * s, top + z * s, tile * s, tile * s);
      }
    }
    c.restore();
  }

  #target() {
    const target = this.model.target;
    if (!target) return;
    const c = this.context, [x, y] = this.#toScreen(target), s = this.camera.scale;
    c.strokeStyle = this.colours.accent;
    c.lineWidth = 2;
    c.beginPath();
    c.ellipse(x, y, s * 0.35, s * 0.2, 0, 0, 7);
    c.stroke();
  }

  #avatar(avatar, place, now) {
    const c = this.context, s = this.camera.scale, [x, y] = this.#toScreen(place);
    const self = avatar.entity === this.model.self;
    const walking = self ? this.model.me.walking : avatar.walking(now);
    const bounce = walking && !this.calm.matches ? Math.abs(Math.sin(now / 110)) * s * 0.14 : 0;
    const yaw = (self ? this.model.me.yaw : avatar.yaw) / 65536 * 2 * Math.PI;
    c.fillStyle = "rgb(0 0 0 / 18%)";
    c.beginPath();
    c.ellipse(x, y + s * 0.12, s * 0.5, s * 0.24, 0, 0, 7);
    c.fill();
    const colour = colourOf(avatar.user.user_id);
    c.fillStyle = colour;
    c.beginPath();
    c.roundRect(x - s * 0.42, y - s * 0.95 - bounce, s * 0.84, s * 1.05, s * 0.42);
    c.fill();
    if (self) { c.lineWidth = 2; c.strokeStyle = this.colours.ink; c.stroke(); }
    // Two eyes look where the avatar faces; from behind they are not seen.
    const facing = -Math.cos(yaw);
    if (facing > -0.5) {
      c.fillStyle = "#fff";
      for (const side of [-1, 1]) {
        c.beginPath();
        c.ellipse(x + Math.sin(yaw) * s * 0.16 + side * s * 0.15, y - s * 0.6 - bounce, s * 0.1, s * 0.13, 0, 0, 7);
        c.fill();
      }
      c.fillStyle = "#20263a";
      for (const side of [-1, 1]) {
        c.beginPath();
        c.arc(x + Math.sin(yaw) * s * 0.2 + side * s * 0.15, y - s * 0.58 - bounce, s * 0.055, 0, 7);
        c.fill();
      }
    }
  }

  #above(avatar, place, now) {
    const c = this.context, s = this.camera.scale, [x, y] = this.#toScreen(place);
    const self = avatar.entity === this.model.self;
    c.textAlign = "center";
    c.font = `${self ? 600 : 400} 12px system-ui, sans-serif`;
    c.fillStyle = this.colours.ink;
    c.fillText(avatar.user.username + (avatar.user.bot ? " 🤖" : ""), x, y + s * 0.12 + 18);
    if (avatar.emote && now < avatar.emote.until) {
      const t = (now - avatar.emote.from) / 1800;
      c.font = `${s * 0.9}px system-ui`;
      c.globalAlpha = 1 - t * t;
      c.fillText(EMOTES[avatar.emote.id] ?? "✨", x, y - s * (1.3 + (this.calm.matches ? 0 : t * 0.8)));
      c.globalAlpha = 1;
    }
    if (avatar.bubble && now < avatar.bubble.until) this.#bubble(avatar.bubble.text, x, y - s * 1.2);
  }

  #bubble(text, x, y) {
    const c = this.context;
    c.font = "13px system-ui, sans-serif";
    const lines = wrap(text, 28).slice(0, 4);
    const width = Math.max(...lines.map((l) => c.measureText(l).width)) + 20, height = lines.length * 17 + 10;
    c.fillStyle = this.colours.panel;
    c.strokeStyle = this.colours.wall;
    c.lineWidth = 1;
    c.beginPath();
    c.roundRect(x - width / 2, y - height, width, height, 10);
    c.fill();
    c.stroke();
    c.fillStyle = this.colours.ink;
    lines.forEach((line, i) => c.fillText(line, x, y - height + 18 + i * 17));
  }
}

function wrap(text, width) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const last = lines[lines.length - 1];
    if (last && last.length + word.length + 1 > width) lines.push(word.slice(0, width));
    else lines[lines.length - 1] = last ? `${last} ${word}` : word.slice(0, width);
  }
  return lines;
}
