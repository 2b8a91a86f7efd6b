import { trainerBy } from './engine-trainer.ts';
import { tfjsEngine } from './tfjs/engine.ts';
import { loadTensorFlow } from './tfjs/load.ts';
import type { Trainer } from './trainer.ts';

/**
 * The second trainer: TensorFlow.js runs forward, differentiates and updates, by the fastest of its packages that is
 * installed beside Ridgepoint (`@tensorflow/tfjs-node-gpu`, `@tensorflow/tfjs-node`, `@tensorflow/tfjs`, or
 * `@tensorflow/tfjs-core` with `-backend-cpu` and `-layers`). Batches, masks, rates and checkpoints are the ONNX
 * trainer's, so that both give the same losses to rounding, and weights and checkpoints of one serve the other.
 *
 * Equal requests give equal weights where the kernels have one order of summing: always in plain JavaScript; in
 * libtensorflow for one thread, and on GPUs as far as its deterministic kernels go, which are asked for. `threads` is a
 * process's first request's, for libtensorflow reads it once.
 * @throws {EnvironmentError} by `train`, when no package is installed or none works, saying how to install one.
 */
export const tfjsTrainer: Trainer = trainerBy('tfjs', async ({ threads }) => tfjsEngine(await loadTensorFlow(threads)));
