import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { emptyPayload, signedHeaders, type UnsignedRequest } from '../../jobs/signature.ts';

// The examples of AWS's documentation, "Authenticating Requests: Using the Authorization Header".
const key = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  region: 'us-east-1',
};
const now = new Date('2013-05-24T00:00:00.000Z');
const at = (path: string): URL => new URL(path, 'https://examplebucket.s3.amazonaws.com');

const examples: readonly (readonly [string, UnsignedRequest, string])[] = [
  [
    'a part of an object',
    { method: 'GET', url: at('/test.txt'), headers: { Range: 'bytes=0-9' }, payloadSha256: emptyPayload },
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  ],
  [
    'an object that is put',
    {
      method: 'PUT',
      url: at('/test$file.text'),
      headers: { Date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
      payloadSha256: createHash('sha256').update('Welcome to Amazon S3.').digest('hex'),
    },
    '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  ],
  [
    "a bucket's life cycle",
    { method: 'GET', url: at('/?lifecycle'), payloadSha256: emptyPayload },
    'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  ],
  [
    "a bucket's list",
    { method: 'GET', url: at('/?max-keys=2&prefix=J'), payloadSha256: emptyPayload },
    '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  ],
];

describe('a signature of a request to S3', () => {
  it.each(examples)('is what AWS publishes for %s', (_name, request, signature) => {
    const { authorization = '' } = signedHeaders(request, key, now);
    expect(/Signature=(.*)$/.exec(authorization)?.[1]).toBe(signature);
    expect(authorization).toMatch(/^AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE\/20130524\/us-east-1\/s3\/aws4_/);
  });

  it('covers a session token, and holds no secret', () => {
    const request = { method: 'GET', url: at('/x'), payloadSha256: emptyPayload };
    const headers = signedHeaders(request, { ...key, sessionToken: 'a-token' }, now);
    expect(headers['authorization']).toContain(
      'SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,',
    );
    expect(JSON.stringify(headers)).not.toContain(key.secretAccessKey);
  });
});
