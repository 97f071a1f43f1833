// What the model promises. Run by `tests/e2e/test_web_model.py`, or with `node --test clients/web/tests/`.

import assert from "node:assert/strict";
import {test} from "node:test";

import {Model, WALKING, STANDING, colourOf} from "../model.js";

const user = (id) => ({user_id: id, username: id, bot: false});
const state = (entity, x, z, animation = STANDING, yaw = 0) => ({entity, position: {x, y: 0, z}, yaw, animation});
const still = {x: 0, z: 0};

/** A room of 20 × 10 m with oneself (entity 1) in the middle and Ben (entity 2) beside. */
const room = () => ({
  room_id: "room_a", display_name: "A", epoch: 3, seq: 7, width: 20, depth: 10, max_speed: 10, self_entity: 1,
  members: [{user: user("ann"), state: state(1, 10, 5)}, {user: user("ben"), state: state(2, 12, 5)}],
});

function entered(now = 1000) {
  const model = new Model();
  model.snapshot(room(), now);
  return model;
}

test("a snapshot puts everybody where they are", () => {
  const model = entered();
  assert.deepEqual([model.me.x, model.me.z], [10, 5]);
  assert.equal(model.avatars.get(2).at(1000).x, 12);
});

test("others walk from one state to the next and do not jump", () => {
  const model = entered(1000), ben = model.avatars.get(2);
  model.states({states: [state(2, 12, 5, WALKING)]}, 5000);
  model.states({states: [state(2, 13, 5, WALKING)]}, 5050);
  const way = [5100, 5112, 5125, 5138, 5150].map((now) => ben.at(now).x);
  assert.equal(way[0], 12);
  assert.equal(way.at(-1), 13);
  for (let i = 1; i < way.length; i++) assert.ok(way[i] > way[i - 1], String(way));
});

test("after a rest the way starts now, not at the last step", () => {
  const model = entered(0), ben = model.avatars.get(2);
  model.states({states: [state(2, 14, 5, WALKING)]}, 60_000);
  assert.equal(ben.at(60_000).x, 12);
  assert.equal(ben.at(60_100).x, 14);
});

test("a turn goes the short way round", () => {
  const model = entered(0), ben = model.avatars.get(2);
  model.states({states: [state(2, 12, 5, WALKING, 65_000)]}, 1000);
  model.states({states: [state(2, 12, 5, WALKING, 500)]}, 1050);
  const yaw = ben.yawAt(1125);
  assert.ok(yaw > 65_000 || yaw < 500, String(yaw));
});

test("a walk to a place ends there, and within the server's speed", () => {
  const model = entered();
  model.target = {x: 13, y: 0, z: 9};
  let seconds = 0;
  for (; model.target && seconds < 10; seconds += 1 / 60) {
    const {x, z} = model.me;
    model.step(1 / 60, still);
    assert.ok(Math.hypot(model.me.x - x, model.me.z - z) <= 10 / 60 + 1e-9);
  }
  assert.deepEqual([model.me.x, model.me.z].map((v) => Math.round(v * 1e6) / 1e6), [13, 9]);
  assert.ok(seconds < 1);
  model.step(1 / 60, still);
  assert.equal(model.me.walking, false);
});

test("keys walk as fast along the diagonal, and no further than the wall", () => {
  const model = entered();
  model.step(0.1, {x: 1, z: 1});
  assert.ok(Math.hypot(model.me.x - 10, model.me.z - 5) <= 1);
  for (let i = 0; i < 100; i++) model.step(0.1, {x: 1, z: 0});
  assert.equal(model.me.x, 20);
});

test("faces where it walks: east is a quarter of a turn", () => {
  const model = entered();
  model.step(0.1, {x: 1, z: 0});
  assert.equal(model.me.yaw, 16_384);
  model.step(0.1, {x: 0, z: -1});
  assert.equal(model.me.yaw, 0);
});

test("a correction ends the walk where the server says", () => {
  const model = entered();
  model.target = {x: 20, y: 0, z: 5};
  model.step(0.1, still);
  model.correction(state(1, 10, 5));
  assert.deepEqual([model.me.x, model.target], [10, null]);
});

