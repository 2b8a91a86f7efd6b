import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { ContenderCommand } from './contender.ts';
import type { LimitId } from './limits.ts';
import type { LoweringId } from './lowerings.ts';
import type { Problem } from './problem.ts';

export const memoryFormats = ['contiguous', 'channels_last'] as const;

const path = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
/** Lets Node 20 run TypeScript. */
const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const node = (file: string, ...args: string[]) => ({
  command: process.execPath,
  args: ['--import', loader, path(file), ...args],
});

/** @param folder holds the problem's files. @param profilePrefix of the runtime's profile, off when absent. */
export function ours(folder: string, threads: number, lowering: LoweringId, profilePrefix?: string): ContenderCommand {
  const profile = profilePrefix === undefined ? [] : [profilePrefix];
  return { name: lowering, exact: true, ...node('onnx-child.ts', folder, String(threads), lowering, ...profile) };
}

/** Work that one limit of the machine bounds. */
export function limit(id: LimitId, threads: number): ContenderCommand {
  return { name: id, exact: false, ...node('limits-child.ts', id, String(threads)) };
}

/** PyTorch's variants of a problem; see pytorch-child.py for `symmetric`, which is left out where it is the same network. */
export function pytorch(python: string, folder: string, threads: number, { graph }: Problem): ContenderCommand[] {
  const isSymmetric = graph.nodes.every(({ op, attributes }) => {
    if (op !== 'conv') return true;
    const [top, left, bottom, right] = attributes.pads;
    return top === bottom && left === right;
  });
  const paddings = isSymmetric ? (['exact'] as const) : (['exact', 'symmetric'] as const);
  return paddings.flatMap((padding) =>
    memoryFormats.map((format) => ({
      name: padding === 'exact' ? format : `${format}, symmetric pads`,
      command: python,
      exact: padding === 'exact',
      args: [path('pytorch-child.py'), folder, String(threads), format, padding],
      env: { OMP_NUM_THREADS: String(threads) },
    })),
  );
}

/** TensorFlow.js, whichever of its packages is installed. @param images fewer than a problem's whole batch are another function. */
export function tensorflow(
  folder: string,
  threads: number,
  { recipe }: Problem,
  images: number = recipe.batchSize,
): ContenderCommand {
  const args = [folder, String(threads), String(images)];
  return { name: 'TensorFlow.js', exact: images === recipe.batchSize, ...node('tensorflow-child.ts', ...args) };
}
