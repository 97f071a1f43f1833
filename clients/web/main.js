// Puts the parts together: what the person does goes to the server, what the server says goes to the model.

import {Model, STANDING, WALKING} from "./model.js";
import {Session, Socket, inWords, randomText} from "./net.js";
import {patiently} from "./patience.js";
import {View} from "./view.js";
import * as ui from "./ui.js";

const SEND_MS = 100; // steps are sent at 10 Hz, and only while walking
const KEYS = {
  ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0],
  w: [0, -1], s: [0, 1], a: [-1, 0], d: [1, 0],
};

const model = new Model();
const view = new View(ui.elements.canvas, model);
const held = new Set();
let session = null, socket = null, wanted = "", lastRoom = "", whisperTo = null;
let entering = 0; // counts what was tried, for only the newest is of any matter
let sentAt = 0, wasWalking = false, frames = 0, fps = 0;

const attempt = (work) => work.catch((error) => ui.toast(inWords(error)));

async function enter() {
  session = await Session.guest();
  ui.signedIn(session.account.username);
  socket = new Socket(session, {
    onFrame: take,
    onState: ui.status,
    onReady: () => { if (wanted) attempt(join(wanted)); }, // after a lost connection, back to where one was
  });
  await listRooms();
}

async function listRooms() {
  try {
    const [all, own] = await Promise.all([session.rooms(), session.ownRooms()]);
    const known = new Set(own.map((r) => r.room_id));
    ui.rooms([...own, ...all.filter((r) => !known.has(r.room_id))], (id) => attempt(join(id)));
  } catch (error) {
    ui.noRooms(inWords(error), listRooms);
  }
}

/** Enters a room; while the connection is down, as soon as it is back. */
async function join(roomId) {
  wanted = roomId;
  const mine = ++entering;
  const isWanted = () => socket.online && mine === entering;
  if (!socket.online) return;
  ui.status("entering");
  try {
    const frame = await patiently(() => enterRoom(roomId), isWanted, () => ui.toast("The room does not answer. Trying again …"));
    if (!isWanted()) return;
    ui.status("online");
    take(frame);
  } catch (error) {
    if (!isWanted()) return; // coming back, or gone elsewhere
    toLobby();
    throw error;
  }
}

async function enterRoom(roomId) {
  try {
    return await socket.request({join: {room_id: roomId, resume: model.resume(roomId)}});
  } catch (error) {
    if (error.reason !== "ALREADY_IN_ROOM") throw error;
    await socket.request({leave: {}}); // one has changed one's mind on the way in
    return socket.request({join: {room_id: roomId}});
  }
}

function entered(snapshot, now) {
  if (snapshot.room_id !== wanted) return; // one has left meanwhile
  const back = lastRoom === snapshot.room_id;
  lastRoom = snapshot.room_id;
  model.snapshot(snapshot, now);
  ui.entered(snapshot.display_name, back);
  showMembers();
  if (!back) ui.say(`You entered ${snapshot.display_name}.`);
  else ui.say(snapshot.gap ? "You have missed something that happened meanwhile." : "You are back.");
}

function toLobby() {
  wanted = lastRoom = "";
  entering++;
  if (socket.online) ui.status("online");
  whisper(null);
  model.reset();
  ui.show("lobby");
  listRooms();
}

function take(frame) {
  const now = performance.now();
  if (frame.snapshot) entered(frame.snapshot, now);
  else if (frame.roster) roster(frame.roster, now);
  else if (frame.state_batch) model.states(frame.state_batch, now);
  else if (frame.correction) model.correction(frame.correction.state);
  else if (frame.room_event) event(frame.room_event, now);
  else if (frame.room_left) roomLeft(frame.room_left);
  else if (frame.error) ui.toast(inWords(frame.error));
}

function roster(part, now) {
  model.roster(part, now);
  showMembers();
}

function event(e, now) {
  const left = e.member_left && model.avatars.get(e.member_left.entity);
  if (!model.room || !model.event(e, now)) return;
  if (e.chat_message) ui.say(e.chat_message.text, e.chat_message.sender);
  if (e.whisper_message) whispered(e.whisper_message);
  if (e.member_joined) ui.say(`${e.member_joined.member.user.username} came in.`);
  if (left) ui.say(`${left.user.username} left.`);
  if (e.member_joined || left) showMembers();
}

