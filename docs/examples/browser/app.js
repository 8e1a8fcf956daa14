/** The page: log in, place an order, and see its notifications arrive. */

import { Api, Problem } from "./api.js";
import { follow } from "./feed.js";

const NEWEST = 20; // of the list, for a page that opens
const MISSED_PAGE = 100;
const MISSED_PAGES = 5; // a bound: whoever was away for long does not read years of notifications

const find = (id) => document.getElementById(id);
const origin = document.querySelector('meta[name="api"]').content || location.origin;
const api = new Api(origin, showVisitor);
const shown = new Set();
let shownBeforeLoss = null;
let following = null;
let pendingOrder = null;

find("log-in").addEventListener("submit", submitted(logIn));
find("order").addEventListener("submit", submitted(placeOrder));
find("log-out").addEventListener("click", guarded(logOut));
guarded(start)();

async function start() {
  if (await api.resume()) await showCustomer();
  else showVisitor();
}

async function logIn(form) {
  const fields = Object.fromEntries(new FormData(form));
  try {
    await api.logIn(fields);
  } catch (error) {
    if (!(error instanceof Problem && error.name === "totp-required")) throw error;
    find("code").hidden = false;
    form.elements.totp.required = true;
    form.elements.totp.focus();
    return;
  }
  form.reset();
  find("code").hidden = true;
  form.elements.totp.required = false;
  await showCustomer();
}

async function logOut() {
  await api.logOut();
  showVisitor();
}

async function placeOrder(form) {
  const { product, quantity, ...address } = Object.fromEntries(new FormData(form));
  const items = [{ product_id: product, quantity: Number(quantity) }];
  const json = { items, shipping_address: address };
  // The same order has the same key until it is placed: whoever presses the button again after an
  // error does not order twice.
  const text = JSON.stringify(json);
  if (pendingOrder?.text !== text) pendingOrder = { text, key: crypto.randomUUID() };
  const order = await api.call("POST", "/orders", { json, key: pendingOrder.key });
  pendingOrder = null;
  find("placed").textContent = `Order ${order.id} is placed: ${money(order.total)}.`;
}

function showVisitor() {
  following?.abort();
  following = null;
  find("customer").hidden = true;
  find("log-out").hidden = true;
  find("who").textContent = "";
  find("placed").textContent = "";
  find("feed").replaceChildren();
  shown.clear();
  shownBeforeLoss = null;
  find("visitor").hidden = false;
  find("log-in-heading").focus();
}

async function showCustomer() {
  const [user, products] = await Promise.all([
    api.call("GET", "/users/me"),
    api.call("GET", "/products?limit=100"),
  ]);
  find("who").textContent = user.full_name;
  find("order").elements.name.value = user.full_name;
  const options = products.items.map((one) => new Option(`${one.name}, ${money(one.price)}`, one.id));
  find("order").elements.product.replaceChildren(...options);
  find("visitor").hidden = true;
  find("customer").hidden = false;
  find("log-out").hidden = false;
  find("order-heading").focus();
  followFeed();
  await showLatest();
}

/** Show the newest of the list. The feed may already have brought some of them. */
async function showLatest() {
  await showListed({ limit: NEWEST, pages: 1 });
}

/** Show what the feed lost: the list's newest, back to one that was shown before the loss. */
async function showMissed() {
  // What the feed brings after the loss is no sign that the list was read as far. If a read fails,
  // the next one starts from the same place.
  shownBeforeLoss ??= new Set(shown);
  await showListed({ limit: MISSED_PAGE, pages: MISSED_PAGES, until: shownBeforeLoss });
  shownBeforeLoss = null;
}

async function showListed({ limit, pages, until = new Set() }) {
  const { signal } = following;
  let cursor = null;
  for (let page = 0; page < pages; page += 1) {
    const query = new URLSearchParams({ limit, ...(cursor && { cursor }) });
    const { items, next_cursor: next } = await api.call("GET", `/notifications?${query}`);
    if (signal.aborted) return; // another customer may have logged in
    items.forEach(show);
    if (next === null || items.some((one) => until.has(one.id))) return;
    cursor = next;
  }
}

function followFeed() {
  following = new AbortController();
  const { signal } = following;
  const handlers = {
    onItem: (item) => item.type === "notification" && show(item.data),
    onReset: guarded(showMissed),
    onState: (text) => (find("state").textContent = text),
  };
  follow(api, signal, handlers).catch((error) => signal.aborted || report(error));
}

function show(notification) {
  if (shown.has(notification.id)) return;
  shown.add(notification.id);
  const line = document.createElement("li");
  const title = document.createElement("strong");
  title.textContent = notification.title;
  line.append(title, ` ${notification.body}`); // as text: nothing of it is HTML
  line.dataset.eventId = notification.event_id;
  const lines = [...find("feed").children];
  const older = lines.find((one) => Number(one.dataset.eventId) < notification.event_id);
  find("feed").insertBefore(line, older ?? null);
}

function money({ amount, currency }) {
  const format = new Intl.NumberFormat("en", { style: "currency", currency });
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
}

/** Return a handler that reports what its action throws. */
function guarded(action) {
  return async (...args) => {
    find("problem").textContent = "";
    try {
      await action(...args);
    } catch (error) {
      report(error);
    }
  };
}

/** Likewise for a form, whose button can't be pressed while the action runs. */
function submitted(action) {
  const run = guarded(action);
  return async (event) => {
    event.preventDefault();
    const button = event.target.querySelector("button");
    button.disabled = true;
    await run(event.target);
    button.disabled = false;
  };
}

function report(error) {
  const known = error instanceof Problem;
  find("problem").textContent = known ? error.message : `The API can't be reached. ${error.message}`;
}
