import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ConfigError, InterruptedError } from '../../../core/errors.ts';
import type { ProxyQuality } from '../../../search/proxy-quality.ts';
import { countSpec } from '../../../study/evaluation/evaluate.ts';
import type { EventPayload, JournalEvent } from '../../../study/journal/events.ts';
import {
  type AuditedProxy,
  auditProxies,
  auditWarnings,
  type ProxyAudit,
  zeroCostId,
} from '../../../study/search/proxy-audit.ts';
import { StudyRecord } from '../../../study/journal/record.ts';
import { rebuildResults } from '../../../study/deliver/results.ts';
import type { StudyConfig } from '../../../study/study-file.ts';
import type { StudySummary } from '../../../study/deliver/summary.ts';
import { scoreStudy } from '../../../study/zero-cost.ts';
import { tableSpec } from '../../jobs/chaos/table-evaluator.ts';
import { FakeMeter } from '../fake-meter.ts';
import { eventsOf, eventsUntil, newFolder, runFake, smallStudy } from '../small-study.ts';

/** Twelve networks, two of them trained twice, on two devices of which the second is slow in its own way. */
const config = smallStudy({
  targets: { edge: { device: 'cpu' }, phone: { device: 'cpu', threads: 2 } },
  search: { controller: 'random', scale: 'tiny', trials: 12, round: 12, examples: 100, finalists: 9, seeds: 2 },
  family: { edge: ['1x'], phone: ['1x'] },
  final: { examples: 200, seeds: 1, baselines: [] },
});
/** Latency that grows with multiply-adds on one device and falls with them on the other. */
const makeMeter = () =>
  new FakeMeter((spec, call) => {
    const { macs } = countSpec(spec);
    return call % 2 === 1 ? macs / 1e6 : 1e6 / macs;
  });

let folder = '';
let summary: StudySummary;
beforeAll(async () => {
  folder = newFolder();
  ({ summary } = await runFake(config, folder, { makeMeter }));
});

const found = (proxies: readonly AuditedProxy[], proxy: string, truth: RegExp) =>
  proxies.find((one) => one.proxy === proxy && truth.test(one.truth));

describe('the audit of a study', () => {
  it('holds what is counted and measured against what the search’s training made of the networks', () => {
    const { proxies } = summary.proxyAudit;
    const macs = found(proxies, 'MACs', /^accuracy after 100 examples$/);
    // The fake trainer's accuracy grows with multiply-adds, noise aside.
    expect(macs?.quality.networks).toBe(12);
    expect(macs?.quality.kendall?.interval?.lo).toBeGreaterThan(0);
    expect(macs?.decided).toBeNull();
    expect(found(proxies, 'gradient norm', /./)).toBeUndefined();
    expect(summary.proxyAudit.zeroCost).toBeNull();
  });

  it('holds every device against the others, without regrets, for a latency is no accuracy', () => {
    const { proxies } = summary.proxyAudit;
    const other = found(proxies, 'p50 on phone', /^p50 on edge$/);
    expect(other?.kind).toBe('latency');
    expect(other?.quality.kendall?.value).toBe(-1);
    expect(other?.quality.regrets).toEqual([]);
  });

  it('says what one seed tells of others, by which the finalists were chosen, and how far seeds differ', () => {
    const seed = found(summary.proxyAudit.proxies, 'one seed of the search', /other seeds/);
    expect(seed?.quality.networks).toBe(9);
    expect(seed?.decided).toMatch(/finalists/);
    // The fake trainer's noise has a deviation of .01; 9 pairs tell it within a factor of 2.3 (χ², 99.9 %).
    expect(summary.proxyAudit.seedSd).toBeGreaterThan(0.01 / 2.3);
    expect(summary.proxyAudit.seedSd).toBeLessThan(0.01 * 2.3);
  });

  it('follows from the journal alone', async () => {
    expect((await rebuildResults(folder)).proxyAudit).toEqual(summary.proxyAudit);
    expect(
      readFileSync(join(folder, 'report.html'), 'utf8').includes('<summary>accuracy after 100 examples</summary>'),
    ).toBe(true);
  });
});

/** The audit of made-up trainings: network, examples, seed, phase, accuracy. */
function auditOf(
  of: StudyConfig,
  trainings: readonly (readonly [number, number, number, 'search' | 'scale', number])[],
): ProxyAudit {
  const events: JournalEvent[] = [];
  const append = (payload: EventPayload) => {
    const event = { schema: 1, seq: events.length, tMs: 0, ...payload } as JournalEvent;
    events.push(event);
    return event;
  };
  const record = new StudyRecord({ path: 'made up', events, append });
  const cost = { trainS: 1, measureS: 0, examples: 1, flops: 1, peakRssBytes: 0 };
  for (const [network, examples, seed, phase, accuracy] of trainings) {
    const { id } = record.issue({
      phase,
      choices: { depth: 1, width: 1 + network, resolution: 1 },
      spec: { ...tableSpec, input: { ...tableSpec.input, resolution: 32 + network } },
      fidelity: { examples, seed },
      origin: { by: 'test', because: 'a test', ...(phase === 'scale' && { target: 'edge' }) },
    });
    record.answer(id, { status: 'ok', metrics: { accuracy }, cost });
  }
  return auditProxies(record, of);
}

