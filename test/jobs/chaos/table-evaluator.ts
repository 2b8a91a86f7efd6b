import { type Child, openChild } from '../../../core/child.ts';
import { toWire } from '../../../core/errors.ts';
import type { Outcome } from '../../../core/trial.ts';
import type { NetworkSpec } from '../../../models/spec.ts';
import { parseNetworkSpec } from '../../../models/spec.ts';
import type { EvaluationRequest, Evaluator } from '../../../search/evaluator.ts';

/** The network of every trial; trials differ by their seeds. */
export const tableSpec: NetworkSpec = parseNetworkSpec(
  {
    input: { channels: 3, resolution: 16 },
    classes: 2,
    stem: { kernel: 3, stride: 2, width: 8 },
    stages: [{ operator: 'fused-mbconv', kernel: 3, stride: 2, expansion: 2, width: 8, repeats: 1 }],
    head: { width: 0 },
  },
  'table network',
);

const cost = { trainS: 0, measureS: 0, examples: 1, flops: 0, peakRssBytes: 0 };

/** What the table says of a seed: every eighth diverges. */
function tableOutcome(seed: number, accuracy: number): Outcome {
  if (seed % 8 === 0) return { status: 'infeasible', reason: 'diverged', detail: `seed ${seed}`, cost };
  return { status: 'ok', metrics: { accuracy, crossEntropy: 1 - accuracy }, cost };
}

type TableChild = Child<{ readonly seed: number; readonly ms: number }, number>;

/** An evaluator that looks the answer up, in child processes that it keeps, one a slot. It may take its time. */
export class TableEvaluator implements Evaluator {
  readonly slots: number;
  readonly #ms: number;
  readonly #idle: TableChild[] = [];
  readonly #all = new Set<TableChild>();

  /** @param options.ms time that an evaluation pretends to take. */
  constructor(options: { readonly slots: number; readonly ms: number }) {
    this.slots = options.slots;
    this.#ms = options.ms;
  }

  async evaluate(
    _candidate: { readonly id: string; readonly spec: NetworkSpec },
    { fidelity, signal }: EvaluationRequest,
  ): Promise<Outcome> {
    const child = this.#take();
    try {
      const { output } = await child.call({ seed: fidelity.seed, ms: this.#ms }, { signal });
      this.#idle.push(child);
      return tableOutcome(fidelity.seed, output);
    } catch (error) {
      if (signal.aborted) throw error;
      const { code, retry, message } = toWire(error);
      return { status: 'failed', code, retry, detail: message };
    }
  }

  /** Kept between evaluations: a worker closes its evaluator after each. */
  close(): Promise<void> {
    return Promise.resolve();
  }

  async closeAll(): Promise<void> {
    for (const child of this.#all) await child.close();
  }

  #take(): TableChild {
    for (let child = this.#idle.pop(); child; child = this.#idle.pop()) if (child.alive) return child;
    const child: TableChild = openChild({ entry: new URL('./table-child.mjs', import.meta.url) });
    this.#all.add(child);
    return child;
  }
}
