// What the view promises that needs no canvas. Run as model.test.mjs is.

import assert from "node:assert/strict";
import {test} from "node:test";

import {backToFront} from "../view.js";

const at = (entity, y) => ({y, avatar: {entity}});
const order = (people, self) => backToFront(people, self).map((p) => p.avatar.entity);

test("who is further down is in front", () => {
  assert.deepEqual(order([at(1, 300), at(2, 100), at(3, 200)], 2), [2, 3, 1]);
});

test("where all have come in at one place, one sees oneself", () => {
  assert.deepEqual(order([at(1, 100), at(2, 100.2), at(3, 100)], 1), [2, 3, 1]);
});
