// Fails when an entry is larger than it may be, minified and compressed by brotli.
import { brotliCompressSync } from "node:zlib";
import { buildSync } from "esbuild";

const LIMITS = [
  { what: "client", entry: 'export { Atomic } from "./dist/esm/index.js"', maxBytes: 4096 },
  { what: "endpoints", entry: 'export { endpoints } from "./dist/esm/index.js"', maxBytes: 8192 },
];

for (const { what, entry, maxBytes } of LIMITS) {
  const stdin = { contents: entry, resolveDir: "." };
  const { outputFiles } = buildSync({
    stdin,
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
    platform: "neutral",
  });
  const bytes = brotliCompressSync(outputFiles[0].contents).length;
  console.log(`${what}: ${bytes} of ${maxBytes} bytes`);
  process.exitCode = bytes > maxBytes ? 1 : process.exitCode;
}
