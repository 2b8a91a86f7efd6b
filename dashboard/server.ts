import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { type Clock, systemClock } from '../core/clock.ts';
import { EnvironmentError } from '../core/errors.ts';
import { ridgepointVersion } from '../core/version.ts';
import type { FleetObserver } from '../jobs/observer.ts';
import { Gate } from './access.ts';
import { EventStreams } from './event-streams.ts';
import { sendFile, servedFile } from './files.ts';
import { fleetPage, fleetVersion } from './fleet-page.ts';
import { icon, type Page, renderPage, styleSheet } from './layout.ts';
import { messagePage, signInPage } from './message-page.ts';
import { boardPolicy, openQueueBoard, type QueueBoard } from './queue-board.ts';
import type { FollowedStudy, Runs } from './runs.ts';
import { studiesPage } from './studies-page.ts';
import { studyPage } from './study-page.ts';
import { logsOf, trialPage } from './trial-page.ts';
import { trialQuery } from './trial-row.ts';

export interface DashboardOptions {
  readonly runs: Runs;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** What visitors must show; nobody is asked without one. */
  readonly secret?: string | undefined;
  /** Names under which the page may be asked for, beside the host. */
  readonly names?: readonly string[];
  readonly fleet?: FleetObserver | undefined;
  readonly clock?: Clock;
  /** Hears of failures that visitors are told nothing of. */
  readonly onNotice?: (text: string) => void;
}

/** Scripts, styles and pictures of our own only; charts set the colour of a text in its style. */
const pagePolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self'; connect-src 'self'; " +
  "form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/** Longest body of a form. */
const formBytes = 4096;
/** Ids that one event names; who missed more sees them all on the page. */
const mostNamed = 200;
const boardPath = '/queues';

/** The live page as a server. It reads journals and Redis and changes neither. */
export class Dashboard {
  readonly #options: DashboardOptions;
  readonly #clock: Clock;
  readonly #gate: Gate;
  readonly #streams = new EventStreams();
  readonly #server: Server;
  readonly #board: QueueBoard | undefined;
  readonly #script: Buffer;

