// The ways to the server: REST for signing in and rooms, one socket in the JSON dialect for everything live.

const DEVICE = "worldmesh.device";

/** An error that the server answered, with its stable reason. */
export class ServerError extends Error {
  constructor(reason, message, retryAfterMs = 0) {
    super(message);
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

const WORDS = {
  ROOM_FULL: "The room is full. Try again in a while.",
  ROOM_NOT_FOUND: "There is no such room, or it is private.",
  ROOM_ACCESS_DENIED: "The room does not admit you.",
  ROOM_UNAVAILABLE: "The room does not answer right now.",
  ROOM_LIMIT_REACHED: "You own as many rooms as one may.",
  ROOM_CLOSED: "The room was closed.",
  ROOM_ROLE_REQUIRED: "Only the room's owner may do that.",
  RATE_LIMITED: "Slow down a little.",
  MEMBER_NOT_FOUND: "They have left.",
  MEMBER_REPLACED: "You entered from another window.",
  MEMBER_KICKED: "You were asked to leave the room.",
  NOT_IN_ROOM: "Enter a room first.",
  SESSION_REVOKED: "You were signed out.",
  TOKEN_EXPIRED: "Your session ran out; signing in again.",
  SLOW_CONSUMER: "Your connection is too slow right now.",
  DRAINING: "This server takes a break; moving to another.",
  DEADLINE_EXCEEDED: "That took too long. Try again.",
  UNAVAILABLE: "The server does not answer right now.",
};

/** An error in plain words. */
export function inWords(error) {
  return WORDS[error.reason] ?? error.message ?? String(error);
}

const LOST = new Set([1001, 1006, 1011, 1012, 1013, 1014]); // the network, a proxy or the server went away

/**
 * What the code of a closed socket asks for: to come back "now", "later", with a new "token", or "never". A code that is
 * not known means never: what the server did not like it would not like again.
 */
export function advice(code) {
  if (LOST.has(code) || (code >= 4000 && code < 4100)) return "now";
  if (code >= 4100 && code < 4200) return "later";
  if (code >= 4200 && code < 4300) return "token";
  return "never";
}

/** Random bytes as text. Unlike `crypto.randomUUID` this works without TLS, too. @param {number} bytes */
export function randomText(bytes) {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  return btoa(String.fromCharCode(...random)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** This tab's secret: whoever knows it is this guest. It outlives a reload, and another tab has another. */
function deviceId() {
  let id = sessionStorage.getItem(DEVICE);
  if (!id) {
    id = randomText(24);
    sessionStorage.setItem(DEVICE, id);
  }
  return id;
}

/** A random UUID (RFC 9562, version 4). */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

async function rest(method, path, body, token) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: {...(body && {"content-type": "application/json"}), ...(token && {authorization: `Bearer ${token}`})},
      body: body && JSON.stringify(body),
    });
  } catch {
    throw new ServerError("UNAVAILABLE", "The server can not be reached.");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const reason = answer.details?.find((d) => d.reason)?.reason ?? "UNAVAILABLE";
  throw new ServerError(reason, answer.message ?? response.statusText);
}

/** Who one is, with an access token that is kept fresh. */
export class Session {
  // In memory only: a copied tab with the same refresh token would look like a thief to the server.
  #refreshToken = "";
  #timer = 0;

  static async guest() {
    const device_name = navigator.userAgent.match(/(Firefox|Edg|Chrome|Safari)/)?.[0] ?? "browser";
    return new Session(await rest("POST", "/v1/identity:signInGuest", {device_id: deviceId(), device_name}));
  }

  constructor({account, tokens}) {
    this.account = account;
    this.onRefresh = (_token) => {};
    this.#take(tokens);
  }

  #take(tokens) {
    this.token = tokens.access_token;
    this.#refreshToken = tokens.refresh_token;
    this.#refreshIn(parseFloat(tokens.access_expires_in) * 1000 * 0.7);
  }

