// Fails unless TypeScript generated from an OpenAPI document is complete: check.mjs DOCUMENT DIRECTORY
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

// check.sh installs its packages in another directory.
const require = createRequire(join(process.cwd(), "package.json"));
const { default: openapiTS, astToString } = require("openapi-typescript");
const ts = require("typescript");

const [file, directory] = process.argv.slice(2);
const document = JSON.parse(readFileSync(file, "utf8"));
const types = join(directory, "types.ts");
const probe = join(directory, "probe.ts");
writeFileSync(types, astToString(await openapiTS(document)));

// A type `any`, `unknown` or `never` gives a caller no information.
const lines = [
  'import type { components, operations } from "./types.ts";',
  "type Told<T> = unknown extends T ? false : [T] extends [never] ? false : true;",
];
const told = (type) => lines.push(`export const told${lines.length}: Told<${type}> = true;`);
const at = (...keys) => keys.map((key) => `[${JSON.stringify(key)}]`).join("");
let count = 0;
for (const item of Object.values(document.paths)) {
  for (const { operationId, responses } of Object.values(item).filter(({ responses }) => responses)) {
    count += 1;
    for (const [status, { content = {} }] of Object.entries(responses)) {
      for (const kind of Object.keys(content)) {
        told(`operations${at(operationId, "responses", Number(status), "content", kind)}`);
      }
    }
  }
}
const schemas = Object.entries(document.components.schemas);
for (const [name, { properties = {} }] of schemas) {
  told(`components${at("schemas", name)}`);
  for (const [property, { $ref, type, anyOf, allOf, oneOf, enum: values, const: value }] of Object.entries(properties)) {
    // The document itself has no type here.
    if ($ref || type || anyOf || allOf || oneOf || values || value) {
      told(`NonNullable<components${at("schemas", name, property)}>`);
    }
  }
}
writeFileSync(probe, lines.join("\n"));

const call = join(directory, "call.ts");
copyFileSync(join(dirname(fileURLToPath(import.meta.url)), "call.ts"), call);

const options = {
  strict: true, noEmit: true, allowImportingTsExtensions: true, types: [], paths: { "openapi-fetch": [join(process.cwd(), "node_modules", "openapi-fetch")] },
  module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler, target: ts.ScriptTarget.ES2022,
};
const found = ts.getPreEmitDiagnostics(ts.createProgram([types, probe, call], options));
for (const { file: place, start, messageText } of found) {
  const line = place ? place.text.slice(0, start).split("\n").length - 1 : 0;
  console.error(`${ts.flattenDiagnosticMessageText(messageText, " ")} ${place?.text.split("\n")[line] ?? ""}`);
}
if (found.length > 0) {
  console.error(`${file}: the generated TypeScript is incomplete, see above`);
  process.exit(1);
}
// Beside the packages, so that check.sh can run it.
const { outputText } = ts.transpileModule(readFileSync(call, "utf8"), { compilerOptions: { ...options, noEmit: false } });
writeFileSync(join(process.cwd(), "call.js"), outputText);
console.log(`${file}: TypeScript of ${count} operations and ${schemas.length} schemas`);