describe('the audit of a study with several fidelities and seeds', () => {
  it('compares seeds within one rung', () => {
    const rungs = smallStudy({ search: { scale: 'tiny', trials: 4, examples: [100, 300] } });
    const { seedSd } = auditOf(rungs, [
      [0, 100, 0, 'search', 0.3],
      [1, 100, 0, 'search', 0.4],
      [1, 300, 0, 'search', 0.7],
      [1, 300, 1, 'search', 0.72],
    ]);
    expect(seedSd).toBeCloseTo(0.01 * Math.SQRT2, 12);
  });

  it('leaves a scaling out with all its seeds', () => {
    const one = smallStudy();
    const seeds = [0, 1].flatMap((seed) =>
      [1, 2, 3, 4].map((network) => [network, 500, seed, 'scale', 0.5 + 0.05 * network + 0.01 * seed] as const),
    );
    const model = found(auditOf(one, seeds).proxies, 'the scaling model, left out', /for edge/);
    expect(model?.quality.networks).toBe(4);
  });
});

describe('scoring a study’s networks untrained', () => {
  it('journals each network once, goes on where it was interrupted, and shows what it cost', async () => {
    const copy = newFolder();
    cpSync(folder, copy, { recursive: true });
    const before = eventsOf(copy).length;
    const stop = new AbortController();
    const onProgress = ({ text }: { text: string }) => text.startsWith('3/') && stop.abort();
    await expect(scoreStudy(copy, { signal: stop.signal, onProgress })).rejects.toThrow(InterruptedError);
    const scored = () => eventsOf(copy).filter(({ id }) => id.startsWith('zero-cost '));
    expect(scored()).toHaveLength(2);

    const told: string[] = [];
    const { proxyAudit, activeS } = await scoreStudy(copy, { onProgress: ({ text }) => told.push(text) });
    expect(told).toHaveLength(10);
    expect(scored()).toHaveLength(12);
    expect(proxyAudit.zeroCost?.networks).toBe(12);
    for (const proxy of ['gradient norm', 'synflow', 'NASWOT'])
      expect(found(proxyAudit.proxies, proxy, /^accuracy/)?.quality.networks).toBe(12);
    const record = StudyRecord.replay(eventsOf(copy));
    const scores = record.decision(zeroCostId(record.trials[0]?.specDigest ?? '')) as { naswot: number };
    expect(scores.naswot).toBeGreaterThan(0);
    // Sessions of their own: one that was cut off, one that was closed. The months since the fake study do not count.
    expect(eventsOf(copy)).toHaveLength(before + 12 + 3);
    expect(activeS).toBeLessThan(summary.activeS + 600);

    await scoreStudy(copy);
    expect(eventsOf(copy)).toHaveLength(before + 12 + 3);
    // Nor does the study itself mind: all that it did is answered from the journal.
    const { calls } = await runFake(config, copy, { makeMeter });
    expect(calls).toEqual([]);
  });

  it('refuses a study that is not finished, and one whose data is gone', async () => {
    const unfinished = newFolder();
    await eventsUntil(config, ({ type }) => type === 'outcome', { folder: unfinished, makeMeter });
    await expect(scoreStudy(unfinished)).rejects.toThrow(/expected a finished study/);
    const copy = newFolder();
    cpSync(folder, copy, { recursive: true });
    rmSync(join(copy, 'data.bin'));
    await expect(scoreStudy(copy)).rejects.toThrow(ConfigError);
    await expect(scoreStudy(join(copy, 'nowhere'))).rejects.toThrow(/found none/);
  });
});

const quality = (tau: number, [lo, hi]: readonly [number, number], regret: number, networks = 12): ProxyQuality => ({
  networks,
  kendall: { value: tau, interval: { lo, hi } },
  spearman: null,
  regrets: [{ chosen: 1, value: regret, lo: 0, hi: 2 * regret, chance: 0.05 }],
});
const warn = (one: ProxyQuality, decided: string | null = 'the finalists', seedSd: number | null = null) =>
  auditWarnings({
    proxies: [{ proxy: 'X', truth: 'accuracy', kind: 'accuracy', decided, quality: one }],
    seedSd,
    zeroCost: null,
  });

describe('warnings', () => {
  it('are of what decided, and cannot be told from chance or loses more than a point', () => {
    expect(warn(quality(0.2, [-0.2, 0.5], 0))).toEqual([
      'X decided the finalists, but on these 12 networks it tells accuracy no better than chance would (Kendall’s τ 0.20, -0.20 to 0.50)',
    ]);
    expect(warn(quality(0.5, [0.2, 0.7], 0.03))).toEqual([
      'X decided the finalists, but the network it likes best is 3.0 points below the best in accuracy',
    ]);
    expect(warn(quality(0.5, [0.2, 0.7], 0.009))).toEqual([]);
    expect(warn(quality(0.2, [-0.2, 0.5], 0), null)).toEqual([]);
  });

  it('are not of a model that only proposes what to try next', () => {
    const model = {
      proxy: 'model',
      truth: 'accuracy',
      kind: 'accuracy',
      decided: 'what was tried',
      proposes: true,
    } as const;
    const audit = { proxies: [{ ...model, quality: quality(0.2, [-0.2, 0.5], 0.3) }], seedSd: null, zeroCost: null };
    expect(auditWarnings(audit)).toEqual([]);
  });

  it('are not of what the seeds alone explain, nor of seven networks', () => {
    expect(warn(quality(0.5, [0.2, 0.7], 0.03), 'the finalists', 0.02)).toEqual([]);
    expect(warn(quality(0.2, [-0.2, 0.5], 0.5, 7))).toEqual([]);
  });
});
