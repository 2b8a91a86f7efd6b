import type { Accelerator } from '../accelerators/accelerator.ts';
import { onnxRuntimeAccelerator } from '../accelerators/onnxruntime.ts';
import type { ChosenLowering } from './choose-lowering.ts';
import { onnxEngine } from './onnx-engine.ts';
import { trainerBy } from './engine-trainer.ts';
import type { Trainer } from './trainer.ts';

/** The default trainer: forward, backward and update as one ONNX graph, run on the CPU. */
export const onnxTrainer: Trainer = onnxTrainerOn(onnxRuntimeAccelerator('cpu'));

/**
 * A trainer whose steps run on the given accelerator, unless a recipe names another provider.
 * @param chosen the lowering, where it is known; the accelerator is asked when absent.
 */
export function onnxTrainerOn(accelerator: Accelerator, chosen?: ChosenLowering): Trainer {
  return trainerBy(`onnx-${accelerator.id}`, ({ recipe: { provider } }) =>
    onnxEngine(accelerator, { provider, chosen }),
  );
}
