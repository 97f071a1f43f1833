// The room as this client knows it. No network, no drawing: frames and time go in, positions come out.

/** @typedef {{x: number, y: number, z: number}} Vec3 */
/** @typedef {{entity: number, position: Vec3, yaw: number, animation: number}} EntityState */
/** @typedef {{user_id: string, username: string, bot: boolean}} User */
/** @typedef {{epoch: number, seq: number, sub: number}} Position a place in the ordered channel */

/** How far behind the newest state others are drawn, in ms: two ticks, so that there is something to walk towards. */
const DELAY_MS = 100;
/** Metres that a prediction may be off before it is set right at once. */
const SNAP_METRES = 3;

export const WALKING = 1;
export const STANDING = 0;
const TURN = 65536;

/** One avatar. */
class Avatar {
  /** @param {User} user @param {EntityState} state @param {number} now */
  constructor(user, state, now) {
    this.user = user;
    this.entity = state.entity;
    this.animation = state.animation;
    this.samples = [{at: now - DELAY_MS, yaw: state.yaw, ...state.position}];
    this.bubble = null;
    this.emote = null;
    /** Whether it is in sight: in a full room one does not see everybody. */
    this.inSight = false;
  }

  /** Takes a new state: from now on it is in sight. @param {EntityState} state @param {number} now */
  update(state, now) {
    if (!this.inSight) { // it does not walk here from where it was seen before
      this.inSight = true;
      this.animation = state.animation;
      this.samples = [{at: now - DELAY_MS, yaw: state.yaw, ...state.position}];
      return;
    }
    const last = this.samples[this.samples.length - 1];
    // After a rest the old sample would be walked from for the whole of it.
    if (now - last.at > 3 * DELAY_MS) this.samples.push({...last, at: now - DELAY_MS / 2});
    this.samples.push({at: now, yaw: state.yaw, ...state.position});
    if (this.samples.length > 12) this.samples.splice(0, this.samples.length - 12);
    this.animation = state.animation;
  }

  /** The two samples around a moment, and how far it is from the first to the second. @param {number} now */
  #around(now) {
    const time = now - DELAY_MS;
    const samples = this.samples;
    for (let i = samples.length - 1; i > 0; i--) {
      const a = samples[i - 1], b = samples[i];
      if (time >= a.at) return {a, b, t: Math.min(1, (time - a.at) / Math.max(1, b.at - a.at))};
    }
    return {a: samples[0], b: samples[0], t: 0};
  }

  /** Where to draw it. @param {number} now @returns {Vec3} */
  at(now) {
    const {a, b, t} = this.#around(now);
    return {x: a.x + (b.x - a.x) * t, y: a.y + (b.y - a.y) * t, z: a.z + (b.z - a.z) * t};
  }

  /** Which way it faces, turning the short way round. @param {number} now */
  yawAt(now) {
    const {a, b, t} = this.#around(now);
    const turn = ((b.yaw - a.yaw + 1.5 * TURN) % TURN) - TURN / 2;
    return (a.yaw + turn * t + TURN) % TURN;
  }

  /** @param {number} now */
  walking(now) {
    const last = this.samples[this.samples.length - 1];
    return this.animation === WALKING && now - last.at < 400;
  }
}

/** The room, its members, and oneself. */
export class Model {
  constructor() { this.reset(); }

  reset() {
    this.room = null;
    /** @type {Map<number, Avatar>} */
    this.avatars = new Map();
    /** @type {Map<number, EntityState>} who is in sight, but not known yet */
    this.strangers = new Map();
    this.self = 0;
    /** @type {Position} what was seen of the ordered channel */
    this.position = {epoch: 0, seq: 0, sub: 0};
    /** One's own place is predicted. */
    this.me = {x: 0, y: 0, z: 0, yaw: 0, walking: false};
    /** @type {Vec3 | null} */
    this.target = null;
  }

