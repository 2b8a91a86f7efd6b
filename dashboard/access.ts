import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { ConfigError } from '../core/errors.ts';

/** Shorter tokens can be guessed. */
const fewestCharacters = 16;
const variable = 'RIDGEPOINT_DASHBOARD_TOKEN';

/** Whether an address is this machine's alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** A token, and whether it was made now and nobody knows it yet. */
export interface Token {
  readonly secret: string;
  readonly generated: boolean;
}

/**
 * The token that visitors must show: that of the environment, `RIDGEPOINT_DASHBOARD_TOKEN_FILE` or
 * `RIDGEPOINT_DASHBOARD_TOKEN`, else a new one where one is asked for.
 * @returns undefined when there is none and none is needed.
 * @throws {ConfigError} for another address than this machine's without a token, and for a token that can be guessed.
 */
export function tokenFor(
  { host, wanted }: { readonly host: string; readonly wanted: boolean },
  env: NodeJS.ProcessEnv = process.env,
): Token | undefined {
  const secret = tokenIn(env);
  if (secret !== undefined) {
    if (secret.length < fewestCharacters)
      throw new ConfigError(
        `${variable}: expected at least ${fewestCharacters} characters, got ${secret.length}; "openssl rand -base64 32" makes a good one`,
      );
    return { secret, generated: false };
  }
  if (wanted) return { secret: randomBytes(32).toString('base64url'), generated: true };
  if (isLoopback(host)) return undefined;
  throw new ConfigError(
    `--host ${host}: expected a token, for other machines could read the page; add --token to have one made, or set ${variable}_FILE or ${variable}`,
  );
}

function tokenIn(env: NodeJS.ProcessEnv): string | undefined {
  const file = env[`${variable}_FILE`];
  if (!file) return env[variable] || undefined;
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new ConfigError(`${variable}_FILE: expected a file that can be read, got ${file} (${code})`, { cause });
  }
}

/** Who may see the page. Decides on what a request says of itself; nothing is kept of visitors. */
export class Gate {
  readonly #secret: string | undefined;
  readonly #names: ReadonlySet<string>;
  /** Host names are checked where an address of them could be anybody's. */
  readonly #host: string;

  /** @param names under which the page may be asked for, beside the host it is bound to: those of a proxy, say. */
  constructor({ host, names, secret }: { host: string; names: readonly string[]; secret: string | undefined }) {
    this.#host = host;
    this.#secret = secret;
    this.#names = new Set([host, 'localhost', hostname(), ...names].map((name) => name.toLowerCase()));
  }

  get needsToken(): boolean {
    return this.#secret !== undefined;
  }

  /**
   * Whether a request asks for us by a name of ours. A page elsewhere can point a name of its own at this machine (DNS
   * rebinding), and the browser then takes the two for one site; it cannot choose an address for its name in the header.
   */
  knowsHost({ host }: IncomingHttpHeaders): boolean {
    const name = hostIn(`http://${host ?? ''}`);
    if (name === undefined) return false;
    if (this.#names.has(name)) return true;
    return isLoopback(this.#host) ? isLoopback(name) : isIP(name) !== 0;
  }

  /** Whether a request comes from a page of ours, from no page at all, or from a person who follows a link. */
  knowsOrigin({ origin, host, ...headers }: IncomingHttpHeaders): boolean {
    if (origin !== undefined) return URL.canParse(origin) && new URL(origin).host === host;
    const site = headers['sec-fetch-site'];
    const isFollowed = headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
    return site === undefined || site === 'same-origin' || site === 'none' || isFollowed;
  }

  /** Whether a request shows the token, in its cookie or as `Authorization: Bearer`. */
  admits({ authorization, cookie }: IncomingHttpHeaders, cookieName: string): boolean {
    if (this.#secret === undefined) return true;
    const bearer = /^Bearer (.+)$/i.exec(authorization ?? '')?.[1];
    if (bearer !== undefined) return this.isToken(bearer);
    const shown = cookiesIn(cookie)
      .filter(([name]) => name === cookieName)
      .map(([, value]) => value);
    return shown.some((value) => areEqual(value, this.session));
  }

  isToken(text: string): boolean {
    return this.#secret !== undefined && areEqual(text, this.#secret);
  }

  /** What the cookie holds: proof that the token was known, not the token. */
  get session(): string {
    return createHmac('sha256', this.#secret ?? '')
      .update('ridgepoint dashboard session')
      .digest('base64url');
  }
}

/** In constant time, and whatever their lengths. */
function areEqual(a: string, b: string): boolean {
  return timingSafeEqual(digestOf(a), digestOf(b));
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function hostIn(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '').toLowerCase() : undefined;
}

function cookiesIn(header: string | undefined): readonly (readonly [string, string])[] {
  return (header ?? '').split(';').flatMap((part) => {
    const equals = part.indexOf('=');
    return equals < 0 ? [] : [[part.slice(0, equals).trim(), part.slice(equals + 1).trim()] as const];
  });
}
