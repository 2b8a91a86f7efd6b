import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { digestBytes } from '../../../core/digest.ts';
import { InvalidFileError } from '../../../core/errors.ts';
import { parseNetworkSpec, specDigest } from '../../../models/spec.ts';
import { VerificationError } from '../../../study/deliver/deliver-phase.ts';
import type { EventOf, EventType } from '../../../study/journal/events.ts';
import { exportFamily } from '../../../study/deliver/export.ts';
import { journalPath } from '../../../study/journal/journal.ts';
import { summarise } from '../../../study/deliver/summarise.ts';
import { rebuildResults } from '../../../study/deliver/results.ts';
import { eventsOf, newFolder, runFake, smallStudy } from '../small-study.ts';

const config = smallStudy();
const folder = newFolder();

/** A copy of the finished study, its journal cut after the first event that `last` accepts. */
function copyUntil(last?: (event: ReturnType<typeof eventsOf>[number]) => boolean): string {
  const copy = newFolder();
  cpSync(folder, copy, { recursive: true });
  if (!last) return copy;
  const count = eventsOf(folder).findIndex(last) + 1;
  const lines = readFileSync(journalPath(folder), 'utf8').split('\n').slice(0, count);
  writeFileSync(journalPath(copy), lines.map((line) => `${line}\n`).join(''));
  return copy;
}

function eventsOfType<Type extends EventType>(type: Type): EventOf<Type>[] {
  return eventsOf(folder).filter((event): event is EventOf<Type> => event.type === type);
}

/** Changes one byte in the middle of a file. */
function damage(path: string): void {
  const bytes = readFileSync(path);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] ?? 0) ^ 0x40;
  writeFileSync(path, bytes);
}

const read = (path: string) => readFileSync(join(folder, path), 'utf8');
const artefactPath = (where: string, digest: string) => join(where, 'artefacts', digest.replace(':', '-'));
const isDeliveryStart = ({ type, id }: { readonly type: string; readonly id: string }) =>
  type === 'phase' && id === 'deliver';

const onnx = () => eventsOfType('artefact').filter(({ id }) => id.startsWith('onnx '));
const weights = () =>
  eventsOfType('outcome').flatMap(({ outcome }) =>
    outcome.status === 'ok' && outcome.checkpoint ? [outcome.checkpoint] : [],
  );

/** How many processes some work starts to score files. */
async function scoringProcesses(work: () => Promise<unknown>): Promise<number> {
  const started: ChildProcess[] = [];
  const onStart = (message: unknown): void =>
    void started.push((message as { readonly process: ChildProcess }).process);
  subscribe('child_process', onStart);
  await work().finally(() => unsubscribe('child_process', onStart));
  return started.filter(({ spawnargs }) => spawnargs.some((text) => text.includes('score-child'))).length;
}

beforeAll(async () => {
  await runFake(config, folder);
});

describe('delivery', () => {
  it.each(['1x', '2x'])('puts the files of %s where they belong', (size) => {
    const path = join('family', 'edge', size);
    const digest = digestBytes(readFileSync(join(folder, path, 'model.onnx')));
    const spec = parseNetworkSpec(parseYaml(read(join(path, 'spec.yaml'))), 'spec.yaml');
    const metrics = JSON.parse(read(join(path, 'metrics.json'))) as Record<string, unknown>;
    expect(metrics).toMatchObject({
      schema: 1,
      target: 'edge',
      size,
      digest,
      testAccuracy: { values: [expect.any(Number)] },
    });
    expect(read(join(path, 'card.md'))).toContain(digest);
    expect(
      eventsOfType('issued').some((trial) => trial.phase === 'train' && trial.specDigest === specDigest(spec)),
    ).toBe(true);
  });

  it('does not claim a p99 limit of a file that only a p90 is known of, and warns', () => {
    const limited = { edge: { ...config.targets['edge'], limit: { percentile: 99, ms: 1e9 } } };
    const events = eventsOf(folder).map((event) => {
      if (event.type === 'study' && event.action === 'created')
        return { ...event, config: { ...config, targets: limited } };
      return event.type === 'measured' ? { ...event, latency: { ...event.latency, p99Ms: null, samples: 40 } } : event;
    });
    const { targets, warnings } = summarise(events);
    expect(targets[0]?.lines[0]?.members[0]?.limitMet).toBe('unknown');
    expect(warnings).toContainEqual(
      expect.stringMatching(/^edge: whether .* 1x meets the limit is not known: .* 40 samples are too few for a p99$/),
    );
  });

  it('writes a manifest whose digests are those of the files', () => {
    const manifest = JSON.parse(read('manifest.json')) as {
      schema: number;
      finished: boolean;
      files: Record<string, string>;
    };
    expect(manifest).toMatchObject({ schema: 1, finished: true });
    const family = ['model.onnx', 'spec.yaml', 'card.md', 'metrics.json'];
    expect(Object.keys(manifest.files).toSorted()).toEqual(
      [
        ...family.flatMap((file) => [`family/edge/1x/${file}`, `family/edge/2x/${file}`]),
        'family.csv',
        'journal.jsonl',
        'pareto.csv',
        'report.html',
        'resolved.yaml',
        'trials.csv',
      ].toSorted(),
    );
    for (const [path, digest] of Object.entries(manifest.files))
      expect(digestBytes(readFileSync(join(folder, path))), path).toBe(digest);
  });

  it('writes the columns of trials.csv that were promised', () => {
    const [header, ...rows] = read('trials.csv').trimEnd().split('\n');
    expect(header).toBe(
      'id,phase,candidate,status,reason,fidelity_examples,accuracy,cross_entropy,latency_ms.edge,cost_s,started,ended',
    );
    expect(rows).toHaveLength(eventsOfType('issued').length);
    expect(rows[0]).toMatch(
      /^t0001,search,"\{""head\.activation"".*\}",ok,,100,0\.\d+,[\d.]+,[\d.]+,[\d.]+,2026-01-01T\S+Z,2026-01-01T\S+Z$/,
    );
  });

  it('trains a size again at a fidelity already tried, for weights to deliver', async () => {
    const again = newFolder();
    const { summary } = await runFake(smallStudy({ final: { examples: 100, seeds: 1, baselines: [] } }), again);
    expect(summary.finished).toBe(true);
  });

  it('scores each file on both splits in one process, and only what is not scored yet', async () => {
    const scores = eventsOfType('decision').filter(({ id }) => /^score (holdout|test) t/.test(id));
    const files = new Set(scores.map(({ id }) => id.split(' ').at(-1)));
    expect(scores).toHaveLength(2 * files.size);
    for (const [last, expected] of [
      [isDeliveryStart, files.size],
      [({ id }: { readonly id: string }) => id === scores.at(-2)?.id, 1],
    ] as const) {
      const copy = copyUntil(last);
      const started = await scoringProcesses(() => runFake(config, copy));
      expect(started).toBe(expected);
      const again = eventsOf(copy).filter(({ id }) => scores.some((score) => score.id === id));
      expect(again.map((event) => 'value' in event && event.value)).toEqual(scores.map(({ value }) => value));
    }
  });

  it('rebuilds everything it shows from the journal alone', async () => {
    const copy = copyUntil();
    const shown = [
      'trials.csv',
      'pareto.csv',
      'family.csv',
      'report.html',
      'family/edge/2x/metrics.json',
      'family/edge/2x/card.md',
    ];
    for (const file of [...shown, 'manifest.json']) rmSync(join(copy, file));
    await rebuildResults(copy);
    for (const file of [...shown, 'manifest.json'])
      expect(readFileSync(join(copy, file), 'utf8'), file).toBe(read(file));
  });
});

