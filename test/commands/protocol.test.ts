import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { eventSchema, operations, requestSchema, resultSchemas } from '../../commands/protocol.ts';

const stored = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8'));
const requests = stored('command-requests') as { op: string }[];
const results = stored('command-results') as Record<(typeof operations)[number], { status: string }[]>;

// The stored files are the protocol as programs out there know it: a change that breaks one needs a new version.
describe('ridgepoint.command/1', () => {
  it('has a stored request and stored results for every operation', () => {
    expect(requests.map(({ op }) => op)).toEqual([...operations]);
    expect(Object.keys(results)).toEqual([...operations]);
  });

  it.each(requests.map((request) => [request.op, request]))('still sends the stored request: %s', (_op, request) => {
    expect(requestSchema.parse(request)).toEqual(request);
  });

  it.each(operations.flatMap((op) => results[op].map((result) => [op, result.status, result] as const)))(
    'still reads the stored result: %s %s',
    (op, _status, result) => {
      expect(resultSchemas[op].parse(result)).toMatchObject(result);
    },
  );

  it('takes a program to compute on this host unless it says otherwise', () => {
    const said = { status: 'ok', name: 'a', version: '1', operations: ['describe'] };
    expect(resultSchemas.describe.parse(said)).toMatchObject({ onThisHost: true });
  });

  it.each([
    ['measure', { status: 'ok', samplesMs: [1], includesIo: true, precision: 'fp32', sampelsMs: [2] }],
    ['measure', { status: 'ok', samplesMs: [1], precision: 'fp32' }],
    ['measure', { status: 'infeasible', reason: 'too-hot' }],
    ['train', { status: 'ok', metrics: { top1: { value: 0.5, split: 'holdout', n: 1 } } }],
    ['train', { status: 'ok', metrics: { accuracy: { value: 74.1, split: 'holdout', n: 1 } } }],
    ['train', { status: 'ok', metrics: { accuracy: { value: 0.7, split: 'test', n: 1 } } }],
    ['prepare', { status: 'ok' }],
    ['describe', { status: 'ok', name: 'a', version: '1', operations: [] }],
  ] as const)('refuses a result of %s: %j', (op, result) => {
    expect(resultSchemas[op].safeParse(result).success).toBe(false);
  });

  it.each([
    [{ t: 'progress' }, true],
    [{ t: 'progress', examples: 3_200_000, metrics: { top1: 0.412 }, imagesPerS: 5120 }, true],
    [{ t: 'handle', handle: 'slurm:8812' }, true],
    [{ t: 'handle' }, false],
    [{ t: 'tick' }, false],
  ])('knows an event: %j (%s)', (event, isOne) => {
    expect(eventSchema.safeParse(event).success).toBe(isOne);
  });
});
