import { afterEach, describe, expect, it, vi } from 'vitest';
import { buildNetwork } from '../../models/build.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { blockedLowering } from '../../training/blocked/lower.ts';
import type { TrainingState } from '../../training/checkpoint.ts';
import { differentiate } from '../../training/differentiate.ts';
import { flatParameters } from '../../training/flat-parameters.ts';
import { plainLowering } from '../../training/plain/lower.ts';
import { defaultRecipe } from '../../training/recipe.ts';
import { lowerTrainingStep } from '../../training/step.ts';
import { Timeline } from '../../training/timeline.ts';
import type { Pace } from '../../training/trainer.ts';
import { trains } from '../../training/training-graph.ts';
import { TrainingRun } from '../../training/training-run.ts';
import { stagedRequest } from './staged-training.ts';
import { stripesTask, syntheticClasses } from './synthetic-task.ts';

const spec = parseNetworkSpec(
  {
    input: { channels: 1, resolution: 8 },
    classes: syntheticClasses,
    stem: { kernel: 3, stride: 2, width: 12 },
    stages: [{ operator: 'mbconv', kernel: 3, stride: 1, expansion: 2, width: 12, repeats: 1, squeezeExcite: 0.25 }],
    head: { width: 20 },
  },
  'test network',
);

/** Without the time that passes. */
const content = ({ vectors, curve, updatesMs }: TrainingState) => ({ vectors, curve, updatesMs });

it('keeps its state in no lowering’s order, so that another goes on from it', () => {
  const recipe = defaultRecipe({ batchSize: 4, optimizer: 'rmsprop', emaDecay: 0.9 });
  const graph = buildNetwork(spec, recipe.batchSize);
  const training = differentiate(graph, { kind: 'softmax-cross-entropy', labelSmoothing: 0, targets: 'target' });
  const request = { graph, task: stripesTask(), recipe, examples: 40, seed: 1, threads: 1 };
  const flatOf = (lowering: typeof plainLowering) => lowerTrainingStep(training, recipe, lowering).flat;
  const [plain, blocked] = [flatOf(plainLowering), flatOf(blockedLowering(16))];
  // Padding, or the test would show nothing.
  expect(blocked.length).toBeGreaterThan(plain.length);

  const timeline = new Timeline(request);
  const stateIn = (flat: typeof plain, saved?: TrainingState) => {
    const run = new TrainingRun(request, timeline, 0, saved);
    run.enter(timeline.stageAt(0), flat);
    return run.state;
  };

  const state = stateIn(blocked);
  expect(Object.keys(state.vectors).toSorted()).toEqual(['average', 'mean-square', 'parameters', 'velocity']);
  const elsewhere = stateIn(plain, state);
  expect(content(elsewhere)).toEqual(content(state));
  expect(content(stateIn(blocked, elsewhere))).toEqual(content(state));
  expect(content(stateIn(plain))).toEqual(content(state));
});

describe('the pace of a training', () => {
  afterEach(() => vi.restoreAllMocks());

  const pictures = { ...spec, input: { channels: 3, resolution: 16 }, classes: 3 };
  /** 4 + 3 + 5 updates, of 8, 16 and 8 examples. */
  const request = stagedRequest(pictures, [
    { share: 32, resolution: 0.5 },
    { share: 48, resolution: 12, batchSize: 16 },
    { share: 40 },
  ]);
  /** What an update of each stage takes, and what each run takes before its first. */
  const [stepsMs, startMs] = [[10, 70, 25] as const, 1000];

  /** What is told after every update, of a run up to one or on from there. */
  async function told({ from = 0, to = 12, saved }: { from?: number; to?: number; saved?: TrainingState }) {
    let nowMs = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
    const paces: Pace[] = [];
    const timeline = new Timeline(request);
    const listening = { ...request, onProgress: (_point: unknown, pace: Pace) => paces.push(pace) };
    const run = new TrainingRun(listening, timeline, nowMs, saved);
    nowMs += startMs;
    while (run.updates < to) {
      const stage = timeline.stageAt(run.updates);
      if (run.updates === Math.max(from, stage.start.updates))
        run.enter(stage, flatParameters(stage.graph.parameters.filter(trains)));
      await run.advance(async (vectors) => {
        nowMs += stepsMs[stage.index] as number;
        return { vectors, loss: 1, correct: 0 };
      });
    }
    return { paces, state: run.state, stages: timeline.stages };
  }

  it('is that of the updates made, start-up apart', async () => {
    const { paces } = await told({});
    expect(paces[0]?.imagesPerS).toBeCloseTo(8 / 0.01, 6);
    expect(paces[4]?.imagesPerS).toBeCloseTo((4 * 8 + 16) / (4 * 0.01 + 0.07), 6);
  });

  it('goes on as each stage’s own updates, and by multiply-adds at the last stage’s speed where it has made none', async () => {
    const { paces, stages } = await told({});
    const [first, second, last] = stages.map(({ macs, recipe }) => macs * recipe.batchSize) as [number, number, number];
    const after = (updates: number) => 1000 * (paces[updates - 1]?.remainingS as number);
    expect(after(1)).toBeCloseTo(3 * 10 + (10 / first) * (3 * second + 5 * last), 6);
    expect(after(4)).toBeCloseTo((10 / first) * (3 * second + 5 * last), 6);
    expect(after(5)).toBeCloseTo(2 * 70 + (70 / second) * 5 * last, 6);
    expect(after(8)).toBeCloseTo(4 * 25, 6);
    expect(after(12)).toBe(0);
  });

  it('of a run that goes on is told by what was measured since', async () => {
    const { state } = await told({ to: 3 });
    const slower = { ...state, updatesMs: state.updatesMs.map((ms) => 100 * ms) };
    const { paces } = await told({ from: 3, saved: slower });
    const uninterrupted = await told({});
    expect(paces.map(({ remainingS }) => remainingS)).toEqual(
      uninterrupted.paces.slice(3).map(({ remainingS }) => remainingS),
    );
    expect(paces[0]?.imagesPerS).toBeCloseTo(8 / 0.01, 6);
  });
});