test("one's own state does not pull back a prediction that is only ahead", () => {
  const model = entered();
  model.step(0.1, {x: 1, z: 0});
  const {x} = model.me;
  model.states({states: [state(1, 10, 5)]}, 2000);
  assert.equal(model.me.x, x);
  model.states({states: [state(1, 3, 5)]}, 2050);
  assert.equal(model.me.x, 3);
});

const chat = (epoch, seq, text = "hi") => ({epoch, seq, chat_message: {sender: user("ben"), text}});
const whisper = (epoch, seq, sub) => ({epoch, seq, sub, whisper_message: {sender: user("ben"), text: "psst"}});

test("an event is taken once, and never after a later one", () => {
  const model = entered();
  assert.equal(model.event(chat(3, 7), 0), false);
  assert.equal(model.event(chat(2, 8), 0), false);
  assert.equal(model.event(chat(3, 8), 0), true);
  assert.equal(model.event(chat(3, 8), 0), false);
  assert.equal(model.avatars.get(2).bubble.text, "hi");
});

test("a relay that takes over goes on in an epoch of its own, and the old one is not heard any more", () => {
  const model = entered();
  assert.equal(model.event(chat(4, 8), 0), true);
  assert.equal(model.event(chat(3, 9), 0), false);
  assert.equal(model.event(chat(4, 9), 0), true);
});

test("a whisper has the number of the event before it and one of its own, and is taken once", () => {
  const model = entered();
  assert.equal(model.event(whisper(3, 7, 1), 0), true);
  assert.equal(model.event(whisper(3, 7, 1), 0), false);
  assert.equal(model.event(whisper(3, 7, 2), 0), true);
  assert.equal(model.event(chat(3, 8), 0), true);
  assert.equal(model.event(whisper(3, 7, 3), 0), false);
});

test("what was seen is said on coming back into the same room, and in no other", () => {
  const model = new Model();
  assert.equal(model.resume("room_a"), undefined);
  model.snapshot(room(), 0);
  assert.deepEqual(model.resume("room_a"), {epoch: 3, seq: 7, sub: 0});
  assert.equal(model.resume("room_b"), undefined);
  model.event(chat(3, 8), 0);
  model.event(whisper(3, 8, 2), 0);
  assert.deepEqual(model.resume("room_a"), {epoch: 3, seq: 8, sub: 2});
  model.reset();
  assert.equal(model.resume("room_a"), undefined);
});

test("the position is the newest snapshot's, even if it is before what was seen", () => {
  const model = entered();
  model.event(chat(9, 1), 0);
  model.snapshot({...room(), epoch: 7, seq: 7, sub: 4, gap: true}, 0);
  assert.deepEqual(model.resume("room_a"), {epoch: 7, seq: 7, sub: 4});
  assert.equal(model.event(chat(7, 8), 0), true);
});

test("who comes back goes on where it has walked to, and sees others' bubbles on", () => {
  const model = entered();
  model.event(chat(3, 8), 1000);
  model.target = {x: 12, y: 0, z: 5};
  model.step(0.1, still);
  const {x} = model.me;
  model.snapshot({...room(), seq: 8, resumed: true}, 2000);
  assert.equal(model.me.x, x);
  assert.equal(model.target.x, 12);
  assert.equal(model.avatars.get(2).bubble.text, "hi");
});

test("who comes back as somebody new, or was far off, is where the snapshot says", () => {
  const model = entered();
  model.target = {x: 12, y: 0, z: 5};
  model.step(0.1, still);
  model.snapshot({...room(), self_entity: 3, members: [{user: user("ann"), state: state(3, 10, 5)}]}, 2000);
  assert.deepEqual([model.me.x, model.target], [10, null]);
  model.snapshot({...room(), self_entity: 3, members: [{user: user("ann"), state: state(3, 1, 5)}], resumed: true}, 3000);
  assert.equal(model.me.x, 1);
});

test("an event that was missed does not bring a member back to where it came in", () => {
  const model = entered();
  const members = [...room().members, {user: user("cy"), state: state(3, 8, 8)}];
  model.snapshot({...room(), members, resumed: true}, 2000);
  assert.equal(model.event({epoch: 3, seq: 8, member_joined: {member: {user: user("cy"), state: state(3, 1, 1)}}}, 2000), true);
  assert.equal(model.avatars.get(3).at(3000).x, 8);
});

