import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError, EnvironmentError, InvalidFileError } from '../core/errors.ts';
import type { FolderArtefacts } from '../study/artefacts.ts';
import { emptyPayload, signedHeaders, type SigningKey } from './signature.ts';
import type { SharedStore } from './store.ts';

/** Whether a store is named as S3 is. */
export function isS3(place: string): boolean {
  return place.startsWith('s3://');
}

interface S3Place {
  readonly bucket: string;
  /** Ends in "/" unless it is empty. */
  readonly prefix: string;
  /** Of a server that is not AWS; buckets are the first part of its paths. */
  readonly endpoint: URL | undefined;
  readonly key: SigningKey;
}

/** What one PUT may carry. */
const largestBytes = 5 * 2 ** 30;
/** Tries of a request that fails for reasons that pass, and the pause before the second, which doubles. */
const tries = 4;
const firstPauseMs = 250;
/** Silence of a server after which a request is tried again. */
const silenceMs = 60_000;

/**
 * A store in an S3-compatible object store. A file's key is the prefix and its digest, so nothing but digests can be asked
 * for; its SHA-256 is signed with it when it is sent, and checked when it has come.
 * @param place `s3://bucket/prefix`; region, endpoint and credentials come from the variables that AWS's own tools read.
 * @throws {ConfigError} naming what is missing.
 */
export function openS3Store(place: string, here: FolderArtefacts, env: NodeJS.ProcessEnv): SharedStore {
  const s3 = placeOf(place, env);
  return {
    here,
    publish: async (digest) => {
      // Before anything is asked for: it refuses what is no digest.
      const path = here.path(digest);
      if ((await ask(s3, 'HEAD', digest)).status === 200) return;
      const { size } = await stat(path);
      if (size > largestBytes)
        throw new EnvironmentError(`${path}: expected at most 5 GiB, which one S3 request carries, got ${size} bytes`);
      expectStatus(await ask(s3, 'PUT', digest, { path, size }), `${place}: putting ${digest}`);
    },
    fetch: async (digest) => {
      // Also what a killed process left half-written is not here: files are renamed into place.
      if (here.has(digest)) return;
      const answer = await ask(s3, 'GET', digest, { into: here });
      if (answer.status === 404) throw new InvalidFileError(`${place}: no artefact ${digest}`);
      expectStatus(answer, `${place}: getting ${digest}`);
      if (answer.found !== digest) throw new InvalidFileError(`${place}: expected ${digest}, got ${answer.found}`);
    },
    release: (digest) => here.remove(digest),
    remove: async (digest) => {
      await here.remove(digest);
      expectStatus(await ask(s3, 'DELETE', digest), `${place}: deleting ${digest}`);
    },
  };
}

function placeOf(place: string, env: NodeJS.ProcessEnv): S3Place {
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([\w./-]*))?$/.exec(place);
  const [, bucket, prefix = ''] = match ?? [];
  if (bucket === undefined || prefix.split('/').includes('..'))
    throw new ConfigError(`--store: expected s3://bucket/prefix, got ${JSON.stringify(place)}`);
  const [accessKeyId, secretAccessKey] = [env['AWS_ACCESS_KEY_ID'], env['AWS_SECRET_ACCESS_KEY']];
  if (!accessKeyId || !secretAccessKey)
    throw new ConfigError(`--store ${place}: expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, got none`);
  const region = env['AWS_REGION'] ?? env['AWS_DEFAULT_REGION'] ?? 'us-east-1';
  const text = env['AWS_ENDPOINT_URL_S3'] ?? env['AWS_ENDPOINT_URL'];
  if (text !== undefined && !(URL.canParse(text) && /^https?:/.test(text)))
    throw new ConfigError(`AWS_ENDPOINT_URL_S3: expected http://… or https://…, got ${JSON.stringify(text)}`);
  return {
    bucket,
    prefix: prefix === '' ? '' : `${prefix.replace(/^\/+|\/+$/g, '')}/`,
    endpoint: text === undefined ? undefined : new URL(text),
    key: { accessKeyId, secretAccessKey, sessionToken: env['AWS_SESSION_TOKEN'], region },
  };
}

function urlOf({ bucket, prefix, endpoint, key }: S3Place, digest: string): URL {
  const name = `${prefix}${digest.replace(':', '-')}`;
  if (endpoint === undefined) return new URL(`https://${bucket}.s3.${key.region}.amazonaws.com/${name}`);
  return new URL(`${endpoint.pathname.replace(/\/$/, '')}/${bucket}/${name}`, endpoint);
}

interface Answer {
  readonly status: number;
  /** What the server says of a failure. */
  readonly text?: string;
  /** Digest of what was stored. */
  readonly found?: string;
}

interface Body {
  /** What is sent. */
  readonly path?: string;
  readonly size?: number;
  /** Where what comes is stored. */
  readonly into?: FolderArtefacts;
}

/** A request, tried again while it fails for reasons that pass: the network, or a server that is busy. */
async function ask(s3: S3Place, method: string, digest: string, body: Body = {}): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await askOnce(s3, method, digest, body);
      if (answer.status < 500 || attempt >= tries) return answer;
    } catch (cause) {
      if (attempt >= tries)
        throw new EnvironmentError(`s3://${s3.bucket}: expected an answer, but ${(cause as Error).message}`, {
          cause,
          retry: true,
        });
    }
    await delay(firstPauseMs * 2 ** (attempt - 1));
  }
}

async function askOnce(s3: S3Place, method: string, digest: string, { path, size, into }: Body): Promise<Answer> {
  const url = urlOf(s3, digest);
  const payloadSha256 = path === undefined ? emptyPayload : digest.replace('sha256:', '');
  const headers = signedHeaders(
    { method, url, payloadSha256, ...(size === undefined ? {} : { headers: { 'content-length': String(size) } }) },
    s3.key,
    new Date(),
  );
  const outgoing = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, { method, headers });
  outgoing.setTimeout(silenceMs, () => outgoing.destroy(new Error(`silent for ${silenceMs / 1000} s`)));
  const answered = new Promise<IncomingMessage>((settle, reject) => {
    outgoing.once('response', settle);
    outgoing.once('error', reject);
  });
  answered.catch(() => {});
  if (path === undefined) outgoing.end();
  // A server that refuses answers before all is sent.
  else await Promise.race([pipeline(createReadStream(path), outgoing), answered]);
  const response = await answered;
  const status = response.statusCode ?? 0;
  if (status === 200 && into) return { status, found: await into.put(response) };
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text = `${text}${chunk}`.slice(0, 2000);
  return { status, text };
}

function expectStatus({ status, text = '' }: Answer, what: string): void {
  if (status === 200 || status === 204) return;
  const message = /<Message>(.*?)<\/Message>/s.exec(text)?.[1] ?? '';
  throw new EnvironmentError(`${what}: expected 200, got ${status}${message && ` (${message})`}`, {
    retry: status >= 500,
  });
}
