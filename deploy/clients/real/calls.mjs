// The calls of README.md with Node's fetch (undici).
import { randomUUID } from "node:crypto";

const [url, token, product] = process.argv.slice(2);
const order = JSON.stringify({
  items: [{ product_id: product, quantity: 1 }],
  shipping_address: { name: "A", line1: "1", city: "L", postal_code: "1", country: "GB" },
});

async function call(name, status, path, options = {}) {
  const answer = await fetch(url + path, { signal: AbortSignal.timeout(60_000), ...options });
  const body = await answer.text();
  if (answer.status !== status) throw new Error(`${name}: ${answer.status}, expected ${status}: ${body}`);
  return answer;
}

const fields = () => ({
  authorization: `Bearer ${token}`, "content-type": "application/json", "idempotency-key": randomUUID(),
});
async function* chunks() {
  const bytes = Buffer.from(order);
  for (let start = 0; start < bytes.length; start += 16) yield bytes.subarray(start, start + 16);
}

const one = `/api/v1/products/${product}`;
const first = await call("GET", 200, one);
await call("GET again", 200, one);
await call("conditional GET", 304, one, { headers: { "if-none-match": first.headers.get("etag") } });
await call("HEAD", 200, one, { method: "HEAD" });
await call("POST", 201, "/api/v1/orders", { method: "POST", headers: fields(), body: order });
await call("POST in chunks", 201, "/api/v1/orders", { method: "POST", headers: fields(), body: chunks(), duplex: "half" });
await Promise.all(Array.from({ length: 20 }, () => call("many at once", 200, one)));
console.log("Node: all calls are as expected");
