import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';

/** Whether this host has a redis-server; tests that need one are skipped without it, and say so. */
export const hasRedis = spawnSync('redis-server', ['--version']).status === 0;

/** How a server of ours differs from the usual one: redis.conf by lines of a command line. */
export interface RedisServerOptions {
  readonly settings?: readonly string[];
  /** Speaks TLS only, with these files. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly authority: string };
}

const settings = ['--bind', '127.0.0.1', '--appendonly', 'yes', '--save', '', '--maxmemory-policy', 'noeviction'];

/** A redis-server of our own: on a free port of this host, its data in a folder that is removed in the end. */
export class RedisServer {
  #port: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'ridgepoint-redis-'));
  #process: ChildProcess | undefined;

  readonly #options: RedisServerOptions;

  private constructor(port: number, options: RedisServerOptions) {
    this.#port = port;
    this.#options = options;
  }

  /** Starts one with an append-only file that is synchronised every second. */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), options);
    // Between asking for a free port and using it somebody else may take it.
    for (let tries = 5; ; tries--)
      try {
        await server.up();
        return server;
      } catch (error) {
        if (tries === 0) throw error;
        server.#port = await freePort();
      }
  }

  get url(): string {
    return `${this.#options.tls ? 'rediss' : 'redis'}://127.0.0.1:${this.#port}`;
  }

  /** Starts it, after a kill with what its file holds. */
  async up(): Promise<void> {
    const { tls, settings: own = [] } = this.#options;
    const port = String(this.#port);
    const listening = tls
      ? ['--port', '0', '--tls-port', port, '--tls-cert-file', tls.certificate, '--tls-key-file', tls.key].concat([
          '--tls-ca-cert-file',
          tls.authority,
          '--tls-auth-clients',
          'no',
        ])
      : ['--port', port];
    const child = spawn('redis-server', [...listening, '--dir', this.#folder, ...settings, ...own], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#process = child;
    for await (const line of createInterface({ input: child.stdout }))
      if (line.includes('Ready to accept connections')) return void child.stdout.resume();
    throw new Error('redis-server did not start');
  }

  /** Kills it without a word (`kill -9`). */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** Kills it and removes its folder, once the child that may be writing its file anew has ended too. */
  async remove(): Promise<void> {
    await this.kill();
    for (let tries = 100; ; tries--)
      try {
        return rmSync(this.#folder, { recursive: true, force: true });
      } catch (error) {
        if (tries === 0) throw error;
        await setTimeout(100);
      }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