  /**
   * Enters a room, or sees it anew: after coming back, or because events were lost. What follows is newer than it, whatever
   * the number of its tick: a relay that takes over a room counts anew.
   */
  snapshot(s, now) {
    const same = this.room?.id === s.room_id, stayed = same && this.self === s.self_entity;
    const before = same ? this.avatars : new Map();
    const full = s.view_radius > 0; // the others follow
    if (!stayed) this.reset();
    this.room = {id: s.room_id, name: s.display_name, width: s.width, depth: s.depth, maxSpeed: s.max_speed};
    this.self = s.self_entity;
    this.position = positionOf(s);
    this.avatars = full && s.resumed && !s.gap ? before : new Map();
    this.strangers.clear();
    if (full) this.#hideAll();
    for (const m of s.members) {
      const avatar = known(before, m) ?? new Avatar(m.user, m.state, now);
      this.avatars.set(m.state.entity, avatar);
      avatar.update(m.state, now);
    }
    const own = s.members.find((m) => m.state.entity === this.self)?.state.position;
    if (own && !(stayed && this.#near(own))) this.#settle(own);
  }

  /** What to say on coming back into a room: what was seen of it. */
  resume(roomId) { return this.room?.id === roomId ? this.position : undefined; }

  /** Whether the server has one where one has walked to, but for the time that the way takes. */
  #near(position) { return Math.hypot(position.x - this.me.x, position.z - this.me.z) <= SNAP_METRES; }

  #settle({x, y, z}) { Object.assign(this.me, {x, y, z}); }

  /** Takes more of who is in a full room; where they are, states say. */
  roster({members}, now) {
    for (const m of members) this.#enter(m, false, now);
  }

  states(batch, now) {
    if (batch.anew) this.#hideAll();
    for (const entity of batch.gone ?? []) this.#hide(entity);
    for (const s of batch.states) {
      const avatar = this.avatars.get(s.entity);
      if (avatar) avatar.update(s, now);
      else this.strangers.set(s.entity, s);
      if (s.entity === this.self && !this.#near(s.position)) this.#settle(s.position);
    }
  }

  #hide(entity) {
    this.strangers.delete(entity);
    const avatar = this.avatars.get(entity);
    if (avatar && entity !== this.self) avatar.inSight = false;
  }

  #hideAll() {
    for (const entity of [...this.avatars.keys(), ...this.strangers.keys()]) this.#hide(entity);
  }

  /** Somebody is in the room, and in sight if it is said to be, or if a state has said where it is. */
  #enter(m, inSight, now) {
    if (known(this.avatars, m)) return;
    const {entity} = m.state, avatar = new Avatar(m.user, m.state, now);
    const state = this.strangers.get(entity) ?? (inSight ? m.state : null);
    this.avatars.set(entity, avatar);
    this.strangers.delete(entity);
    if (state) avatar.update(state, now);
  }

  correction(state) {
    this.#settle(state.position);
    this.target = null;
  }

  /** Takes an event of the ordered channel; false if it was seen before. */
  event(e, now) {
    const position = positionOf(e);
    if (!isLater(position, this.position)) return false;
    this.position = position;
    if (e.member_joined) {
      // Of events that one has missed the snapshot knows already, and where the member is by now.
      this.#enter(e.member_joined.member, !e.member_joined.out_of_sight, now);
    } else if (e.member_left) {
      this.avatars.delete(e.member_left.entity);
      this.strangers.delete(e.member_left.entity);
    } else if (e.chat_message) {
      const avatar = this.byUser(e.chat_message.sender.user_id);
      if (avatar) avatar.bubble = {text: e.chat_message.text, until: now + 2500 + 60 * e.chat_message.text.length};
    } else if (e.emote_message) {
      const avatar = this.byUser(e.emote_message.sender.user_id);
      if (avatar) avatar.emote = {id: e.emote_message.emote_id, from: now, until: now + 1800};
    }
    return true;
  }

  byUser(userId) {
    for (const avatar of this.avatars.values()) if (avatar.user.user_id === userId) return avatar;
    return undefined;
  }

  /** Moves oneself: by keys (a direction) or towards the target. @param {number} seconds */
  step(seconds, keys) {
    if (!this.room) return;
    const speed = this.room.maxSpeed * 0.7; // below the server's bound, so that jitter does not cross it
    let dx = keys.x, dz = keys.z;
    let reach = speed * seconds;
    if (dx || dz) {
      this.target = null;
    } else if (this.target) {
      dx = this.target.x - this.me.x;
      dz = this.target.z - this.me.z;
      const left = Math.hypot(dx, dz);
      if (left <= reach) { reach = left; this.target = null; }
    }
    const length = Math.hypot(dx, dz);
    this.me.walking = length > 1e-6;
    if (!this.me.walking) return;
    this.me.x = clamp(this.me.x + (dx / length) * reach, 0, this.room.width);
    this.me.z = clamp(this.me.z + (dz / length) * reach, 0, this.room.depth);
    this.me.yaw = Math.round(((Math.atan2(dx, -dz) / (2 * Math.PI)) + 1) * TURN) % TURN;
  }

  /** Where to draw an avatar: oneself is where one has walked to, others where they were a moment ago. */
  place(avatar, now) {
    return avatar.entity === this.self ? this.me : avatar.at(now);
  }
}

/** Where a snapshot or an event is in the ordered channel. @returns {Position} */
function positionOf({epoch = 0, seq = 0, sub = 0}) { return {epoch, seq, sub}; }

/** @param {Position} a @param {Position} b */
function isLater(a, b) { return (a.epoch - b.epoch || a.seq - b.seq || a.sub - b.sub) > 0; }

/** The avatar that a member has already. @param {Map<number, Avatar>} avatars */
function known(avatars, {user, state}) {
  const avatar = avatars.get(state.entity);
  return avatar?.user.user_id === user.user_id ? avatar : undefined;
}

export function clamp(value, low, high) { return Math.min(high, Math.max(low, value)); }

/** A number of one's own, from the user's id (FNV-1a, mixed so that all bits count). */
export function hashOf(userId) {
  let hash = 2166136261;
  for (const c of userId) hash = Math.imul(hash ^ c.charCodeAt(0), 16777619) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b) >>> 0;
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** A colour of one's own, from the user's id: 24 hues that can be told apart, readable on light and dark. */
export function colourOf(userId) {
  const hash = hashOf(userId);
  return `hsl(${(hash % 24) * 15} 58% ${50 + ((hash >>> 8) % 3) * 4}%)`;
}
