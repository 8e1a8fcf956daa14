// Fails unless an AsyncAPI document is valid and complete: check.mjs FILE
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

// check.sh installs its packages in another directory.
const { Parser } = createRequire(join(process.cwd(), "package.json"))("@asyncapi/parser");

const INFORMATION = 2; // of errors 0 and warnings 1 there may be none
const file = process.argv[2];
const { document, diagnostics } = await new Parser().parse(readFileSync(file, "utf8"), { source: file });
const found = diagnostics.filter(({ severity }) => severity < INFORMATION);
for (const { path, message, range } of found) {
  console.error(`${file}:${range.start.line + 1}: ${path.join(".")}: ${message}`);
}
const whole = document && document.channels().length > 0 && document.operations().length > 0;
if (found.length > 0 || !whole) {
  console.error(`${file} is not a valid AsyncAPI document, see above`);
  process.exit(1);
}
console.log(`${file}: AsyncAPI ${document.version()}, ${document.channels().length} channels, ` +
  `${document.operations().length} operations, ${document.messages().length} messages`);
