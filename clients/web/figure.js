// Draws a person: body, face, feet, name, bubble, emote. Its own features come from the user's id.

import {drawEmote} from "./emotes.js";
import {colourOf, hashOf} from "./model.js";

export const EMOTE_MS = 1800;
const FONT = "system-ui, sans-serif";
const HATS = [null, antenna, ears, cap, bow, tuft];

/**
 * @typedef {object} Pose How somebody is drawn at a moment.
 * @property {number} x @property {number} y where the feet are, in pixels
 * @property {number} scale pixels a metre
 * @property {number} yaw radians, clockwise from north
 * @property {boolean} walking
 * @property {string} emote the emote under way, or ""
 * @property {number} beat ms that move arms and legs; 0 keeps everything still
 */

/** @param {CanvasRenderingContext2D} c @param {{user_id: string}} user @param {Pose} pose */
export function figure(c, user, pose) {
  const {x, y, scale: s} = pose;
  const colour = colourOf(user.user_id), hash = hashOf(user.user_id);
  const step = pose.walking && pose.beat ? Math.sin(pose.beat / 90) : 0;
  const hop = pose.emote && pose.beat ? Math.abs(Math.sin(pose.beat / 130)) * s * 0.16 : Math.abs(step) * s * 0.07;
  shadow(c, x, y, s, hop);
  c.save();
  c.translate(x, y - hop);
  if (pose.emote === "dance" && pose.beat) c.rotate(Math.sin(pose.beat / 110) * 0.22);
  feet(c, s, colour, step);
  body(c, s, colour);
  const front = -Math.cos(pose.yaw) > -0.35; // towards the viewer, or sideways
  const look = Math.sin(pose.yaw) * (front ? 1 : 0.5);
  if (front) face(c, s, look, pose.emote, pose.beat && (pose.beat + hash) % 4200 < 130);
  HATS[(hash >>> 12) % HATS.length]?.(c, s, look, colour);
  c.restore();
}

function shadow(c, x, y, s, hop) {
  c.fillStyle = "rgb(10 15 40 / 16%)";
  c.beginPath();
  c.ellipse(x, y + s * 0.04, s * 0.4 - hop * 0.4, s * 0.17 - hop * 0.15, 0, 0, 7);
  c.fill();
}

function feet(c, s, colour, step) {
  c.fillStyle = `color-mix(in srgb, ${colour}, black 38%)`;
  for (const side of [-1, 1]) {
    c.beginPath();
    c.ellipse(side * s * 0.17, s * 0.0 - Math.max(0, step * side) * s * 0.12, s * 0.14, s * 0.09, 0, 0, 7);
    c.fill();
  }
}

function body(c, s, colour) {
  const fill = c.createLinearGradient(0, -s * 1.15, 0, 0);
  fill.addColorStop(0, `color-mix(in srgb, ${colour}, white 26%)`);
  fill.addColorStop(0.55, colour);
  fill.addColorStop(1, `color-mix(in srgb, ${colour}, black 16%)`);
  c.fillStyle = fill;
  c.beginPath();
  c.roundRect(-s * 0.38, -s * 1.12, s * 0.76, s * 1.1, [s * 0.38, s * 0.38, s * 0.26, s * 0.26]);
  c.fill();
}

function face(c, s, look, emote, blinking) {
  const middle = look * s * 0.15, eyes = -s * 0.76;
  for (const side of [-1, 1]) {
    const x = middle + side * s * 0.145 * (1 - Math.abs(look) * 0.15);
    c.fillStyle = "#fff";
    c.beginPath();
    c.ellipse(x, eyes, s * 0.105, blinking ? s * 0.015 : s * 0.135, 0, 0, 7);
    c.fill();
    if (blinking) continue;
    c.fillStyle = "#1c2236";
    c.beginPath();
    c.arc(x + look * s * 0.045, eyes + s * 0.015, s * 0.06, 0, 7);
    c.fill();
    c.fillStyle = "rgb(255 120 120 / 28%)";
    c.beginPath();
    c.ellipse(x + side * s * 0.06, eyes + s * 0.19, s * 0.07, s * 0.045, 0, 0, 7);
    c.fill();
  }
  c.strokeStyle = "rgb(28 34 54 / 75%)";
  c.lineWidth = Math.max(1.2, s * 0.035);
  c.lineCap = "round";
  c.beginPath();
  c.arc(middle, eyes + s * 0.17, emote ? s * 0.1 : s * 0.065, 0.35, Math.PI - 0.35);
  c.stroke();
}

function antenna(c, s, look, colour) {
  c.strokeStyle = `color-mix(in srgb, ${colour}, black 30%)`;
  c.lineWidth = s * 0.05;
  c.beginPath();
  c.moveTo(0, -s * 1.1);
  c.quadraticCurveTo(look * s * 0.05, -s * 1.25, -look * s * 0.1, -s * 1.34);
  c.stroke();
  c.fillStyle = "#ffd166";
  c.beginPath();
  c.arc(-look * s * 0.1, -s * 1.37, s * 0.09, 0, 7);
  c.fill();
}

