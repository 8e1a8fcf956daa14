// Fails unless a GraphQL endpoint passes all audits of GraphQL over HTTP that are MUST or SHOULD: check.mjs URL
import { createRequire } from "node:module";
import { join } from "node:path";

// check.sh installs its packages in another directory.
const { auditServer } = createRequire(join(process.cwd(), "package.json"))("graphql-http");

const LEAST = 60; // of release 1.23; fewer would mean that the audits did not run
const results = await auditServer({ url: process.argv[2] });
const bad = results.filter(({ status }) => status === "error");
const notices = results.filter(({ status }) => status === "notice" || status === "warn");
for (const { id, name, reason } of [...bad, ...notices]) {
  console.error(`${id}: ${name}: ${reason}`);
}
const failed = [...bad, ...notices.filter(({ name }) => /^(MUST|SHOULD)/.test(name))];
if (failed.length > 0 || results.length < LEAST) {
  console.error(`${failed.length} of ${results.length} audits failed, see above`);
  process.exit(1);
}
const passed = results.filter(({ status }) => status === "ok").length;
console.log(`GraphQL over HTTP: ${passed} of ${results.length} audits passed, all MUST and SHOULD`);
