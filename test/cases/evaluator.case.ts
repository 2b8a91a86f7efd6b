import { describe, expect, it } from 'vitest';
import { InterruptedError } from '../../core/errors.ts';
import type { Outcome } from '../../core/trial.ts';
import { decodeSafetensors } from '../../models/safetensors.ts';
import { parseNetworkSpec } from '../../models/spec.ts';
import type { EvaluationRequest, Evaluator } from '../../search/evaluator.ts';
import type { FolderArtefacts } from '../../study/artefacts.ts';
import type { HeuristicName } from '../../training/heuristic-schedules.ts';
import type { TrainerConfig } from '../../study/evaluation/recipe.ts';

/** What the suite needs of an evaluator's surroundings. */
export interface EvaluatorSetting {
  /** Generated pictures of two classes, 16 pixels wide. */
  readonly trainer: TrainerConfig;
  /** The data set's file is not there. */
  readonly withoutData?: boolean;
  /** Of final trainings. */
  readonly schedule?: HeuristicName;
}

/** An evaluator, and where its weights go. */
export interface MadeEvaluator {
  readonly evaluator: Evaluator;
  readonly artefacts: FolderArtefacts;
}

const spec = parseNetworkSpec(
  {
    input: { channels: 3, resolution: 16 },
    classes: 2,
    stem: { kernel: 3, stride: 2, width: 8 },
    stages: [{ operator: 'fused-mbconv', kernel: 3, stride: 2, expansion: 2, width: 8, repeats: 1 }],
    head: { width: 0 },
  },
  'test network',
);

const request = (changes: Partial<EvaluationRequest> = {}): EvaluationRequest => ({
  fidelity: { examples: 64, seed: 1 },
  signal: new AbortController().signal,
  keepWeights: false,
  ...changes,
});

/** An outcome without what differs from run to run. */
const lasting = (outcome: Outcome) => ({ ...outcome, cost: undefined });

/** What every evaluator does, wherever its trainings run. `make` is called once a test; it closes what it made. */
export function describeEvaluator(name: string, make: (setting: EvaluatorSetting) => Promise<MadeEvaluator>): void {
  const trainer: TrainerConfig = { batchSize: 8 };

  describe(`${name} is an evaluator`, () => {
    it('answers with metrics and cost, and equally to the same request', async () => {
      const { evaluator } = await make({ trainer });
      const [outcome, again, other] = await Promise.all(
        [1, 1, 2].map((seed, index) =>
          evaluator.evaluate({ id: `t000${index + 1}`, spec }, request({ fidelity: { examples: 64, seed } })),
        ),
      );
      expect(outcome).toMatchObject({ status: 'ok', cost: { examples: 64 } });
      if (outcome?.status !== 'ok' || !again || !other) throw new Error('unreachable');
      expect(outcome.metrics['accuracy']).toBeGreaterThanOrEqual(0);
      expect(outcome.metrics['accuracy']).toBeLessThanOrEqual(1);
      expect(outcome.metrics['crossEntropy']).toBeGreaterThan(0);
      expect(outcome.checkpoint).toBeUndefined();
      expect(lasting(again)).toEqual(lasting(outcome));
      expect(lasting(other)).not.toEqual(lasting(outcome));
    });

    it('keeps weights when asked', async () => {
      const { evaluator, artefacts } = await make({ trainer });
      const kept = await evaluator.evaluate({ id: 't0001', spec }, request({ keepWeights: true }));
      const checkpoint = kept.status === 'ok' ? (kept.checkpoint ?? '') : '';
      const { weights } = decodeSafetensors(await artefacts.read(checkpoint), checkpoint);
      expect(weights.size).toBeGreaterThan(4);
    });

    it('tells how far it is, and how much it does at once', async () => {
      const { evaluator } = await make({ trainer });
      const seen: number[] = [];
      expect(evaluator.slots).toBe(2);
      await evaluator.evaluate({ id: 't0001', spec }, request({ onProgress: ({ examples }) => seen.push(examples) }));
      expect(seen.length).toBeGreaterThan(0);
      expect(Math.max(...seen)).toBeLessThanOrEqual(64);
    });

    it('trains by the schedule that a fidelity names, and by no other', async () => {
      const { evaluator } = await make({ trainer, schedule: 'efficientnetv2' });
      const [plain, staged, other] = await Promise.all(
        [{}, { schedule: 'efficientnetv2' }, { schedule: 'multigrid' }].map((named, index) =>
          evaluator.evaluate(
            { id: `t000${index + 1}`, spec },
            request({ fidelity: { examples: 320, seed: 1, ...named } }),
          ),
        ),
      );
      if (plain?.status !== 'ok' || staged?.status !== 'ok') throw new Error('expected both to train');
      expect(staged.cost.examples).toBe(plain.cost.examples);
      expect(staged.cost.flops / plain.cost.flops).toBeGreaterThan(0.5);
      expect(staged.cost.flops / plain.cost.flops).toBeLessThan(0.7);
      const detail = 'expected to train by the schedule multigrid, got efficientnetv2';
      expect(other).toMatchObject({
        status: 'failed',
        retry: false,
        detail: expect.stringContaining(detail) as string,
      });
    });

    it('answers that a training which diverges is infeasible', async () => {
      const { evaluator } = await make({ trainer: { ...trainer, learningRate: 1e20, schedule: { kind: 'constant' } } });
      const outcome = await evaluator.evaluate({ id: 't0001', spec }, request());
      expect(outcome).toMatchObject({ status: 'infeasible', reason: 'diverged' });
    });

    it('answers with a failure where the environment fails', async () => {
      const { evaluator } = await make({ trainer, withoutData: true });
      const outcome = await evaluator.evaluate({ id: 't0001', spec }, request());
      expect(outcome).toMatchObject({ status: 'failed', retry: false });
    });

    it('keeps the code and the text of what is wrong', async () => {
      const { evaluator } = await make({ trainer });
      const fidelity = { examples: 64, seed: 1, resolution: 20 };
      const wrong = await evaluator.evaluate({ id: 't0001', spec }, request({ fidelity }));
      expect(wrong).toMatchObject({ status: 'failed', code: 'config', retry: false });
      expect(wrong).toMatchObject({ detail: expect.stringContaining('resolution of 16 px, got 20') });
    });

    it('throws when it is interrupted, before and while it works, and goes on working', async () => {
      const { evaluator } = await make({ trainer });
      const aborted = request({ signal: AbortSignal.abort() });
      await expect(evaluator.evaluate({ id: 't0001', spec }, aborted)).rejects.toThrow(InterruptedError);
      const controller = new AbortController();
      const running = evaluator.evaluate(
        { id: 't0002', spec },
        request({
          fidelity: { examples: 200_000, seed: 1 },
          signal: controller.signal,
          onProgress: () => controller.abort(),
        }),
      );
      await expect(running).rejects.toThrow(InterruptedError);
      expect(await evaluator.evaluate({ id: 't0003', spec }, request())).toMatchObject({ status: 'ok' });
    });
  });
}
