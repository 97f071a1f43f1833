// The emotes, as shapes: what a system's fonts have differs, and many have none.

/**
 * @typedef {object} Shape On a square of 24, filled or as a line with round ends.
 * @property {string} d as in an SVG path
 * @property {string} [fill] a colour
 * @property {string} [line] a colour
 * @property {number} [width] of the line
 */

const SKIN = "#f0b27a", SHADE = "#c9814a", SUN = "#ffca3a", DARK = "#5a3410";

/** @type {Record<string, Shape[]>} */
export const EMOTES = {
  wave: [
    {d: "M9 13V6.6M12 12V4.6M15 12V5.4M17.8 13V8.4M8.6 17.6 5.4 14", line: SKIN, width: 2.7},
    {d: "M7.7 12h11.4v3.6a5.7 5.7 0 0 1-11.4 0Z", fill: SKIN},
    {d: "M19.6 2.6a6 6 0 0 1 2.5 3M4.3 21.2a6 6 0 0 1-2.4-3", line: SHADE, width: 1.4},
  ],
  heart: [{d: "M12 21C5 15.6 2 12.2 2 8.3A5.2 5.2 0 0 1 12 6a5.2 5.2 0 0 1 10 2.3C22 12.2 19 15.6 12 21Z", fill: "#e5485d"}],
  laugh: [
    {d: "M12 2a10 10 0 1 0 0 20a10 10 0 1 0 0-20Z", fill: SUN},
    {d: "M6.4 10.4q1.8-2.8 3.6 0M14 10.4q1.8-2.8 3.6 0", line: DARK, width: 1.7},
    {d: "M6.3 13.2h11.4a5.7 5.7 0 0 1-11.4 0Z", fill: DARK},
    {d: "M8.6 17.6a5.7 5.7 0 0 0 6.8 0a4.4 4.4 0 0 0-6.8 0Z", fill: "#ef6f6c"},
  ],
  dance: [
    {d: "M8.5 17.5V6l10-2.2v11.5", line: "#7c5cff", width: 2.2},
    {d: "M8.5 9.4l10-2.2", line: "#7c5cff", width: 2.2},
    {d: "M6 14.8a2.9 2.9 0 1 0 0 5.8a2.9 2.9 0 1 0 0-5.8ZM16 12.6a2.9 2.9 0 1 0 0 5.8a2.9 2.9 0 1 0 0-5.8Z", fill: "#7c5cff"},
  ],
  clap: [
    {d: "M6.4 20 10.4 11", line: SHADE, width: 6},
    {d: "M17.6 20 13.6 11", line: SKIN, width: 6},
    {d: "M12 1.6v3.2M6.4 3.2l1.7 2.7M17.6 3.2l-1.7 2.7", line: SUN, width: 1.8},
  ],
};

/** For emotes of other clients, which this one does not know. @type {Shape[]} */
const UNKNOWN = [{d: "M12 2l2.8 6.8 7.2.6-5.5 4.8 1.7 7.1L12 17.5l-6.2 3.8 1.7-7.1L2 9.4l7.2-.6Z", fill: SUN}];

const SIZE = 24;

/** Draws an emote with its middle at a point. @param {CanvasRenderingContext2D} c @param {number} size pixels */
export function drawEmote(c, id, x, y, size) {
  c.save();
  c.translate(x - size / 2, y - size / 2);
  c.scale(size / SIZE, size / SIZE);
  c.lineCap = c.lineJoin = "round";
  for (const {d, fill, line, width} of EMOTES[id] ?? UNKNOWN) {
    const path = new Path2D(d);
    if (fill) { c.fillStyle = fill; c.fill(path); }
    if (line) { c.strokeStyle = line; c.lineWidth = width; c.stroke(path); }
  }
  c.restore();
}

/** An emote as a picture in the page. @returns {SVGElement} */
export function emotePicture(id) {
  const picture = svg("svg", {viewBox: `0 0 ${SIZE} ${SIZE}`, "aria-hidden": "true"});
  for (const {d, fill = "none", line = "none", width = 0} of EMOTES[id] ?? UNKNOWN) {
    picture.append(svg("path", {d, fill, stroke: line, "stroke-width": width, "stroke-linecap": "round", "stroke-linejoin": "round"}));
  }
  return picture;
}

function svg(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
