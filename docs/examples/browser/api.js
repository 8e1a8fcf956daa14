/**
 * The API's log-in session and its calls. The access token is in a private field, and the refresh
 * token in a cookie that no script can read: nothing secret is stored.
 */

const ATTEMPTS = 4;
// A refresh must be repeated within 10 s, or the server takes it for the use of a stolen token.
const ATTEMPT_MILLISECONDS = 6_000;
const LONGEST_WAIT = 10_000;
const MAYBE_DONE = new Set([502, 503, 504]);
const OLD_LOG_IN = "insufficient_user_authentication";

/** The API rejected a call. `name` is the last part of the problem's type, such as `out-of-stock`. */
export class Problem extends Error {
  constructor(status, document) {
    const fields = (document.errors ?? []).map((one) => `${one.pointer ?? ""} ${one.detail}`);
    const text = document.detail ?? document.error_description ?? document.title;
    super([text ?? `The server returned ${status}.`, ...fields].join(" "));
    this.status = status;
    this.name = (document.type ?? document.error ?? "").split("/").at(-1);
  }
}

/** Wait for a number of milliseconds; reject if `signal` is aborted. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** Return a random number of milliseconds below a limit that doubles (full jitter). */
export function backoff(attempt, first = 200, most = LONGEST_WAIT) {
  return Math.random() * Math.min(most, first * 2 ** (attempt - 1));
}

export class Api {
  #base;
  #access = null;
  #renewAt = 0;
  #renewal = null;
  #onEnd;

  /**
   * @param {string} origin the origin of the API
   * @param {() => void} onEnd called when the log-in session has ended
   */
  constructor(origin, onEnd) {
    this.#base = `${origin}/api/v1`;
    this.#onEnd = onEnd;
  }

  /** The address of the live feed. */
  get feedUrl() {
    return `${this.#base.replace(/^http/, "ws")}/notifications/ws`;
  }

  /** Open a session. Without `totp`, an account with TOTP gets the problem `totp-required`. */
  async logIn({ email, password, totp }) {
    const body = { email, password, browser: true, ...(totp && { totp }) };
    const sent = { method: "POST", json: body, credentials: "include" };
    this.#keep(await read(await this.#send("/auth/login", sent)));
  }

  /** Return whether the cookie of an earlier visit still has a session, and continue it. */
  async resume() {
    try {
      await this.renew(this.#access);
      return true;
    } catch (error) {
      if (error instanceof Problem && error.status === 400) return false;
      throw error;
    }
  }

  /** End the session, and delete its cookie. */
  async logOut() {
    const form = new URLSearchParams();
    const sent = { method: "POST", body: form, credentials: "include", repeatable: true };
    await read(await this.#send("/auth/revoke", sent));
    this.#access = null;
  }

  /** Return an access token that is valid for some seconds more. */
  async token() {
    return this.#access !== null && Date.now() < this.#renewAt
      ? this.#access
      : this.renew(this.#access);
  }

  /** Return a newer access token than `rejected`. All concurrent callers share one request. */
  async renew(rejected) {
    if (this.#access !== rejected) return this.#access;
    this.#renewal ??= this.#refresh().finally(() => (this.#renewal = null));
    await this.#renewal;
    return this.#access;
  }

  /** Call the API as the user. A call with a `key` (Idempotency-Key) is repeated if it may be lost. */
  async call(method, path, { json, key } = {}) {
    const access = await this.token();
    const sent = { method, json, key, repeatable: method === "GET" || key !== undefined };
    let response = await this.#send(path, { ...sent, access });
    const challenge = response.headers.get("WWW-Authenticate") ?? "";
    if (response.status === 401 && !challenge.includes(OLD_LOG_IN)) {
      response = await this.#send(path, { ...sent, access: await this.renew(access) });
    }
    return read(response);
  }

  async #refresh() {
    const body = new URLSearchParams({ grant_type: "refresh_token" });
    // A repeated refresh has the same result for 10 seconds.
    const sent = { method: "POST", body, credentials: "include", repeatable: true };
    const response = await this.#send("/auth/token", sent);
    if (response.status === 400) {
      const ended = this.#access !== null;
      this.#access = null;
      if (ended) this.#onEnd();
    }
    this.#keep(await read(response));
  }

  #keep(tokens) {
    this.#access = tokens.access_token;
    this.#renewAt = Date.now() + (tokens.expires_in - Math.min(30, tokens.expires_in / 5)) * 1000;
  }

  async #send(path, { json, body, key, access, repeatable = false, ...rest }) {
    const headers = {};
    if (json !== undefined) headers["Content-Type"] = "application/json";
    if (key !== undefined) headers["Idempotency-Key"] = key;
    if (access !== undefined) headers.Authorization = `Bearer ${access}`;
    const content = json === undefined ? body : JSON.stringify(json);
    for (let attempt = 1; ; attempt += 1) {
      let wait = backoff(attempt);
      try {
        const signal = AbortSignal.timeout(ATTEMPT_MILLISECONDS);
        const sent = { ...rest, headers, body: content, signal };
        const response = await fetch(this.#base + path, sent);
        wait += 1000 * (Number(response.headers.get("Retry-After")) || 0);
        const running = response.status === 409 && response.headers.has("Retry-After");
        const again =
          response.status === 429 || (repeatable && (running || MAYBE_DONE.has(response.status)));
        if (!again || attempt === ATTEMPTS || wait > LONGEST_WAIT) return response;
      } catch (error) {
        if (!repeatable || attempt === ATTEMPTS) throw error;
      }
      await pause(wait);
    }
  }
}

async function read(response) {
  const document = await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(response.status, document);
  return document;
}
