import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({ test: { globalSetup: "test/server.ts", include: ["test/**/*.test.ts"] } });

export default config;
