import { describe, expect, it } from 'vitest';
import {
  AcceleratorUnavailableError,
  DeviceLostError,
  UnsupportedModelError,
} from '../../../accelerators/onnxruntime.ts';
import { exitCodeOf } from '../../../cli/exit.ts';
import { EnvironmentError, fromWire, InfeasibleModelError, InterruptedError, toWire } from '../../../core/errors.ts';
import type { Latency } from '../../../latency/latency.ts';
import { type NetworkSpec, specDigest } from '../../../models/spec.ts';
import type { ProtocolPreset } from '../../../latency/protocol.ts';
import type { LatencyMeter } from '../../../study/context.ts';
import { countSpec } from '../../../study/evaluation/evaluate.ts';
import type { JournalEvent } from '../../../study/journal/events.ts';
import type { TargetConfig } from '../../../study/study-file.ts';
import { eventsOf, newFolder, runFake, smallStudy } from '../small-study.ts';

// What a device does that no test can make a real one do, as the measuring process would tell it.

const config = smallStudy({
  targets: { edge: { device: 'webgpu' } },
  search: { scale: 'tiny', controller: 'random', trials: 6, round: 3, examples: 100, finalists: 1, seeds: 1 },
  family: { edge: ['1x'] },
});

function latencyOf(spec: NetworkSpec): Latency {
  const ms = countSpec(spec).macs / 1e6;
  return {
    source: 'measured',
    accelerator: 'webgpu',
    batch: 1,
    threads: 1,
    precision: 'fp32',
    p50Ms: ms,
    p90Ms: ms,
    p99Ms: null,
    intervalMs: { percentile: 50, level: 0.95, lo: ms, hi: ms },
    sessions: 3,
    samples: 30,
    stable: true,
    drift: 0,
    rejectedBlocks: 0,
    includesIo: true,
    calibrated: true,
    fingerprint: null,
  };
}

/** Fails by what a script says of a network's place in the order of measuring, from 0, and the attempt, from 1. */
class FailingMeter implements LatencyMeter {
  readonly attempts = new Map<string, number>();
  readonly #failure: (network: number, attempt: number) => Error | undefined;

  constructor(failure: (network: number, attempt: number) => Error | undefined) {
    this.#failure = failure;
  }

  async measureSpec(spec: NetworkSpec, _target: TargetConfig, protocol?: ProtocolPreset): Promise<Latency> {
    // Of what was chosen.
    if (protocol === 'thorough') return latencyOf(spec);
    const digest = specDigest(spec);
    this.attempts.set(digest, (this.attempts.get(digest) ?? 0) + 1);
    const network = [...this.attempts.keys()].indexOf(digest);
    const failure = this.#failure(network, this.attempts.get(digest) as number);
    // Through the pipe to the parent, as from a real measuring process.
    if (failure) throw fromWire(structuredClone(toWire(failure)));
    return latencyOf(spec);
  }

  async measureFile(): Promise<Latency> {
    throw new Error('expected the study to end before delivery');
  }

  async close(): Promise<void> {}
}

/** Runs a study until its search is over. */
async function searched(failure: (network: number, attempt: number) => Error | undefined) {
  const folder = newFolder();
  const controller = new AbortController();
  const meter = new FailingMeter(failure);
  const trained: string[] = [];
  const error = await runFake(config, folder, {
    signal: controller.signal,
    makeMeter: () => meter,
    onEvent: ({ type, id }: JournalEvent) => {
      if (type === 'decision' && id === 'base') controller.abort();
    },
    answer: (_call, { id }) => {
      trained.push(id);
      return undefined;
    },
  }).catch((thrown: unknown) => thrown);
  const outcomes = eventsOf(folder).flatMap((event) => (event.type === 'outcome' ? [event] : []));
  return { error, meter, trained, outcomes };
}

const lost = () => new DeviceLostError('webgpu: expected the device to stay, but it was lost');

describe('a device that is lost while a candidate is measured', () => {
  it('costs a second try when it comes back, and nothing else', async () => {
    const { error, meter, outcomes } = await searched((network, attempt) =>
      network === 1 && attempt === 1 ? lost() : undefined,
    );
    expect(error).toBeInstanceOf(InterruptedError);
    expect([...meter.attempts.values()].slice(0, 3)).toEqual([1, 2, 1]);
    expect(outcomes.map(({ outcome }) => outcome.status)).not.toContain('failed');
  });

  it('fails the candidate after three tries, untrained, and the study goes on', async () => {
    const { error, meter, trained, outcomes } = await searched((network) => (network === 1 ? lost() : undefined));
    expect(error).toBeInstanceOf(InterruptedError);
    const failed = outcomes.filter(({ outcome }) => outcome.status === 'failed');
    expect(failed).toHaveLength(1);
    expect(failed[0]?.outcome).toMatchObject({ code: 'device-lost', detail: expect.stringContaining('it was lost') });
    expect([...meter.attempts.values()][1]).toBe(3);
    expect(trained).not.toContain(failed[0]?.id);
    expect(trained.length).toBeGreaterThan(2);
  });

  it('stops the study with the reason when no candidate can be measured any more', async () => {
    const { error, trained } = await searched(lost);
    expect(error).toBeInstanceOf(EnvironmentError);
    expect((error as Error).message).toMatch(
      /\d+ of \d+ evaluations failed, so the study stopped; the last: device-lost: webgpu: expected the device to stay/,
    );
    expect(exitCodeOf(error)).toBe(5);
    expect(trained).toEqual([]);
  });
});

describe('a candidate that a device cannot run', () => {
  it.each([
    [
      'unsupported',
      () => new UnsupportedModelError("webgpu: expected to run every node, got 1 of 9 elsewhere: 'x' (Unique) on cpu"),
      { detail: expect.stringContaining("'x' (Unique)") },
    ],
    [
      'out-of-memory',
      () => new InfeasibleModelError('cuda: does not fit', { reason: 'out-of-memory', observed: 81e9, limit: 80e9 }),
      { observed: 81e9, limit: 80e9 },
    ],
  ])('is infeasible, %s, asked about once and never trained', async (reason, failure, more) => {
    const { error, meter, trained, outcomes } = await searched((network) => (network === 2 ? failure() : undefined));
    expect(error).toBeInstanceOf(InterruptedError);
    const infeasible = outcomes.filter(({ outcome }) => outcome.status === 'infeasible');
    expect(infeasible).toHaveLength(1);
    expect(infeasible[0]?.outcome).toMatchObject({ reason, ...more });
    expect([...meter.attempts.values()][2]).toBe(1);
    expect(trained).not.toContain(infeasible[0]?.id);
  });
});

it('a provider that is not here stops the study at once with the reason', async () => {
  const absent = new AcceleratorUnavailableError('webgpu: expected a usable device, got: No supported adapters');
  const { error, meter, outcomes } = await searched(() => absent);
  expect(error).toMatchObject({ code: 'accelerator-unavailable', message: absent.message });
  expect(exitCodeOf(error)).toBe(5);
  expect([...meter.attempts.values()]).toEqual([1]);
  expect(outcomes).toEqual([]);
});
