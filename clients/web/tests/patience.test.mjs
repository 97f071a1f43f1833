// What trying again promises. Run as model.test.mjs is.

import assert from "node:assert/strict";
import {test} from "node:test";

import {patiently} from "../patience.js";

const failure = (reason) => Object.assign(new Error(reason), {reason});
const always = () => true;

/** Lets time go by in steps, and what waits for it go on. */
async function pass(timers, seconds) {
  for (let i = 0; i < seconds * 10; i++) {
    timers.tick(100);
    await new Promise((done) => setImmediate(done));
  }
}

/** Tries something that fails with the given reason so many times. */
function trying(reason, failures, wanted = always) {
  const run = {tries: 0, pauses: 0, result: undefined, error: undefined};
  const work = async () => {
    run.tries++;
    if (run.tries <= failures) throw failure(reason);
    return "done";
  };
  patiently(work, wanted, () => run.pauses++).then((r) => { run.result = r; }, (e) => { run.error = e; });
  return run;
}

for (const reason of ["ROOM_UNAVAILABLE", "UNAVAILABLE", "DEADLINE_EXCEEDED"]) {
  test(`${reason} passes: it is tried again, and each pause is told`, async (t) => {
    t.mock.timers.enable({apis: ["setTimeout", "Date"]});
    const run = trying(reason, 4);
    await pass(t.mock.timers, 10);
    assert.deepEqual([run.result, run.tries, run.pauses], ["done", 5, 4]);
  });
}

test("what will not pass is not tried again", async (t) => {
  t.mock.timers.enable({apis: ["setTimeout", "Date"]});
  const run = trying("ROOM_FULL", 1);
  await pass(t.mock.timers, 1);
  assert.deepEqual([run.error.reason, run.tries, run.pauses], ["ROOM_FULL", 1, 0]);
});

test("a minute is enough: then it fails as it did last", async (t) => {
  t.mock.timers.enable({apis: ["setTimeout", "Date"]});
  const run = trying("UNAVAILABLE", Infinity);
  await pass(t.mock.timers, 50);
  assert.equal(run.error, undefined);
  assert.ok(run.tries > 9 && run.tries < 40, String(run.tries));
  await pass(t.mock.timers, 20);
  assert.equal(run.error.reason, "UNAVAILABLE");
});

test("it ends when it is not wanted any more, also in the middle of a pause", async (t) => {
  t.mock.timers.enable({apis: ["setTimeout", "Date"]});
  let wanted = true;
  const run = trying("UNAVAILABLE", Infinity, () => wanted);
  await pass(t.mock.timers, 0);
  wanted = false;
  await pass(t.mock.timers, 1);
  assert.deepEqual([run.error.reason, run.tries], ["UNAVAILABLE", 1]);
});
