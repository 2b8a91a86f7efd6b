import { createHash, createHmac } from 'node:crypto';

/** Who signs. The secret is used to compute, and never sent. */
export interface SigningKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  readonly region: string;
}

/** A request to S3 before it is signed. */
export interface UnsignedRequest {
  readonly method: string;
  readonly url: URL;
  /** Sent beside those that signing adds; all of them are signed. */
  readonly headers?: Readonly<Record<string, string>>;
  /** SHA-256 of the body, in hex: for a file by digest it is its name. */
  readonly payloadSha256: string;
}

/** SHA-256 of an empty body. */
export const emptyPayload = createHash('sha256').update('').digest('hex');

const algorithm = 'AWS4-HMAC-SHA256';

/**
 * Headers of a request signed by AWS Signature Version 4 for S3: the given ones, and `host`, `x-amz-date`,
 * `x-amz-content-sha256`, `x-amz-security-token` and `authorization`.
 * @see AWS, "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)"; its examples are our tests.
 */
export function signedHeaders(
  { method, url, headers = {}, payloadSha256 }: UnsignedRequest,
  key: SigningKey,
  now: Date,
): Record<string, string> {
  const time = now.toISOString().replaceAll(/[-:]|\.\d{3}/g, '');
  const day = time.slice(0, 8);
  const all: Record<string, string> = {
    ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value.trim()])),
    host: url.host,
    'x-amz-date': time,
    'x-amz-content-sha256': payloadSha256,
    ...(key.sessionToken === undefined ? {} : { 'x-amz-security-token': key.sessionToken }),
  };
  const names = Object.keys(all).toSorted();
  const canonical = [
    method,
    url.pathname
      .split('/')
      .map((part) => encoded(decodeURIComponent(part)))
      .join('/'),
    canonicalQuery(url),
    ...names.map((name) => `${name}:${all[name]}`),
    '',
    names.join(';'),
    payloadSha256,
  ].join('\n');
  const scope = `${day}/${key.region}/s3/aws4_request`;
  const text = [algorithm, time, scope, createHash('sha256').update(canonical).digest('hex')].join('\n');
  const signing = [day, key.region, 's3', 'aws4_request'].reduce<string | Buffer>(
    (secret, part) => createHmac('sha256', secret).update(part).digest(),
    `AWS4${key.secretAccessKey}`,
  );
  const signature = createHmac('sha256', signing).update(text).digest('hex');
  const authorization = `${algorithm} Credential=${key.accessKeyId}/${scope},SignedHeaders=${names.join(';')},Signature=${signature}`;
  return { ...all, authorization };
}

/** As URIs are encoded for signing: unreserved characters stay as they are, all others become %XX. */
function encoded(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function canonicalQuery({ searchParams }: URL): string {
  return [...searchParams]
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .toSorted()
    .join('&');
}
