import { defineConfig, type ViteUserConfig } from "vitest/config";

// Tests wait for a real server, and a machine that also does other things is slow at times.
const PATIENCE_MS = 60_000;

const config: ViteUserConfig = defineConfig({
  test: {
    globalSetup: "test/server.ts",
    include: ["test/**/*.test.ts"],
    testTimeout: PATIENCE_MS,
    hookTimeout: PATIENCE_MS,
  },
});

export default config;