const inSight = (model) => [...model.avatars.values()].filter((a) => a.inSight).map((a) => a.entity).sort();
const full = (more = {}) => ({...room(), view_radius: 14, members: [room().members[0]], ...more});

test("who is gone from sight is hidden, and is there again, where it is, when a state comes", () => {
  const model = entered();
  assert.deepEqual(inSight(model), [1, 2]);
  model.states({states: [], gone: [2]}, 2000);
  assert.deepEqual(inSight(model), [1]);
  assert.equal(model.byUser("ben").entity, 2);
  model.states({states: [state(2, 18, 5)]}, 3000);
  assert.deepEqual(inSight(model), [1, 2]);
  assert.equal(model.avatars.get(2).at(3000).x, 18);
});

test("a batch that shows all anew hides whom it does not tell of, but not oneself", () => {
  const model = entered();
  model.event({epoch: 3, seq: 8, member_joined: {member: {user: user("cy"), state: state(3, 1, 1)}}}, 0);
  model.states({anew: true, gone: [2], states: [state(2, 12, 6), state(3, 2, 2)]}, 2000);
  assert.deepEqual(inSight(model), [1, 2, 3]);
  model.states({anew: true, states: [state(3, 2, 2)]}, 2050);
  assert.deepEqual(inSight(model), [1, 3]);
});

test("in a full room one sees those whom states tell of, whether the roster comes before or after", () => {
  const model = new Model();
  model.snapshot(full(), 1000);
  assert.deepEqual(inSight(model), [1]);
  model.states({states: [state(3, 9, 5)]}, 1050);
  const cy = {user: user("cy"), state: state(3, 0, 0)}, ben = {user: user("ben"), state: state(2, 0, 0)};
  model.roster({members: [room().members[0], ben, cy], last: true}, 1100);
  assert.deepEqual(inSight(model), [1, 3]);
  assert.equal(model.avatars.get(3).at(1100).x, 9);
  model.states({states: [state(2, 12, 5)]}, 1150);
  assert.deepEqual(inSight(model), [1, 2, 3]);
});

test("who comes back into a full room still knows who is in, and sees them anew; with a gap it does not", () => {
  const model = entered();
  model.snapshot(full({resumed: true}), 2000);
  assert.deepEqual([inSight(model), model.byUser("ben").entity], [[1], 2]);
  model.snapshot(full({resumed: true, gap: true}), 3000);
  assert.deepEqual([inSight(model), model.byUser("ben")], [[1], undefined]);
});

test("who enters is in sight; in a full room as soon as a state says where", () => {
  const model = entered(), joins = (seq, entity, more) => ({
    epoch: 3, seq, member_joined: {member: {user: user(`usr_${entity}`), state: state(entity, 1, 1)}, ...more},
  });
  model.event(joins(8, 3), 0);
  model.event(joins(9, 4, {out_of_sight: true}), 0);
  assert.deepEqual(inSight(model), [1, 2, 3]);
  model.states({states: [state(4, 2, 2)]}, 50);
  assert.deepEqual(inSight(model), [1, 2, 3, 4]);
});

test("states count after a snapshot even if its ticks begin anew", () => {
  const model = entered();
  model.states({tick: 90_000, states: [state(2, 14, 5)]}, 2000);
  model.snapshot({...room(), epoch: 4, tick: 0, gap: true}, 3000);
  model.states({tick: 1, states: [state(2, 16, 5)]}, 4000);
  assert.equal(model.avatars.get(2).at(5000).x, 16);
});

test("who joins is there, who leaves is gone, and states of the gone are ignored", () => {
  const model = entered();
  model.event({epoch: 3, seq: 8, member_joined: {member: {user: user("cy"), state: state(3, 1, 1)}}}, 0);
  assert.equal(model.byUser("cy").entity, 3);
  model.event({epoch: 3, seq: 9, member_left: {entity: 3, user_id: "cy"}}, 0);
  assert.equal(model.byUser("cy"), undefined);
  model.states({states: [state(3, 2, 2)]}, 10);
  assert.equal(model.avatars.size, 2);
});

test("a user's colour is always the same", () => {
  assert.equal(colourOf("usr_1"), colourOf("usr_1"));
  assert.notEqual(colourOf("usr_1"), colourOf("usr_2"));
});
