// The page around the canvas. It knows elements, not frames.

import {colourOf} from "./model.js";
import {EMOTES, emotePicture} from "./emotes.js";

const $ = (id) => document.getElementById(id);
const LOG_LINES = 200;
const LISTED_MEMBERS = 200; // of the room, in the list

export const elements = {
  canvas: $("canvas"), enter: $("enter"), leave: $("leave"), create: $("create"), say: $("say"), text: $("text"),
};

export function status(state) {
  $("status").dataset.state = state;
  $("status").textContent = state;
}

export function meters(latency, fps) {
  $("latency").textContent = Number.isFinite(latency) ? `${latency.toFixed(latency < 10 ? 1 : 0)} ms` : "–";
  $("fps").textContent = `${fps}/s`;
}

let toastTimer = 0;
export function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").hidden = true; }, 4000);
}

export function signedIn(username) {
  $("username").textContent = username;
  $("who").hidden = false;
  $("enter").hidden = true;
  $("rooms-card").hidden = false;
}

export function rooms(list, onPick) {
  $("rooms").replaceChildren(...list.map((room) => {
    const button = document.createElement("button");
    const name = document.createElement("strong");
    name.textContent = room.display_name;
    const size = document.createElement("span");
    size.textContent = room.access_policy === "ACCESS_POLICY_PRIVATE" ? "private" : `up to ${room.capacity}`;
    const about = document.createElement("span");
    about.textContent = room.description ?? "";
    button.dataset.room = room.room_id;
    button.append(name, size, about);
    button.addEventListener("click", () => onPick(room.room_id));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

/** Says why the rooms can not be shown, beside a button that tries again. */
export function noRooms(why, onRetry) {
  const item = document.createElement("li");
  item.className = "hint";
  const button = document.createElement("button");
  button.className = "quiet";
  button.textContent = "Try again";
  button.addEventListener("click", () => { button.disabled = true; onRetry(); });
  item.append(`${why} `, button);
  $("rooms").replaceChildren(item);
}

export function newRoom() {
  return {name: $("room-name").value.trim(), isPrivate: $("room-private").checked};
}

export function show(place) {
  $("lobby").hidden = place !== "lobby";
  $("room").hidden = place !== "room";
  $("leave").hidden = place !== "room";
  if (place === "lobby") { $("place").textContent = ""; $("room-name").value = ""; }
}

/** Shows the room; `back` keeps what was said before. */
export function entered(name, back) {
  $("place").textContent = name;
  if (!back) $("log").replaceChildren();
  show("room");
  if (!back) elements.canvas.focus();
}

/** Lists who is in: of a full room those who came first. */
export function members(avatars, self, onPick) {
  $("count").textContent = String(avatars.length);
  $("members").replaceChildren(...avatars.slice(0, LISTED_MEMBERS).map((avatar) => {
    const button = document.createElement("button");
    const dot = document.createElement("i");
    dot.style.setProperty("--swatch", colourOf(avatar.user.user_id));
    button.append(dot, avatar.user.username + (avatar.entity === self ? " (you)" : ""));
    button.dataset.user = avatar.user.user_id;
    button.title = avatar.entity === self ? "That is you" : `Whisper to ${avatar.user.username}`;
    button.addEventListener("click", () => avatar.entity !== self && onPick(avatar.user));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

/** Adds a line to the log: something said, or with no speaker something that happened. */
export function say(text, speaker, kind = "") {
  const line = document.createElement("li");
  line.className = speaker ? kind : "event";
  if (speaker) {
    const name = document.createElement("b");
    name.textContent = speaker.username;
    name.style.setProperty("--swatch", colourOf(speaker.user_id));
    line.append(name, " ");
  }
  line.append(text);
  const log = $("log");
  log.append(line);
  while (log.childElementCount > LOG_LINES) log.firstElementChild.remove();
  log.scrollTop = log.scrollHeight;
}

export function whisperingTo(user, onStop) {
  const box = $("whisper-to");
  box.hidden = !user;
  box.querySelector("strong").textContent = user?.username ?? "";
  box.querySelector("button").onclick = onStop;
  elements.text.placeholder = user ? `Whisper to ${user.username}` : "Say something";
  if (user) elements.text.focus();
}

export function emotes(onPick) {
  $("emotes").replaceChildren(...Object.keys(EMOTES).map((id) => {
    const button = document.createElement("button");
    button.append(emotePicture(id));
    button.dataset.emote = id;
    button.title = id;
    button.setAttribute("aria-label", id);
    button.addEventListener("click", () => onPick(id));
    return button;
  }));
}
