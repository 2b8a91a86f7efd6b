import { onnxRuntimeAccelerator } from '../../accelerators/onnxruntime.ts';
import { detectBlockSize } from '../../training/blocked/block-size.ts';
import { blockedLowering } from '../../training/blocked/lower.ts';
import type { Lowering } from '../../training/lowering.ts';

/** Channels in a block of this machine's kernels; undefined where onnxruntime has none for its CPU. */
export const blockSize: number | undefined = await detectBlockSize(onnxRuntimeAccelerator('cpu')).catch(
  () => undefined,
);

/** The lowering of this machine's blocked kernels, where it has any. */
export const blocked: Lowering | undefined = blockSize === undefined ? undefined : blockedLowering(blockSize);

if (blocked === undefined) console.warn('skipped: this machine has no blocked kernels to test');
