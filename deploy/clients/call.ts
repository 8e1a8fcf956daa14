// Calls of the generated types' client: call.ts URL TOKEN. check.mjs compiles it; a wrong path or member is an error there.
import createClient from "openapi-fetch";
import type { components, paths } from "./types.ts";

declare const process: { argv: string[] };
const [url = "", token = ""] = process.argv.slice(2);
const api = createClient<paths>({ baseUrl: url });

const page = await api.GET("/api/v1/products", { params: { query: { limit: 1 } } });
if (page.error) throw new Error(page.error.detail);
const product: components["schemas"]["ProductOut"] | undefined = page.data.items[0];
if (product === undefined || typeof product.price.amount !== "number") throw new Error("no product");

const me = await api.GET("/api/v1/users/me", { headers: { Authorization: `Bearer ${token}` } });
if (me.error) throw new Error(me.error.detail);
const email: string = me.data.email;
if (!email.includes("@")) throw new Error("no address");
console.log("TypeScript: both calls are as documented");
