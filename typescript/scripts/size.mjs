// Fails when an entry is larger than it may be, minified and compressed by brotli. What an entry loads only when it is
// needed has a limit of its own.
import { basename } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { buildSync } from "esbuild";

const LIMITS = [
  { what: "client", entry: 'export { Atomic } from "./dist/esm/index.js"', maxBytes: 4096 },
  { what: "core", entry: 'export { endpoints } from "./dist/esm/core.js"', maxBytes: 8192 },
  { what: "all of it", entry: 'export * from "./dist/esm/index.js"', maxBytes: 15_360 },
];
const LOADED_MAX_BYTES = 1024;

for (const { what, entry, maxBytes } of LIMITS) {
  const { outputFiles } = buildSync({
    stdin: { contents: entry, resolveDir: "." },
    bundle: true,
    splitting: true,
    outdir: "out",
    minify: true,
    format: "esm",
    write: false,
    platform: "neutral",
  });
  for (const { path, contents } of outputFiles.filter(({ path }) => what !== "client" || path.endsWith("stdin.js"))) {
    const isEntry = basename(path) === "stdin.js";
    const [name, limit] = isEntry ? [what, maxBytes] : [`${what}, when calls are checked`, LOADED_MAX_BYTES];
    const bytes = brotliCompressSync(contents).length;
    console.log(`${name}: ${bytes} of ${limit} bytes`);
    process.exitCode = bytes > limit ? 1 : process.exitCode;
  }
}