  private constructor(
    options: DashboardOptions,
    parts: { readonly board: QueueBoard | undefined; readonly script: Buffer },
  ) {
    const { host, names = [], secret, clock = systemClock, onNotice = () => {} } = options;
    this.#options = options;
    this.#clock = clock;
    this.#gate = new Gate({ host, names, secret });
    this.#board = parts.board;
    this.#script = parts.script;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: Error) => {
        onNotice(`${request.method} ${pathOf(request)}: ${error.stack ?? error.message}`);
        if (response.headersSent) response.destroy();
        else
          this.#refuse(request, response, 500, 'Something failed here; the terminal that serves the page says what.');
      });
    });
  }

  /**
   * Begins to serve. Studies are read by {@link look}, which whoever opens calls from then on.
   * @throws {EnvironmentError} when the port is taken or the host is not ours.
   */
  static async open(options: DashboardOptions): Promise<Dashboard> {
    const board = options.fleet && (await openQueueBoard(boardPath));
    const script = await readFile(fileURLToPath(new URL('client.js', import.meta.url)));
    const dashboard = new Dashboard(options, { board, script });
    const { host, port } = options;
    try {
      dashboard.#server.listen(port, host);
      await once(dashboard.#server, 'listening');
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      throw new EnvironmentError(
        `expected to serve at ${host}, port ${port}, but ${code ?? (cause as Error).message}`,
        { cause },
      );
    }
    return dashboard;
  }

  /** Where it is served. */
  get url(): string {
    const { address, family, port } = this.#server.address() as AddressInfo;
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }

  /** Whether bull-board is there. */
  get hasQueues(): boolean {
    return this.#board !== undefined;
  }

  /** Reads what changed, and tells those who follow. */
  async look(): Promise<void> {
    const reading = this.#options.runs.look();
    // A long journal is shown as far as it is read.
    const telling = setInterval(() => this.#streams.look(), 1000);
    await reading.finally(() => clearInterval(telling));
    this.#streams.look();
  }

  /** Looks at the fleet, and tells those who follow. */
  async lookAtFleet(): Promise<void> {
    const { fleet } = this.#options;
    if (!fleet) return;
    await fleet.look();
    this.#board?.show(fleet.queues);
    this.#streams.look();
  }

  /** Keeps quiet streams open. */
  beat(): void {
    this.#streams.beat();
  }

  async close(): Promise<void> {
    this.#streams.close();
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    secure(response);
    // Probes come by address and have no token; all they learn is that the process answers.
    if (url.pathname === '/health') return sendJson(response, { status: 'ok', version: ridgepointVersion() });
    if (!this.#gate.knowsHost(request.headers))
      return this.#refuse(
        request,
        response,
        421,
        'This page is not known by that name. Ask for it by the address it was started with, or start it with --name.',
      );
    if (!this.#gate.knowsOrigin(request.headers))
      return this.#refuse(request, response, 403, 'Asked for by a page from elsewhere.');
    if (url.pathname === '/sign-in') return this.#signIn(request, response, url);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      return this.#refuse(request, response, 405, 'This page is read-only.');
    }
    const asset = this.#asset(url.pathname);
    if (asset) return sendText(response, asset.type, asset.content);
    if (url.searchParams.has('token')) return this.#firstVisit(request, response, url);
    if (!this.#gate.admits(request.headers, this.#cookie)) return this.#askForToken(request, response, url);
    await this.#route(request, response, url);
  }

  async #route(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const parts = partsOf(url.pathname);
    const [first, name = '', ...rest] = parts ?? [];
    const { runs, fleet } = this.#options;
    if (parts?.length === 0)
      return this.#send(request, response, studiesPage(runs.studies, runs.version, this.#clock.now()));
    if (url.pathname === '/events')
      return this.#streams.open(request, response, { version: () => runs.version, news: () => ({}) });
    if (fleet && url.pathname === '/fleet')
      return this.#send(request, response, fleetPage(fleet.view, fleet.place.name, this.hasQueues));
    if (fleet && url.pathname === '/fleet/events')
      return this.#streams.open(request, response, { version: () => fleetVersion(fleet.view), news: () => ({}) });
    if (this.#board && first === boardPath.slice(1)) {
      // What asks Redis now would wait until it is there again.
      if (name === 'api' && fleet?.view.reachable === false) return sendJson(response, { error: 'Redis is gone' }, 503);
      response.setHeader('content-security-policy', boardPolicy);
      if (await this.#board.answer(request, response, url)) return;
      secure(response);
    }
    const study = first === 'studies' ? runs.study(name) : undefined;
    if (study && (await this.#study(request, response, { study, rest, url }))) return;
    this.#refuse(request, response, 404, 'There is nothing at this address.');
  }

  /** @returns whether the study has what is asked for. */
  async #study(
    request: IncomingMessage,
    response: ServerResponse,
    { study, rest, url }: { readonly study: FollowedStudy; readonly rest: readonly string[]; readonly url: URL },
  ): Promise<boolean> {
    const [part, id = '', logs, attempt = ''] = rest;
    if (part === undefined) {
      this.#send(request, response, studyPage(study, trialQuery(url.searchParams), this.#clock.now()));
      return true;
    }
    if (part === 'events' && rest.length === 1) {
      this.#streams.open(request, response, studyTopic(this.#options.runs, study.name));
      return true;
    }
    if (part === 'files') {
      const file = await servedFile(study.folder, rest.slice(1).join('/'));
      if (file !== undefined) await sendFile(response, file);
      return file !== undefined;
    }
    if (part !== 'trials' || study.problem !== undefined) return false;
    if (logs === 'logs' && rest.length === 4) {
      const row = study.view.trial(id);
      const file = row && (await logsOf(study, row)).get(attempt);
      if (file !== undefined) await sendFile(response, file);
      return file !== undefined;
    }
    const page = rest.length === 2 ? await trialPage(study, id) : undefined;
    if (page) this.#send(request, response, page);
    return page !== undefined;
  }

  #send(request: IncomingMessage, response: ServerResponse, page: Page, status = 200): void {
    const frame = { hasFleet: this.#options.fleet !== undefined, hasQueues: this.hasQueues, path: pathOf(request) };
    response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
    response.end(request.method === 'HEAD' ? undefined : renderPage(page, frame));
  }

  #refuse(request: IncomingMessage, response: ServerResponse, status: number, text: string): void {
    this.#send(request, response, messagePage(status, text), status);
  }

  #asset(path: string): { readonly type: string; readonly content: string | Buffer } | undefined {
    switch (path) {
      case '/client.js':
        return { type: 'text/javascript; charset=utf-8', content: this.#script };
      case '/style.css':
        return { type: 'text/css; charset=utf-8', content: styleSheet };
      case '/icon.svg':
        return { type: 'image/svg+xml', content: icon };
      default:
        return undefined;
    }
  }

  /** Cookies of one host are shared by all of its ports. */
  get #cookie(): string {
    return `ridgepoint-${(this.#server.address() as AddressInfo).port}`;
  }

  /** A token in an address is taken out of it at once: addresses are kept by browsers and proxies. */
  #firstVisit(request: IncomingMessage, response: ServerResponse, url: URL): void {
    const isRight = this.#gate.isToken(url.searchParams.get('token') ?? '');
    url.searchParams.delete('token');
    const clean = `${localPath(url.pathname)}${url.search}`;
    if (isRight) return this.#admit(response, clean);
    if (!this.#gate.needsToken) return redirect(response, clean);
    this.#send(request, response, signInPage({ next: clean, wasWrong: true }), 401);
  }

  #askForToken(request: IncomingMessage, response: ServerResponse, url: URL): void {
    const wantsPage = (request.headers.accept ?? '').includes('text/html');
    if (wantsPage)
      return redirect(response, `/sign-in?next=${encodeURIComponent(localPath(`${url.pathname}${url.search}`))}`);
    response.setHeader('www-authenticate', 'Bearer realm="ridgepoint"');
    sendText(response, 'text/plain; charset=utf-8', 'expected a token: Authorization: Bearer …\n', 401);
  }

  async #signIn(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const next = localPath(url.searchParams.get('next') ?? '/');
    if (!this.#gate.needsToken) return redirect(response, next);
    if (request.method !== 'POST') return this.#send(request, response, signInPage({ next, wasWrong: false }));
    const form = await formOf(request);
    const wanted = localPath(form?.get('next') ?? '/');
    if (this.#gate.isToken(form?.get('token')?.trim() ?? '')) return this.#admit(response, wanted);
    this.#send(request, response, signInPage({ next: wanted, wasWrong: true }), 401);
  }

  #admit(response: ServerResponse, next: string): void {
    response.setHeader(
      'set-cookie',
      `${this.#cookie}=${this.#gate.session}; HttpOnly; SameSite=Lax; Path=/; Max-Age=2592000`,
    );
    redirect(response, next);
  }
}

