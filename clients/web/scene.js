// Draws the room without its people: garden around, wall, floor, and where one walks to.

import {hashOf} from "./model.js";

const TILE = 2; // metres
const HEDGE_EVERY = 1.7; // metres

/** The colours of a room, out of its id: rooms differ, and a room looks the same to all. */
export function themeOf(roomId, dark) {
  const hue = hueOf(roomId);
  return dark
    ? {around: `hsl(${hue} 18% 9%)`, floor: `hsl(${hue} 20% 19%)`, tile: `hsl(${hue} 20% 21.5%)`, rug: `hsl(${hue} 45% 60% / 9%)`,
      wall: `hsl(${hue} 18% 32%)`, edge: `hsl(${hue} 18% 25%)`, leaf: "hsl(150 24% 24%)", leafTop: "hsl(148 26% 31%)"}
    : {around: `hsl(${hue} 26% 88%)`, floor: `hsl(${hue} 38% 96%)`, tile: `hsl(${hue} 36% 93.5%)`, rug: `hsl(${hue} 60% 55% / 10%)`,
      wall: `hsl(${hue} 24% 99%)`, edge: `hsl(${hue} 22% 78%)`, leaf: "hsl(146 30% 58%)", leafTop: "hsl(142 38% 68%)"};
}

/** A room's hue in degrees. */
export function hueOf(roomId) { return (hashOf(roomId) % 18) * 20; }

/**
 * @typedef {object} Frame What of the room is in sight.
 * @property {number} left @property {number} top where the room's corner is, in pixels
 * @property {number} scale pixels a metre
 * @property {number} width @property {number} height of the canvas
 */

/** @param {CanvasRenderingContext2D} c @param {Frame} frame */
export function scene(c, frame, room, theme) {
  c.fillStyle = theme.around;
  c.fillRect(0, 0, frame.width, frame.height);
  hedges(c, frame, room, theme);
  wall(c, frame, room, theme);
  floor(c, frame, room, theme);
}

function wall(c, {left, top, scale: s}, room, theme) {
  const thick = s * 0.45, w = room.width * s, h = room.depth * s;
  c.fillStyle = theme.edge;
  c.beginPath();
  c.roundRect(left - thick, top - thick, w + 2 * thick, h + 2 * thick + s * 0.3, s * 0.9);
  c.fill();
  c.fillStyle = theme.wall;
  c.beginPath();
  c.roundRect(left - thick, top - thick, w + 2 * thick, h + 2 * thick, s * 0.9);
  c.fill();
}

function floor(c, {left, top, scale: s, width, height}, room, theme) {
  const w = room.width * s, h = room.depth * s;
  c.save();
  c.beginPath();
  c.roundRect(left, top, w, h, s * 0.55);
  c.clip();
  c.fillStyle = theme.floor;
  c.fillRect(left, top, w, h);
  c.fillStyle = theme.tile;
  const size = TILE * s;
  for (let i = Math.max(0, Math.floor(-left / size)); i * TILE < room.width && left + i * size < width; i++) {
    for (let j = Math.max(0, Math.floor(-top / size)); j * TILE < room.depth && top + j * size < height; j++) {
      if ((i + j) % 2 === 0) c.fillRect(left + i * size, top + j * size, size, size);
    }
  }
  rug(c, left + w / 2, top + h / 2, Math.min(w, h) * 0.3, theme);
  c.strokeStyle = "rgb(10 15 40 / 9%)"; // the wall's shadow
  c.lineWidth = s * 0.3;
  c.beginPath();
  c.roundRect(left, top, w, h, s * 0.55);
  c.stroke();
  c.restore();
}

function rug(c, x, y, radius, theme) {
  c.fillStyle = theme.rug;
  for (const part of [1, 0.82, 0.4]) {
    c.beginPath();
    c.arc(x, y, radius * part, 0, 7);
    c.fill();
  }
}

/** Bushes outside the wall, never the same size twice in a row. */
function hedges(c, frame, room, theme) {
  const {left, top, scale: s} = frame;
  const bush = (x, z, n) => {
    const px = left + x * s, py = top + z * s, r = s * (0.5 + ((n * 7919) % 13) / 40);
    if (px < -s || py < -s || px > frame.width + s || py > frame.height + s) return;
    c.fillStyle = theme.leaf;
    c.beginPath();
    c.arc(px, py, r, 0, 7);
    c.fill();
    c.fillStyle = theme.leafTop;
    c.beginPath();
    c.arc(px - r * 0.15, py - r * 0.25, r * 0.66, 0, 7);
    c.fill();
  };
  let n = hashOf(room.id) % 97;
  for (let x = 0; x <= room.width; x += HEDGE_EVERY) { bush(x, -1.15, n++); bush(x, room.depth + 1.45, n++); }
  for (let z = 0; z <= room.depth; z += HEDGE_EVERY) { bush(-1.15, z, n++); bush(room.width + 1.15, z, n++); }
}

/** The place that one walks to. @param {number} beat ms; 0 keeps it still */
export function target(c, x, y, s, beat, colour) {
  const size = 1 + (beat ? Math.sin(beat / 160) * 0.12 : 0);
  c.strokeStyle = colour;
  c.lineWidth = 2.5;
  c.beginPath();
  c.ellipse(x, y, s * 0.3 * size, s * 0.18 * size, 0, 0, 7);
  c.stroke();
}

/** A ring under one's own feet. */
export function ring(c, x, y, s, colour) {
  c.strokeStyle = colour;
  c.globalAlpha = 0.55;
  c.lineWidth = 2;
  c.beginPath();
  c.ellipse(x, y + s * 0.04, s * 0.52, s * 0.25, 0, 0, 7);
  c.stroke();
  c.globalAlpha = 1;
}
