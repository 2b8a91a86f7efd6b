import type { IncomingMessage, ServerResponse } from 'node:http';

/** Something that changes and can be followed. */
export interface Topic {
  /** Differs whenever there is something new to see; fit for an event's id. */
  version(): string;
  /** What to tell of the time since a version. */
  news(since: string): object;
}

/** Browsers try again so long after a stream broke. */
const retryMs = 2000;
/** Streams that anybody may hold open together. */
const mostStreams = 256;

/**
 * Server-sent events (WHATWG HTML, §9.2): each says that something changed, under the version that it changed to. Who comes back
 * with `Last-Event-ID` hears at once what it missed, and nothing when it missed nothing.
 */
export class EventStreams {
  readonly #streams = new Set<{ readonly response: ServerResponse; readonly topic: Topic; told: string }>();

  /** Answers a request with a stream of a topic. The version a page was made of may be given as `?since=`. */
  open(request: IncomingMessage, response: ServerResponse, topic: Topic): void {
    if (this.#streams.size >= mostStreams) {
      response.writeHead(503, { 'retry-after': '30', 'content-type': 'text/plain; charset=utf-8' });
      return void response.end(`expected at most ${mostStreams} open streams, got one more\n`);
    }
    const since = new URL(request.url ?? '/', 'http://localhost').searchParams.get('since');
    const told = request.headers['last-event-id'] ?? since ?? '';
    const stream = { response, topic, told: String(told) };
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // Proxies that gather answers would hold events back.
      'x-accel-buffering': 'no',
    });
    response.write(`retry: ${retryMs}\n\n`);
    this.#streams.add(stream);
    response.on('close', () => this.#streams.delete(stream));
    response.on('error', () => this.#streams.delete(stream));
    tell(stream);
  }

  /** Tells everybody what changed since they were told last. */
  look(): void {
    for (const stream of this.#streams) tell(stream);
  }

  /** A line that means nothing, so that proxies keep quiet streams open and broken ones are noticed. */
  beat(): void {
    for (const { response } of this.#streams) response.write(': still here\n\n');
  }

  close(): void {
    for (const { response } of this.#streams) response.end();
  }
}

function tell(stream: { readonly response: ServerResponse; readonly topic: Topic; told: string }): void {
  const { response, topic, told } = stream;
  const version = topic.version();
  if (version === told) return;
  // Who does not read is told less often, not more and more at once.
  if (response.writableNeedDrain) return;
  stream.told = version;
  response.write(`id: ${version}\nevent: change\ndata: ${JSON.stringify({ version, ...topic.news(told) })}\n\n`);
}