/** Says which trials changed; of another journal than the one known, only that all is new. */
function studyTopic(runs: Runs, name: string) {
  return {
    version: () => runs.study(name)?.version ?? 'gone',
    news: (since: string): object => {
      const study = runs.study(name);
      const [created, count] = since.split('-');
      if (!study || created !== study.view.createdMs.toString(36)) return { restarted: true };
      const changed = study.view.trials.filter((row) => row.changed >= Number(count)).map(({ id }) => id);
      return { events: study.view.count, changed: changed.slice(-mostNamed) };
    },
  };
}

function secure(response: ServerResponse): void {
  response.setHeader('content-security-policy', pagePolicy);
  response.setHeader('x-content-type-options', 'nosniff');
  response.setHeader('referrer-policy', 'same-origin');
  response.setHeader('cross-origin-opener-policy', 'same-origin');
  response.setHeader('cross-origin-resource-policy', 'same-origin');
}

function pathOf({ url = '/' }: IncomingMessage): string {
  return url.split('?')[0] ?? '/';
}

/** The decoded parts of a path; undefined where it cannot be decoded. */
function partsOf(path: string): readonly string[] | undefined {
  try {
    return path
      .split('/')
      .filter((part) => part !== '')
      .map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

/** An address of ours, whatever it was meant to be. */
function localPath(path: string): string {
  return /^\/(?![/\\])/.test(path) && !/[\r\n]/.test(path) ? path : '/';
}

function redirect(response: ServerResponse, to: string): void {
  response.writeHead(303, { location: to, 'cache-control': 'no-store' });
  response.end();
}

function sendText(response: ServerResponse, type: string, content: string | Buffer, status = 200): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-cache' });
  response.end(response.req.method === 'HEAD' ? undefined : content);
}

function sendJson(response: ServerResponse, value: object, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(`${JSON.stringify(value)}\n`);
}

/** The fields of a form; undefined where it is too long to be one of ours. */
async function formOf(request: IncomingMessage): Promise<URLSearchParams | undefined> {
  let text = '';
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > formBytes) return undefined;
  }
  return new URLSearchParams(text);
}
