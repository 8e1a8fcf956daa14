/** The live feed: it connects again whenever it is lost, and resumes without a gap or a double. */

import { backoff, pause } from "./api.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;
const TOKEN_REJECTED = 4401;
const TOO_MANY = 4429;

/**
 * Follow the feed until `signal` is aborted. It rejects if connecting again is of no use.
 *
 * @param {Api} api the log-in session
 * @param {AbortSignal} signal ends it
 * @param {object} handlers `onItem(item)`, `onReset()`: items were lost, so read the lists again;
 *   `onState(text)`
 */
export async function follow(api, signal, { onItem, onReset, onState }) {
  let position = null;
  let failures = 0;
  let wanted = null;
  let rejected = null;
  while (!signal.aborted) {
    if (failures > 0) {
      await pause(wanted ?? backoff(failures, FIRST_WAIT, LONGEST_WAIT), signal);
      wanted = null;
    }
    onState("connecting");
    let token;
    try {
      token = rejected === null ? await api.token() : await api.renew(rejected);
    } catch (error) {
      if (error.status === 400) throw error; // the log-in session has ended
      failures += 1;
      continue;
    }
    if (signal.aborted) return;
    const code = await connection(api.feedUrl, signal, { token, position, receive });
    onState("not connected");
    if (code === TOKEN_REJECTED && rejected === null) {
      rejected = token;
    } else if (code >= 4400 && code < 4500 && code !== TOO_MANY) {
      throw new Error(`The feed was refused with code ${code}.`);
    } else {
      failures += 1;
    }
  }

  function receive(message, ready) {
    if (message.type === "ready") {
      onState("connected");
      rejected = null;
      // Otherwise `ready` may name a later position, which `reset` must explain first.
      position ??= message.event_id;
    } else if (message.type === "reset") {
      position = ready;
      failures = 0;
      onReset();
    } else if (message.type === "error") {
      wanted = message.reconnect_ms ?? null; // a server that stops spreads its clients
    } else if (message.event_id > position) {
      position = message.event_id;
      failures = 0;
      onItem(message);
    }
  }
}

/** Open one connection, and return the code with which it was closed. */
function connection(url, signal, { token, position, receive }) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url);
    const leave = () => socket.close();
    let ready;
    signal.addEventListener("abort", leave);
    socket.addEventListener("open", () => {
      // The token is not part of the URL, since URLs end up in logs.
      const resumed = position === null ? {} : { last_event_id: position };
      socket.send(JSON.stringify({ type: "auth", token, ...resumed }));
    });
    socket.addEventListener("message", ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "ready") ready = message.event_id;
      if (!signal.aborted) receive(message, ready);
    });
    socket.addEventListener("close", ({ code }) => {
      signal.removeEventListener("abort", leave);
      resolve(code);
    });
  });
}
