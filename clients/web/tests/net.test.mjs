// What the ways to the server promise. Run by `tests/e2e/test_web_model.py`, or with `node --test clients/web/tests/`.

import assert from "node:assert/strict";
import {test} from "node:test";

import {Socket, advice} from "../net.js";

test("a close code says whether to come back, as docs/wire.md has it", () => {
  const says = {
    now: [1006, 1001, 1012, 4000, 4001, 4002], later: [4100, 4101, 4102], token: [4200, 4201, 4202, 4203],
    never: [1000, 1002, 1007, 1008, 1009, 4300, 4301, 4302, 4999],
  };
  for (const [what, codes] of Object.entries(says)) {
    for (const code of codes) assert.equal(advice(code), what, String(code));
  }
});

/** Opens a socket on a stage of its own, closes it with a code, and lets half a minute pass. */
async function closedWith(code, t) {
  t.mock.timers.enable({apis: ["setTimeout", "setInterval"]});
  const opened = [], states = [];
  let renewed = 0;
  globalThis.location = {protocol: "https:", host: "world.example"};
  globalThis.WebSocket = class { constructor(url) { this.url = url; opened.push(this); } close() {} };
  const session = {token: "token", refresh: async () => { renewed++; }};
  const socket = new Socket(session, {onFrame: () => {}, onReady: () => {}, onState: (state) => states.push(state)});
  opened[0].onclose({code});
  await new Promise((done) => setImmediate(done)); // a new token is a promise
  t.mock.timers.tick(30_000);
  socket.end();
  return {opened: opened.length, renewed, state: states.at(-1)};
}

for (const [code, opened, renewed, state] of [
  [4000, 2, 0, "connecting"], [1006, 2, 0, "connecting"], [4101, 2, 0, "connecting"], [4202, 2, 1, "connecting"],
  [1002, 1, 0, "closed"], [1008, 1, 0, "closed"], [1009, 1, 0, "closed"], [4301, 1, 0, "closed"],
]) {
  test(`a socket that is closed with ${code} is opened ${opened === 2 ? "again" : "never again"}`, async (t) => {
    assert.deepEqual(await closedWith(code, t), {opened, renewed, state});
  });
}

test("a socket that hears nothing for twice the heartbeat is given up, and another is opened", async (t) => {
  t.mock.timers.enable({apis: ["setTimeout", "setInterval"]});
  let now = 1000;
  t.mock.method(performance, "now", () => now);
  const opened = [];
  globalThis.location = {protocol: "https:", host: "world.example"};
  globalThis.WebSocket = class {
    static OPEN = 1;
    readyState = 1;
    sent = [];
    constructor() { opened.push(this); }
    send(text) { this.sent.push(JSON.parse(text)); }
    close() {}
  };
  const socket = new Socket({token: "token"}, {onFrame: () => {}, onReady: () => {}, onState: () => {}});
  const [first] = opened;
  const pass = async (ms) => { now += ms; t.mock.timers.tick(ms); await new Promise((done) => setImmediate(done)); };
  const says = (frame) => first.onmessage({data: JSON.stringify(frame)});
  first.onopen();
  says({rid: 1, welcome: {heartbeat_ms: 400}});
  await pass(0);
  for (let heard = 0; heard < 5; heard++) { // whatever is heard, pongs or not
    await pass(200);
    says({rid: 0, state_batch: {}});
  }
  assert.ok(first.sent.filter((frame) => frame.ping).length >= 3);
  for (let silent = 0; silent < 4; silent++) await pass(200);
  assert.ok(socket.online, "silent for just twice the heartbeat");
  await pass(200);
  assert.ok(!socket.online);
  await pass(1000);
  assert.equal(opened.length, 2);
  socket.end();
});