function ears(c, s, look, colour) {
  c.fillStyle = `color-mix(in srgb, ${colour}, white 12%)`;
  for (const side of [-1, 1]) {
    c.beginPath();
    c.moveTo(side * s * 0.36, -s * 0.86);
    c.lineTo(side * s * 0.31 + look * s * 0.03, -s * 1.3);
    c.lineTo(side * s * 0.07, -s * 1.09);
    c.fill();
  }
}

function cap(c, s, look) {
  c.fillStyle = "#2f3a5f";
  c.beginPath();
  c.ellipse(0, -s * 0.97, s * 0.37, s * 0.22, 0, Math.PI, 0);
  c.fill();
  c.beginPath();
  c.ellipse(look * s * 0.3, -s * 0.965, s * 0.34, s * 0.055, 0, 0, 7);
  c.fill();
}

function bow(c, s, look) {
  c.fillStyle = "#ff6b8a";
  const x = look * s * 0.1, y = -s * 1.1;
  for (const side of [-1, 1]) {
    c.beginPath();
    c.moveTo(x, y);
    c.lineTo(x + side * s * 0.24, y - s * 0.14);
    c.lineTo(x + side * s * 0.24, y + s * 0.1);
    c.fill();
  }
  c.beginPath();
  c.arc(x, y - s * 0.01, s * 0.06, 0, 7);
  c.fill();
}

function tuft(c, s, look, colour) {
  c.strokeStyle = `color-mix(in srgb, ${colour}, black 22%)`;
  c.lineWidth = s * 0.06;
  c.lineCap = "round";
  for (const lean of [-0.12, 0.02, 0.16]) {
    c.beginPath();
    c.moveTo(0, -s * 1.08);
    c.quadraticCurveTo(lean * s * 0.4, -s * 1.22, (lean - look * 0.1) * s, -s * 1.26);
    c.stroke();
  }
}

/** A name under the feet. @param {{panel: string, ink: string, accent: string}} colours */
export function nameTag(c, user, x, y, self, colours) {
  c.font = `${self ? 650 : 500} 12px ${FONT}`;
  const text = user.bot ? `${user.username} · bot` : user.username;
  const width = c.measureText(text).width + 14;
  c.globalAlpha = self ? 1 : 0.82;
  c.fillStyle = self ? colours.accent : colours.panel;
  c.beginPath();
  c.roundRect(x - width / 2, y, width, 19, 9.5);
  c.fill();
  c.globalAlpha = 1;
  c.fillStyle = self ? colours["accent-ink"] : colours.ink;
  c.textAlign = "center";
  c.textBaseline = "middle";
  c.fillText(text, x, y + 10);
  c.textBaseline = "alphabetic";
}

/** An emote that rises beside the head. @param {number} t 0 to 1 @param {boolean} calm does not rise */
export function emoteSign(c, id, x, y, s, t, calm, colours) {
  const middle = {x: x + s * 0.8, y: y - s * (0.8 + (calm ? 0 : t * 0.5))};
  c.globalAlpha = 1 - t ** 4;
  c.fillStyle = colours.panel;
  c.beginPath();
  c.arc(middle.x, middle.y, s * 0.42, 0, 7);
  c.fill();
  drawEmote(c, id, middle.x, middle.y, s * 0.56);
  c.globalAlpha = 1;
}

/** How large a bubble is, and its lines. */
export function measureBubble(c, text) {
  c.font = `14px ${FONT}`;
  const lines = wrap(c, text, 210);
  return {lines, width: Math.max(...lines.map((l) => c.measureText(l).width)) + 24, height: lines.length * 18 + 12};
}

/** Draws a bubble; its tail points at `tip`. */
export function bubble(c, {lines, width, height}, left, top, tip, colours) {
  c.save();
  c.shadowColor = "rgb(10 15 40 / 18%)";
  c.shadowBlur = 10;
  c.shadowOffsetY = 3;
  c.fillStyle = colours.panel;
  c.beginPath();
  c.roundRect(left, top, width, height, 13);
  const root = Math.min(left + width - 18, Math.max(left + 18, tip.x));
  c.moveTo(root - 6, top + height - 1);
  c.lineTo(tip.x, Math.min(tip.y, top + height + 9));
  c.lineTo(root + 6, top + height - 1);
  c.fill();
  c.restore();
  c.font = `14px ${FONT}`;
  c.fillStyle = colours.ink;
  c.textAlign = "center";
  lines.forEach((line, i) => c.fillText(line, left + width / 2, top + 20 + i * 18));
}

/** Breaks a text into at most 4 lines of a width; what does not fit ends with "…". */
function wrap(c, text, width) {
  const lines = [""];
  for (let word of text.trim().split(/\s+/)) {
    while (c.measureText(word).width > width) { // a word longer than a line is broken
      let n = word.length - 1;
      while (n > 1 && c.measureText(word.slice(0, n)).width > width) n--;
      lines.push(word.slice(0, n));
      word = word.slice(n);
    }
    const longer = lines[lines.length - 1] ? `${lines[lines.length - 1]} ${word}` : word;
    if (c.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  const full = lines.filter(Boolean);
  return full.length <= 4 ? full : [...full.slice(0, 3), `${full[3]}…`];
}
