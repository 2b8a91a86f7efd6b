import { createRequire } from 'node:module';
import type * as TensorFlowCore from '@tensorflow/tfjs-core';
import { EnvironmentError } from '../../core/errors.ts';

/** TensorFlow.js's core API, which every package of it gives. */
export type TensorFlow = typeof TensorFlowCore;

/** A package of TensorFlow.js with what makes it compute and differentiate. */
export interface TensorFlowPackage {
  readonly name: string;
  /** Loaded for what they register. */
  readonly beside: readonly string[];
  /** Backend that trains. */
  readonly backend: 'tensorflow' | 'cpu';
}

/** The fastest first. */
const packages: readonly TensorFlowPackage[] = [
  { name: '@tensorflow/tfjs-node-gpu', beside: [], backend: 'tensorflow' },
  { name: '@tensorflow/tfjs-node', beside: [], backend: 'tensorflow' },
  { name: '@tensorflow/tfjs', beside: [], backend: 'cpu' },
  // A third of that install. The package of layers is what registers gradients of Node's build of the core.
  {
    name: '@tensorflow/tfjs-core',
    beside: ['@tensorflow/tfjs-backend-cpu', '@tensorflow/tfjs-layers'],
    backend: 'cpu',
  },
];

/** A loaded TensorFlow.js, its backend running. */
export interface LoadedTensorFlow {
  readonly tf: TensorFlow;
  /** Package and version, e.g. `@tensorflow/tfjs-node 4.22.0`. */
  readonly version: string;
  readonly backend: TensorFlowPackage['backend'];
  /** Why a faster package that is installed does not serve, or that the one that does is slow. */
  readonly notice?: string;
}

const resolver = createRequire(import.meta.url);

/** Code of the errors that say that this host cannot train with TensorFlow.js; another may. */
export const tensorFlowUnavailable = 'tensorflow-unavailable';

/**
 * Whether there is a native package to train with; plain JavaScript is for tests, a thousand times slower.
 * @param isInstalled whether a package can be resolved from here.
 */
export function hasNativeTensorFlow(isInstalled: (name: string) => boolean = isResolvable): boolean {
  return installed(isInstalled).some(({ backend }) => backend === 'tensorflow');
}

/**
 * Packages that are installed, the fastest first.
 * @param isInstalled whether a package can be resolved from here.
 * @throws {EnvironmentError} when there are none, saying how to install one.
 */
export function installedTensorFlow(
  isInstalled: (name: string) => boolean = isResolvable,
): readonly TensorFlowPackage[] {
  const found = installed(isInstalled);
  if (found.length > 0) return found;
  throw new EnvironmentError(
    `trainer tfjs: expected TensorFlow.js beside Ridgepoint, got none; install it by ` +
      `npm install ${packages[0]?.name} (with CUDA), ${packages[1]?.name} (fast) or ${packages[2]?.name} (anywhere, but slow)`,
    { code: tensorFlowUnavailable },
  );
}

function installed(isInstalled: (name: string) => boolean): readonly TensorFlowPackage[] {
  return packages.filter(({ name, beside }) => [name, ...beside].every(isInstalled));
}

let loaded: Promise<LoadedTensorFlow> | undefined;

/**
 * Loads the fastest package that is installed and works, once a process.
 * @param threads of native kernels; only the first call of a process can say.
 * @throws {EnvironmentError} when none is installed or none of them loads.
 */
export function loadTensorFlow(threads: number): Promise<LoadedTensorFlow> {
  loaded ??= loadFirst(threads);
  return loaded;
}

async function loadFirst(threads: number): Promise<LoadedTensorFlow> {
  prepareEnvironment(threads);
  const failures: string[] = [];
  for (const candidate of installedTensorFlow()) {
    const { name, backend } = candidate;
    try {
      const tf = await start(candidate);
      const { version } = resolver(`${name}/package.json`) as { version: string };
      const slow =
        backend === 'cpu' ? [`${name} computes in plain JavaScript, about an image of 32 pixels a second`] : [];
      const notice = [...failures, ...slow].join('; ');
      return { tf, version: `${name} ${version}`, backend, ...(notice && { notice: `trainer tfjs: ${notice}` }) };
    } catch (error) {
      failures.push(`${name} could not be used: ${firstLine(error)}`);
    }
  }
  throw new EnvironmentError(`trainer tfjs: ${failures.join('; ')}`, { code: tensorFlowUnavailable });
}

async function start({ name, beside, backend }: TensorFlowPackage): Promise<TensorFlow> {
  const tf = resolver(name) as TensorFlow;
  for (const other of beside) resolver(other);
  // Spares every run a notice that recommends another package.
  tf.env().set('IS_TEST', true);
  if (!(await tf.setBackend(backend))) throw new Error(`its backend ${backend} did not start`);
  differentiateSomething(tf);
  return tf;
}

/** What loads may not compute: on Node 23 and newer `tfjs-node` 4.22 lacks functions that its kernels call. */
function differentiateSomething(tf: TensorFlow): void {
  tf.tidy(() => {
    const slope = tf.grad((x) => tf.sum(tf.square(x)))(tf.tensor([1, 2]));
    const [first, second] = slope.dataSync();
    if (first !== 2 || second !== 4) throw new Error(`it has ${first}, ${second} for the slopes 2, 4 of x²`);
  });
}

/** What libtensorflow reads when it starts; whoever set a variable knows better. */
function prepareEnvironment(threads: number): void {
  process.env['TF_NUM_INTRAOP_THREADS'] ??= String(threads);
  process.env['TF_NUM_INTEROP_THREADS'] ??= '1';
  // On GPUs: kernels whose sums have an order.
  process.env['TF_DETERMINISTIC_OPS'] ??= '1';
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '1';
}

function isResolvable(name: string): boolean {
  try {
    resolver.resolve(name);
    return true;
  } catch {
    return false;
  }
}

function firstLine(error: unknown): string {
  return (error as Error).message.split('\n')[0] ?? '';
}
