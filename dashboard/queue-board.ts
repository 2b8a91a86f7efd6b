import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { FleetObserver } from '../jobs/observer.ts';
import { confined, sendFile } from './files.ts';

type Queue = FleetObserver['queues'][number];
type Api = typeof import('@bull-board/api');
type ServerAdapter = Parameters<Api['createBullBoard']>[0]['serverAdapter'];
type Routes = Parameters<ServerAdapter['setApiRoutes']>[0];
type EntryRoute = Parameters<ServerAdapter['setEntryRoute']>[0];
type Handler = Routes[number]['handler'];
type UiConfig = Parameters<ServerAdapter['setUIConfig']>[0];
type BoardQueues = Parameters<ServerAdapter['setQueues']>[0];
type ErrorHandler = Parameters<ServerAdapter['setErrorHandler']>[0];

/** Its React page sets styles of elements, and brings some of its own; nothing comes from anywhere else. */
export const boardPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
  "base-uri 'self'; form-action 'none'; frame-ancestors 'none'";

/** bull-board over our queues, to read. */
export interface QueueBoard {
  /** Shows these queues from now on. */
  show(queues: readonly Queue[]): void;
  /** Answers what is below {@link path}; false when it has nothing there. */
  answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<boolean>;
}

/**
 * bull-board below `path`, read-only: its queues refuse to be changed, and of its routes only those that read are served.
 * @returns undefined where its packages, which are optional, are not installed.
 */
export async function openQueueBoard(path: string): Promise<QueueBoard | undefined> {
  const packages = await load();
  if (!packages) return undefined;
  const { createBullBoard, BullMQAdapter } = packages;
  const adapter = new ReadOnlyAdapter(path);
  const board = createBullBoard({
    queues: [],
    serverAdapter: adapter,
    options: {
      uiConfig: {
        boardTitle: 'Ridgepoint queues',
        hideDocsLink: true,
        // The fleet's page tells of workers; here it would ask Redis for all of its clients at every look.
        showWorkers: false,
        miscLinks: [{ text: 'Studies and fleet', url: '/' }],
      },
    },
  });
  const adapted = new Map<Queue, InstanceType<typeof BullMQAdapter>>();
  return {
    show: (queues) => {
      if (queues.every((queue) => adapted.has(queue))) return;
      for (const queue of queues)
        if (!adapted.has(queue))
          adapted.set(queue, new BullMQAdapter(queue, { readOnlyMode: true, allowRetries: false }));
      board.replaceQueues([...adapted.values()]);
    },
    answer: (request, response, url) => adapter.answer(request, response, url),
  };
}

async function load() {
  try {
    const [{ createBullBoard }, { BullMQAdapter }] = await Promise.all([
      import('@bull-board/api'),
      import('@bull-board/api/bullMQAdapter'),
    ]);
    return { createBullBoard, BullMQAdapter };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}

/** What bull-board asks of a web server, over Node's own. Routes that change something are left out. */
class ReadOnlyAdapter implements ServerAdapter {
  readonly #base: string;
  #queues: BoardQueues = new Map();
  #views = '';
  #static = { route: '', folder: '' };
  #entry: EntryRoute | undefined;
  #uiConfig: UiConfig = {};
  #onError: ErrorHandler = () => ({ status: 500, body: { error: 'failed' } });
  #routes: readonly { readonly pattern: RegExp; readonly handler: Handler }[] = [];

  constructor(base: string) {
    this.#base = base;
  }

  setQueues(queues: BoardQueues): this {
    this.#queues = queues;
    return this;
  }

  setViewsPath(folder: string): this {
    this.#views = folder;
    return this;
  }

  setStaticPath(route: string, folder: string): this {
    this.#static = { route, folder };
    return this;
  }

  setEntryRoute(entry: EntryRoute): this {
    this.#entry = entry;
    return this;
  }

  setErrorHandler(handler: ErrorHandler): this {
    this.#onError = handler;
    return this;
  }

  setApiRoutes(routes: Routes): this {
    this.#routes = routes
      .filter(({ method }) => [method].flat().includes('get'))
      .flatMap(({ route, handler }) => [route].flat().map((text) => ({ pattern: patternOf(text), handler })));
    return this;
  }

  setUIConfig(config: UiConfig): this {
    this.#uiConfig = config;
    return this;
  }

  async answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<boolean> {
    const path = url.pathname.slice(this.#base.length) || '/';
    if (path.startsWith(`${this.#static.route}/`)) return this.#sendStatic(response, path);
    for (const { pattern, handler } of this.#routes) {
      const match = pattern.exec(path);
      if (match) return this.#sendData(request, response, url, { handler, params: { ...match.groups } });
    }
    const pages = [this.#entry?.route ?? []].flat();
    if (!pages.some((route) => patternOf(route).test(path))) return false;
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
    response.end(await this.#page());
    return true;
  }

  async #sendStatic(response: ServerResponse, path: string): Promise<boolean> {
    const file = await confined(this.#static.folder, decodeURIComponent(path.slice(this.#static.route.length + 1)));
    if (file !== undefined) await sendFile(response, file, { 'cache-control': 'private, max-age=3600' });
    return file !== undefined;
  }

  async #sendData(
    { headers }: IncomingMessage,
    response: ServerResponse,
    { searchParams }: URL,
    { handler, params }: { readonly handler: Handler; readonly params: Record<string, string | undefined> },
  ): Promise<boolean> {
    const query = Object.fromEntries(searchParams);
    const decoded = Object.fromEntries(
      Object.entries(params).map(([name, value]) => [name, decodeURIComponent(value ?? '')]),
    );
    const asked = {
      queues: this.#queues,
      uiConfig: this.#uiConfig,
      params: decoded,
      query,
      body: {},
      headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])),
    };
    const { status = 200, body } = await Promise.resolve()
      .then(() => handler(asked))
      .catch((error: Error) => this.#onError(error));
    response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    response.end(status === 204 ? undefined : JSON.stringify(body));
    return true;
  }

  /** Its template has nothing but values to put in, so that its template engine is not needed; its fonts from elsewhere are left out. */
  async #page(): Promise<string> {
    const made = this.#entry?.handler({ basePath: this.#base, uiConfig: this.#uiConfig });
    const template = await readFile(join(this.#views, made?.name ?? 'index.ejs'), 'utf8');
    return template
      .replace(/<link href="https:\/\/fonts\.[^>]*>/g, '')
      .replace(/<%([-=]) *(\w+) *%>/g, (_, kind: string, name: string) => {
        const value = String(made?.params[name] ?? '');
        return kind === '-' ? value : value.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
      });
  }
}

/** `/api/queues/:queueName` as a pattern with named groups. */
function patternOf(route: string): RegExp {
  const source = route.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/:(\w+)/g, '(?<$1>[^/]+)');
  return new RegExp(`^${source}/?$`);
}
