import type { Accelerator, TensorValue } from '../../accelerators/accelerator.ts';
import { cholesky } from '../../core/linear-algebra.ts';
import type { Graph } from '../../models/graph.ts';
import { encodeOnnx } from '../../models/onnx.ts';
import { statisticsGraph } from '../differentiate.ts';
import { packParameters } from '../flat-parameters.ts';
import type { PlainGraph } from '../plain/graph.ts';
import { plainLowering } from '../plain/lower.ts';
import { feedsOf } from '../scoring.ts';
import { finish, type LoweredStep } from '../step.ts';
import { stepNames } from '../step-names.ts';
import type { TrainingGraph } from '../training-graph.ts';
import type { Start } from './gradient-norm.ts';

const agreement = 'agreement';
/** Operators that switch at 0: their output is positive where their input is. */
const switching = new Set(['relu', 'relu6', 'silu-training', 'hard-swish']);

/**
 * NASWOT: ln |K| with K_ij = N − d(c_i, c_j), where c_i is the code of example i, a bit for each of the network's N activations that says
 * whether it lets the example through, and d counts the bits that differ: the more examples differ in what they switch on, the larger.
 * At initialisation, batch norms with the statistics of the batch, nothing dropped; labels are not looked at.
 * Mellor et al. (2021), "Neural Architecture Search without Training", eq. 2. We differ: SiLU and hard-swish, of which the paper says
 * nothing, count as ReLU does, by the sign of their input.
 * @param graph with the batch's size.
 * @returns a score a start; −∞ where two examples have one code, 0 for a network without such activations.
 */
export async function activationCodes(
  accelerator: Accelerator,
  graph: Graph,
  starts: readonly Start[],
  { threads }: { readonly threads: number },
): Promise<number[]> {
  const forward = statisticsGraph(graph);
  const examples = graph.inputs[0]?.shape[0] as number;
  const codes = forward.nodes.filter(({ op }) => switching.has(op)).map(({ outputs }) => outputs[0] as string);
  if (codes.length === 0) return starts.map(() => 0);
  const { model, flat } = lowerAgreement(forward, codes, examples);
  const session = await accelerator.open(encodeOnnx(model), { threads, optimization: 'disabled' });
  const scores: number[] = [];
  try {
    for (const { weights, batch } of starts) {
      const data = packParameters(flat, weights);
      const parameters: TensorValue = { dtype: 'float32', dims: [data.length], data };
      const outputs = await session.run({ ...feedsOf(batch, forward.inputs), [stepNames.parameters]: parameters });
      scores.push(logDeterminant(outputs[agreement]?.data as Float32Array, examples));
    }
  } finally {
    await session.close();
  }
  return scores;
}

/** `agreement` `[examples, examples]`: bits in which two codes agree, less those in which they differ; whole numbers. */
function lowerAgreement(graph: TrainingGraph, codes: readonly string[], examples: number): LoweredStep {
  const { plain, inputs } = plainLowering.lower(graph);
  plain.enter(agreement);
  const parts = codes.map((tensor) => {
    const signs = signsOf(tensor, plain, examples);
    return plain.matMul(signs, signs, { transB: 1 });
  });
  const value = parts.length === 1 ? (parts[0] as string) : plain.op('Sum', parts);
  const model = finish(plain, { inputs, outputs: [{ name: agreement, value, shape: [examples, examples] }] });
  return { model, flat: plain.flat };
}

/** Of each example, 1 where an activation lets it through and −1 where not. */
function signsOf(tensor: string, plain: PlainGraph, examples: number): string {
  const [channels, ...plane] = plain.shape(tensor).slice(1) as [number, ...number[]];
  const values = plane.reduce((product, extent) => product * extent, channels);
  const on = plain.op('Cast', [plain.op('Greater', [plain.planes(tensor), plain.scalar(0)])], { to: 1 });
  const rows = plain.view(plain.op('Transpose', [on], { perm: [1, 0, 2] }), [examples, values]);
  return plain.op('Sub', [plain.op('Mul', [rows, plain.scalar(2)]), plain.scalar(1)]);
}

/** Smallest square of a Cholesky pivot, as a share of the bits, that is no rounding of zero. */
const leastPivot = 1e-12;

/** ln |K|, whose entries are half the sum of agreement and N; N is what a code agrees with itself. */
function logDeterminant(agreement: Float32Array, examples: number): number {
  const bits = agreement[0] as number;
  const places = Array.from({ length: examples }, (_, index) => index);
  const kernel = places.map((i) => places.map((j) => ((agreement[i * examples + j] as number) + bits) / 2));
  try {
    const pivots = cholesky(kernel).map((row, i) => (row[i] as number) ** 2);
    if (Math.min(...pivots) <= leastPivot * bits) return Number.NEGATIVE_INFINITY;
    return pivots.reduce((sum, pivot) => sum + Math.log(pivot), 0);
  } catch (error) {
    if (error instanceof RangeError) return Number.NEGATIVE_INFINITY;
    throw error;
  }
}