function whispered({sender, target_user_id: target, text}) {
  const to = target === session.account.user_id ? "you" : model.byUser(target)?.user.username ?? "somebody who has left";
  ui.say(`whispers to ${to}: ${text}`, sender, "whisper");
}

function roomLeft({reason}) {
  if (reason === "ROOM_UNAVAILABLE" && wanted) {
    attempt(join(wanted));
    return;
  }
  ui.toast(inWords({reason, message: reason}));
  toLobby();
}

function showMembers() {
  const everybody = [...model.avatars.values()].sort((a, b) => a.entity - b.entity);
  ui.members(everybody, model.self, whisper);
  if (whisperTo && !model.byUser(whisperTo.user_id)) whisper(null);
}

function whisper(user) {
  whisperTo = user;
  ui.whisperingTo(user, () => whisper(null));
}

function speak(text) {
  const client_message_id = randomText(9);
  return whisperTo
    ? socket.request({whisper: {target_user_id: whisperTo.user_id, text, client_message_id}})
    : socket.request({chat: {text, client_message_id}});
}

/** Letters are the same with Shift or Caps Lock. */
const keyOf = (e) => (e.key.length === 1 ? e.key.toLowerCase() : e.key);

function direction() {
  let x = 0, z = 0;
  for (const key of held) { x += KEYS[key][0]; z += KEYS[key][1]; }
  return {x, z};
}

/** Sends one's place while walking, and once more when one stands. */
function report(now) {
  const walking = model.me.walking;
  if ((!walking && !wasWalking) || (walking && now - sentAt < SEND_MS)) return;
  sentAt = now;
  wasWalking = walking;
  const {x, y, z, yaw} = model.me;
  socket.send({move: {position: {x, y, z}, yaw, animation: walking ? WALKING : STANDING}});
}

let before = performance.now();
function frame(now) {
  const seconds = Math.min(0.1, (now - before) / 1000);
  before = now;
  if (model.room) {
    model.step(seconds, direction());
    report(now);
  }
  view.draw(now);
  frames++;
  requestAnimationFrame(frame);
}

setInterval(() => {
  fps = frames;
  frames = 0;
  ui.meters(socket?.latency ?? NaN, fps);
}, 1000);

const {canvas, say, text, create} = ui.elements;
ui.elements.enter.addEventListener("click", () => attempt(enter()));
ui.elements.leave.addEventListener("click", () => {
  socket.request({leave: {}}).catch(() => {}); // a room that does not answer is left all the same
  toLobby();
});
ui.emotes((id) => attempt(socket.request({emote: {emote_id: id, ...(whisperTo && {target_user_id: whisperTo.user_id})}})));
say.addEventListener("submit", (e) => {
  e.preventDefault();
  const said = text.value.trim();
  if (!said) return;
  text.value = "";
  attempt(speak(said));
});
create.addEventListener("submit", (e) => {
  e.preventDefault();
  const {name, isPrivate} = ui.newRoom();
  attempt(session.createRoom(name, isPrivate).then((room) => join(room.room_id)));
});
canvas.addEventListener("pointerdown", (e) => {
  const avatar = view.avatarAt(e.offsetX, e.offsetY, performance.now());
  if (avatar) return whisper(avatar.user);
  const place = view.toRoom(e.offsetX, e.offsetY);
  const room = model.room;
  if (room) model.target = {x: Math.min(room.width, Math.max(0, place.x)), y: 0, z: Math.min(room.depth, Math.max(0, place.z))};
  return undefined;
});
addEventListener("keydown", (e) => {
  const key = keyOf(e);
  if (!model.room || e.target instanceof HTMLInputElement || !KEYS[key] || e.ctrlKey || e.metaKey || e.altKey) return;
  held.add(key);
  e.preventDefault();
});
addEventListener("keyup", (e) => held.delete(keyOf(e)));
addEventListener("blur", () => held.clear());
requestAnimationFrame(frame);

// What tests and curious people look at; nothing can be changed by it.
Object.defineProperty(window, "worldmesh", {
  value: Object.freeze({
    get place() { return {x: model.me.x, z: model.me.z}; },
    get room() { return model.room?.id ?? ""; },
    get state() { return document.getElementById("status").dataset.state; },
    avatar(username) {
      for (const a of model.avatars.values()) {
        if (a.user.username === username && a.inSight) { const p = model.place(a, performance.now()); return {x: p.x, z: p.z}; }
      }
      return null;
    },
  }),
});
