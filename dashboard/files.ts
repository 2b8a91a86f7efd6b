import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { extname, join, posix, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { memberFolder } from '../study/deliver/deliver-phase.ts';
import { variantPrecisions } from '../study/deliver/quantize.ts';
import { resultNames } from '../study/deliver/result-files.ts';
import { sharedFiles, sharedFolder } from '../study/deliver/shared-family.ts';
import { variantFile } from '../study/deliver/variants.ts';

/** What a study leaves in the folder of a delivered network. */
const memberFiles: readonly string[] = [
  ...Object.values(sharedFiles),
  ...variantPrecisions.map(variantFile),
  'spec.yaml',
  'card.md',
  'metrics.json',
];

/** What of a study's folder may be read, by its path there: results, and what was delivered. Not its data, not its store. */
function isServed(path: string): boolean {
  const [folder, file] = [posix.dirname(path), posix.basename(path)];
  const [, target = '', size = ''] = folder.split('/');
  return folder === '.'
    ? resultNames.some((name) => name === path)
    : memberFiles.includes(file) && [memberFolder({ target, size }), sharedFolder(target)].includes(folder);
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.csv': 'text/csv; charset=utf-8',
  '.yaml': 'text/plain; charset=utf-8',
  '.md': 'text/plain; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.json': 'application/json',
  '.jsonl': 'application/x-ndjson',
  '.onnx': 'application/octet-stream',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
};

/** The report has its style inside, and nothing else that does anything; what it links may be opened and downloaded. */
const reportPolicy =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups allow-downloads; frame-ancestors 'none'";

/**
 * The file at a path below a folder, by its real name.
 * @returns undefined where there is none, or a link leads out of the folder.
 */
export async function confined(folder: string, path: string): Promise<string | undefined> {
  if (path.split(/[\\/]/).includes('..') || path.includes('\0')) return undefined;
  try {
    const [root, file] = await Promise.all([realpath(folder), realpath(join(folder, path))]);
    const isBelow = file.startsWith(root.endsWith(sep) ? root : `${root}${sep}`);
    return isBelow && (await stat(file)).isFile() ? file : undefined;
  } catch {
    return undefined;
  }
}

/** A file of a study that people may read. @param path below the study's folder, with `/`. */
export async function servedFile(folder: string, path: string): Promise<string | undefined> {
  return isServed(path) ? confined(folder, path) : undefined;
}

/** Sends a file as what its name says it is. */
export async function sendFile(
  response: ServerResponse,
  file: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { size } = await stat(file);
  const type = types[extname(file)] ?? 'application/octet-stream';
  if (type.startsWith('text/html')) response.setHeader('content-security-policy', reportPolicy);
  response.writeHead(200, { 'content-type': type, 'content-length': size, ...headers });
  if (response.req.method === 'HEAD') return void response.end();
  await pipeline(createReadStream(file, { end: Math.max(0, size - 1) }), response).catch(() => response.destroy());
}
