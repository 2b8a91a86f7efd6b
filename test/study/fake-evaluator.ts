import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import type { SimulatedClock } from '../../core/clock.ts';
import { InterruptedError } from '../../core/errors.ts';
import { Random } from '../../core/random.ts';
import type { Cost, Outcome } from '../../core/trial.ts';
import { buildNetwork } from '../../models/build.ts';
import { exportOnnx } from '../../models/export.ts';
import type { Weights } from '../../models/graph.ts';
import { initialWeights } from '../../models/initialise.ts';
import { encodeSafetensors } from '../../models/safetensors.ts';
import { type NetworkSpec, specDigest } from '../../models/spec.ts';
import type { EvaluationRequest, Evaluator } from '../../search/evaluator.ts';
import type { FolderArtefacts } from '../../study/artefacts.ts';
import type { DataDescription } from '../../study/context.ts';
import { countSpec } from '../../study/evaluation/evaluate.ts';
import { type Score, scoreFile } from '../../study/evaluation/score.ts';

export interface FakeEvaluatorOptions {
  readonly data: DataDescription;
  readonly artefacts: FolderArtefacts;
  readonly slots?: number;
  /** As a queue has it; without it there is none. */
  readonly inFlight?: number;
  /** Moved on by the pretended training time. */
  readonly clock?: SimulatedClock;
  /** Answers instead, where it has an answer; `call` counts from 1. */
  readonly answer?: (
    call: number,
    candidate: { readonly id: string; readonly spec: NetworkSpec },
  ) => Outcome | undefined;
  /** What it tells of a trial, each time that it is asked about one. */
  readonly notices?: (trial: string) => readonly string[];
  readonly onConcluded?: () => void;
}

/** Scores of untrained networks, kept over evaluators: scoring a file takes a process. */
const scores = new Map<string, Promise<Score>>();

/**
 * An evaluator that trains nothing. Accuracy grows with multiply-adds and saturates, plus noise that
 * depends on (network, seed) alone. Runs whose weights are kept get real, untrained weights and the
 * hold-out accuracy that the file made from them has, so that they can be delivered.
 */
export class FakeEvaluator implements Evaluator {
  readonly slots: number;
  readonly inFlight?: number;
  /** Ids of the trials it was asked about, in order. */
  readonly calls: string[] = [];
  readonly #options: FakeEvaluatorOptions;

  constructor(options: FakeEvaluatorOptions) {
    this.slots = options.slots ?? 1;
    if (options.inFlight !== undefined) this.inFlight = options.inFlight;
    this.#options = options;
  }

  async evaluate(
    candidate: { readonly id: string; readonly spec: NetworkSpec },
    { fidelity, keepWeights, signal, onNotice }: EvaluationRequest,
  ): Promise<Outcome> {
    if (signal.aborted) throw new InterruptedError(`${candidate.id}: interrupted`);
    this.calls.push(candidate.id);
    for (const text of this.#options.notices?.(candidate.id) ?? []) onNotice?.(text);
    const { spec } = candidate;
    const random = new Random(fidelity.seed).child(specDigest(spec));
    // With several slots, candidates finish in another order than they began.
    for (let turn = random.integer(4); turn > 0; turn--) await breathe();
    const answer = this.#options.answer?.(this.calls.length, candidate);
    if (answer) return answer;
    const { macs } = countSpec(spec);
    const cost = costOf(macs, fidelity.examples);
    this.#options.clock?.advance(cost.trainS * 1000);
    if (keepWeights) return this.#keep(spec, fidelity.seed, cost);
    const accuracy = 0.1 + 0.8 * (macs / (macs + 1e6)) + 0.01 * random.normal();
    return { status: 'ok', metrics: { accuracy, crossEntropy: -Math.log(Math.max(accuracy, 0.01)) }, cost };
  }

  concluded(): void {
    this.#options.onConcluded?.();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #keep(spec: NetworkSpec, seed: number, cost: Cost): Promise<Outcome> {
    const { data, artefacts } = this.#options;
    const graph = buildNetwork(spec, 1);
    const weights = initialWeights(graph, new Random(seed));
    const shapes = new Map(graph.parameters.map(({ name, shape }) => [name, shape]));
    const checkpoint = await artefacts.put(encodeSafetensors({ weights, shapes, metadata: {} }));
    const key = `${data.digest} ${checkpoint}`;
    const score = scores.get(key) ?? scoreUntrained(spec, weights, data.file);
    scores.set(key, score);
    const { accuracy, crossEntropy } = await score;
    return { status: 'ok', metrics: { accuracy, crossEntropy }, cost, checkpoint };
  }
}

function costOf(macs: number, examples: number): Cost {
  const flops = 6 * macs * examples;
  return { trainS: flops / 1e9, measureS: 0, examples, flops, peakRssBytes: 0 };
}

async function scoreUntrained(spec: NetworkSpec, weights: Weights, dataFile: string): Promise<Score> {
  const folder = mkdtempSync(join(tmpdir(), 'fake-evaluator-'));
  try {
    const modelFile = join(folder, 'model.onnx');
    writeFileSync(modelFile, exportOnnx(spec, weights, 'batch'));
    return (await scoreFile({ modelFile, dataFile, splits: ['holdout'] })).holdout;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
