/** One server-sent event. */
export interface SentEvent {
  readonly id: string;
  readonly type: string;
  readonly data: unknown;
}

/** Reads a stream of server-sent events by the rules of WHATWG HTML, §9.2.6, as far as the page uses them. */
export class SentEvents {
  readonly #reader: ReadableStreamDefaultReader<string>;
  readonly #controller: AbortController;
  #text = '';

  private constructor(body: ReadableStream<Uint8Array>, controller: AbortController) {
    this.#reader = body.pipeThrough(new TextDecoderStream()).getReader();
    this.#controller = controller;
  }

  static async open(url: string, headers: Readonly<Record<string, string>> = {}): Promise<SentEvents> {
    const controller = new AbortController();
    const response = await fetch(url, { headers, signal: controller.signal });
    if (response.status !== 200 || !response.body) throw new Error(`${url}: ${response.status}`);
    return new SentEvents(response.body, controller);
  }

  /** The next event that has data; comments and `retry` pass unseen. */
  async next(): Promise<SentEvent> {
    for (;;) {
      const end = this.#text.indexOf('\n\n');
      if (end >= 0) {
        const block = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        const fields = new Map(
          block.split('\n').map((line) => [line.split(': ')[0], line.split(': ').slice(1).join(': ')]),
        );
        const data = fields.get('data');
        if (data !== undefined)
          return {
            id: fields.get('id') ?? '',
            type: fields.get('event') ?? 'message',
            data: JSON.parse(data) as unknown,
          };
        continue;
      }
      const { value, done } = await this.#reader.read();
      if (done) throw new Error('the stream ended');
      this.#text += value;
    }
  }

  close(): void {
    this.#controller.abort();
  }
}