  #refreshIn(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.refresh().catch(() => this.#refreshIn(5000)), ms);
  }

  /** Renews the access token; when the session has ended, signs in anew. */
  async refresh() {
    try {
      const answer = await rest("POST", "/v1/identity:refreshSession", {refresh_token: this.#refreshToken});
      this.#take(answer.tokens);
    } catch (error) {
      if (error.reason === "UNAVAILABLE") throw error;
      const fresh = await rest("POST", "/v1/identity:signInGuest", {device_id: deviceId()});
      this.account = fresh.account;
      this.#take(fresh.tokens);
    }
    this.onRefresh(this.token);
  }

  rooms() { return rest("GET", "/v1/rooms?page_size=50", undefined, this.token).then((r) => r.rooms ?? []); }

  ownRooms() {
    const owner = encodeURIComponent(this.account.user_id);
    return rest("GET", `/v1/rooms?page_size=50&owner_id=${owner}`, undefined, this.token).then((r) => r.rooms ?? []);
  }

  createRoom(name, isPrivate) {
    const room = {display_name: name, access_policy: isPrivate ? "ACCESS_POLICY_PRIVATE" : "ACCESS_POLICY_PUBLIC"};
    return rest("POST", "/v1/rooms", {room, request_id: uuid()}, this.token)
      .then((r) => r.room);
  }
}

/** The socket. It comes back by itself as its close code allows. Frames that answer nothing go to `onFrame`. */
export class Socket {
  #ws = null;
  #rid = 0;
  #waiting = new Map();
  #tries = 0;
  #ended = false;
  #heard = 0; // when, by performance.now()
  #beat = 0; // the timer that pings
  #heartbeat = 0;

  /** Whether the server has welcomed this socket. */
  online = false;

  constructor(session, {onFrame, onState, onReady}) {
    this.session = session;
    this.onFrame = onFrame;
    this.onState = onState;
    this.onReady = onReady;
    this.latency = NaN;
    session.onRefresh = (token) => this.request({refresh: {access_token: token}}).catch(() => {});
    this.#open();
  }

  #open() {
    this.onState("connecting");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const ws = new WebSocket(`${scheme}://${location.host}/ws`, "worldmesh.v1.json");
    this.#ws = ws;
    ws.onopen = () => this.#hello();
    ws.onmessage = (message) => this.#take(JSON.parse(message.data));
    ws.onclose = (event) => { if (this.#ws === ws) this.#closed(event.code); };
  }

  async #hello() {
    try {
      const {welcome} = await this.request({hello: {access_token: this.session.token, device_name: "web"}});
      this.#tries = 0;
      this.online = true;
      this.#heartbeat = welcome.heartbeat_ms;
      this.#beat = setInterval(() => this.#ping(), this.#heartbeat / 2);
      this.onState("online");
      this.#ping();
      this.onReady();
    } catch { /* the close code says what to do */ }
  }

  #closed(code) {
    this.online = false;
    clearInterval(this.#beat);
    for (const {reject} of this.#waiting.values()) reject(new ServerError("UNAVAILABLE", "The connection was lost."));
    this.#waiting.clear();
    this.latency = NaN;
    const what = advice(code);
    if (this.#ended || what === "never") return this.onState("closed");
    this.onState("connecting");
    const first = what === "later" ? 2000 : 150;
    const wait = Math.min(10_000, first * 2 ** this.#tries++) * (0.5 + Math.random());
    const renew = what === "token" ? this.session.refresh() : Promise.resolve();
    renew.catch(() => {}).then(() => setTimeout(() => this.#ended || this.#open(), wait));
  }

  #take(frame) {
    this.#heard = performance.now();
    const waiting = this.#waiting.get(frame.rid);
    if (!waiting) return this.onFrame(frame);
    this.#waiting.delete(frame.rid);
    if (frame.error) waiting.reject(new ServerError(frame.error.reason, frame.error.message, frame.error.retry_after_ms));
    else waiting.resolve(frame);
    return undefined;
  }

  /** Sends a frame without waiting for an answer; a lost one is of no matter. */
  send(body) {
    if (this.#ws?.readyState === WebSocket.OPEN) this.#ws.send(JSON.stringify({rid: 0, ...body}));
  }

  /** Sends a frame and waits for its answer; rejects with a ServerError. */
  request(body) {
    return new Promise((resolve, reject) => {
      if (this.#ws?.readyState !== WebSocket.OPEN) return reject(new ServerError("UNAVAILABLE", "Not connected."));
      const rid = ++this.#rid;
      this.#waiting.set(rid, {resolve, reject});
      this.#ws.send(JSON.stringify({rid, ...body}));
      return undefined;
    });
  }

  async #ping() {
    if (!this.online) return;
    const start = performance.now();
    if (start - this.#heard > 2 * this.#heartbeat) { this.#lose(); return; } // as the gateway does
    try {
      await this.request({ping: {client_time_ms: Date.now()}});
      this.latency = performance.now() - start;
    } catch { /* it is down, and coming back */ }
  }

  /** Gives up a connection that is silent: its own closing could take minutes. */
  #lose() {
    const ws = this.#ws;
    this.#ws = null;
    ws?.close();
    this.#closed(1006);
  }

  end() {
    this.#ended = true;
    clearInterval(this.#beat);
    this.#ws?.close(1000);
  }
}
