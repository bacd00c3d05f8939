// The types of Koa do not fit the version of a package that Koa brings itself; Express 4 has those of 5 here.

declare module "koa" {
  import type { IncomingMessage, RequestListener } from "node:http";

  export interface Context {
    readonly req: IncomingMessage & { body?: unknown };
    readonly path: string;
    readonly originalUrl: string;
    status: number;
    body: unknown;
    set(fields: Record<string, string>): void;
  }
  export default class Koa {
    use(middleware: (context: Context, next: () => Promise<unknown>) => Promise<unknown>): this;
    callback(): RequestListener;
  }
}

declare module "express4" {
  export { default } from "express";
}
