import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

const secret = 'wJalrXUtnFEMI/K7MDENG';
const sha = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** Whether a request is signed by the one key there is, computed from what was received. */
function isSigned({ method, url = '', headers }: IncomingMessage): boolean {
  const [, id, day, region, names = '', signature] =
    /^AWS4-HMAC-SHA256 Credential=(\w+)\/(\d{8})\/([\w-]+)\/s3\/aws4_request,SignedHeaders=([\w;-]+),Signature=(\w{64})$/.exec(
      headers['authorization'] ?? '',
    ) ?? [];
  if (id !== 'ID' || region !== 'eu-test-1' || day === undefined) return false;
  if (!names.split(';').includes('host')) return false;
  const signed = names.split(';').map((name) => `${name}:${String(headers[name])}\n`);
  const canonical = `${method}\n${url}\n\n${signed.join('')}\n${names}\n${String(headers['x-amz-content-sha256'])}`;
  const text = `AWS4-HMAC-SHA256\n${String(headers['x-amz-date'])}\n${day}/${region}/s3/aws4_request\n${sha(canonical)}`;
  let signing: Buffer | string = `AWS4${secret}`;
  for (const part of [day, region, 's3', 'aws4_request']) signing = createHmac('sha256', signing).update(part).digest();
  return createHmac('sha256', signing).update(text).digest('hex') === signature;
}

/** An object store over HTTP that believes no signature it cannot compute. */
export class ObjectServer {
  readonly objects = new Map<string, Buffer>();
  readonly asked: string[] = [];
  /** Requests that it answers with 503 before any other. */
  busy = 0;
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => void chunks.push(chunk));
      request.on('end', () => {
        const { method = '', url = '' } = request;
        this.asked.push(`${method} ${url}`);
        const body = Buffer.concat(chunks);
        const found = this.objects.get(url);
        if (this.busy-- > 0) return void response.writeHead(503).end('<Error><Message>Slow down</Message></Error>');
        if (!isSigned(request) || sha(body) !== request.headers['x-amz-content-sha256'])
          return void response.writeHead(403).end('<Error><Message>The signature does not match</Message></Error>');
        if (method === 'PUT') {
          this.objects.set(url, body);
          response.writeHead(200).end();
        } else if (method === 'DELETE') {
          this.objects.delete(url);
          response.writeHead(204).end();
        } else response.writeHead(found ? 200 : 404).end(method === 'GET' ? found : undefined);
      });
    });
  }

  /** @returns the variables that lead to it. */
  async start(): Promise<NodeJS.ProcessEnv> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return {
      AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`,
      AWS_REGION: 'eu-test-1',
      AWS_ACCESS_KEY_ID: 'ID',
      AWS_SECRET_ACCESS_KEY: secret,
    };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
