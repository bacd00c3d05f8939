// Fails when an entry is larger than it may be, minified and compressed by brotli. What an entry loads only when it is
// needed has a limit of its own.
import { basename } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { buildSync } from "esbuild";

const LIMITS = [
  { what: "client", entry: 'export { Atomic } from "./dist/esm/index.js"', maxBytes: 4096 },
  { what: "core", entry: 'export { endpoints } from "./dist/esm/core.js"', maxBytes: 8192 },
  { what: "all of it", entry: 'export * from "./dist/esm/index.js"', maxBytes: 16_384 },
];
const LOADED_MAX_BYTES = 1024;

for (const { what, entry, maxBytes } of LIMITS) {
  const { outputFiles, metafile } = buildSync({
    stdin: { contents: entry, resolveDir: "." },
    bundle: true,
    splitting: true,
    outdir: "out",
    minify: true,
    format: "esm",
    write: false,
    metafile: true,
    platform: "neutral",
  });
  const bytesOf = new Map(
    outputFiles.map(({ path, contents }) => [basename(path), brotliCompressSync(contents).length]),
  );
  const importsOf = new Map(Object.entries(metafile.outputs).map(([path, { imports }]) => [basename(path), imports]));
  const isLoaded = ({ kind }) => kind === "dynamic-import";
  const entryImports = importsOf.get("stdin.js");
  // Modules that the entry and a loaded one have in common are chunks of their own, which the entry imports.
  const shared = entryImports.filter((each) => !isLoaded(each)).map(({ path }) => basename(path));
  const sizes = [[what, ["stdin.js", ...shared], maxBytes]];
  for (const { path } of entryImports.filter((each) => isLoaded(each) && what !== "client")) {
    sizes.push([`${what}, ${basename(path).split("-")[0]} when needed`, [basename(path)], LOADED_MAX_BYTES]);
  }
  for (const [name, chunks, limit] of sizes) {
    const bytes = chunks.reduce((sum, chunk) => sum + bytesOf.get(chunk), 0);
    console.log(`${name}: ${bytes} of ${limit} bytes`);
    process.exitCode = bytes > limit ? 1 : process.exitCode;
  }
}