describe('what is delivered is what was trained:', () => {
  it('weights changed on disk are refused', async () => {
    const copy = copyUntil(isDeliveryStart);
    const digest = weights()[0] ?? '';
    damage(artefactPath(copy, digest));
    await expect(runFake(config, copy)).rejects.toThrow(InvalidFileError);
    await expect(runFake(config, copy)).rejects.toThrow(digest);
    expect(existsSync(join(copy, 'lease.json'))).toBe(false);
  });

  it('an exported file that was damaged or lost is exported again', async () => {
    const [first, second] = onnx();
    const copy = copyUntil(({ type, id }) => type === 'artefact' && id === second?.id);
    damage(artefactPath(copy, first?.digest ?? ''));
    rmSync(artefactPath(copy, second?.digest ?? ''));
    await runFake(config, copy);
    for (const size of ['1x', '2x'])
      expect(readFileSync(join(copy, 'family/edge', size, 'model.onnx'))).toEqual(
        readFileSync(join(folder, 'family/edge', size, 'model.onnx')),
      );
  });

  it('a file that scores otherwise than the trainer said is refused', async () => {
    const [kept] = eventsOfType('outcome').filter(({ outcome }) => 'checkpoint' in outcome);
    const digest = kept?.outcome.status === 'ok' ? (kept.outcome.checkpoint ?? '') : '';
    const cost = { trainS: 1, measureS: 0, examples: 200, flops: 1, peakRssBytes: 0 };
    const answer = (_call: number, { id }: { readonly id: string }) =>
      id === kept?.id
        ? ({ status: 'ok', metrics: { accuracy: 0.99, crossEntropy: 0.1 }, cost, checkpoint: digest } as const)
        : undefined;
    const copy = copyUntil(({ type, id }) => type === 'issued' && id === kept?.id);
    const error = await runFake(config, copy, { answer }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(VerificationError);
    expect(String(error)).toMatch(/t\d{4}: expected .* 99\.00 % within [\d.]+ points, got/);
    expect(existsSync(join(copy, 'report.html.part'))).toBe(false);
  });

  it('a delivered file changed later is not exported, nor made right by a new report', async () => {
    const copy = copyUntil();
    damage(join(copy, 'family/edge/2x/model.onnx'));
    const to = join(newFolder(), '..', 'exported');
    await expect(exportFamily(copy, to, {})).rejects.toThrow(
      /2x\/model\.onnx: expected sha256:[0-9a-f]{64} as in the manifest, got sha256/,
    );
    await rebuildResults(copy);
    await expect(exportFamily(copy, to, {})).rejects.toThrow(/as in the manifest/);
    expect(existsSync(to)).toBe(false);
    expect(await exportFamily(copy, to, { size: '1x' })).toHaveLength(4);
    expect(readFileSync(join(to, 'family/edge/1x/model.onnx'))).toEqual(
      readFileSync(join(folder, 'family/edge/1x/model.onnx')),
    );
    await expect(exportFamily(copy, to, { size: '1x' })).rejects.toThrow(/does not exist yet/);
    await expect(exportFamily(copy, to, { size: '8x' })).rejects.toThrow(/found none/);
  });
});
