import { expect, it } from 'vitest';
import { buildNetwork } from '../../models/build.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import { blockedLowering } from '../../training/blocked/lower.ts';
import type { TrainingState } from '../../training/checkpoint.ts';
import { differentiate } from '../../training/differentiate.ts';
import { plainLowering } from '../../training/plain/lower.ts';
import { defaultRecipe } from '../../training/recipe.ts';
import { lowerTrainingStep } from '../../training/step.ts';
import { Timeline } from '../../training/timeline.ts';
import { TrainingRun } from '../../training/training-run.ts';
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
