import { createRequire } from 'node:module';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { EnvironmentError, InfeasibleModelError, InvalidFileError, type RidgepointError } from '../core/errors.ts';
import type { Accelerator, Session, SessionOptions, TensorValue } from './accelerator.ts';

// The only onnxruntime-node import, and a lazy one: loading it maps native code that most commands never need.
type Runtime = typeof import('onnxruntime-node');
const loadRuntime = async (): Promise<Runtime> => import('onnxruntime-node');

/** Execution providers of the Node binding that we open sessions on; not every platform's build has each. */
export const providerIds = ['cpu', 'webgpu', 'cuda', 'tensorrt', 'coreml', 'dml'] as const;
export type ProviderId = (typeof providerIds)[number];

/** The provider cannot be used on this host: no device, no driver, or a library is missing. */
export class AcceleratorUnavailableError extends EnvironmentError {
  override readonly code = 'accelerator-unavailable';
}

/** A valid model holds an operator this accelerator does not run; falling back to the CPU is refused. */
export class UnsupportedModelError extends InfeasibleModelError {
  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, { reason: 'unsupported', ...options });
  }
}

/** The device or its driver went away under a running session: reset, unplugged, hung. Another process may find it back. */
export class DeviceLostError extends EnvironmentError {
  override readonly code = 'device-lost';

  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, { ...options, retry: true });
  }
}

/** e.g. `onnxruntime-node 1.30.0`; reads the package's version without loading its native code. */
export function runtimeVersion(): string {
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  return `onnxruntime-node ${version}`;
}

/** Providers this platform's build was compiled with; that says nothing of drivers and devices (see detect.ts). */
export async function compiledProviders(): Promise<readonly string[]> {
  return (await loadRuntime()).listSupportedBackends().map(({ name }) => name);
}

/**
 * An execution provider of ONNX Runtime as an {@link Accelerator}. Every node runs on that provider
 * or the session does not open, unless told otherwise: a silent fall-back to the CPU is the classic wrong number.
 *
 * `run` is synchronous native code behind a promise, and copies inputs from and outputs to host
 * memory; a run of an empty graph costs about 6 µs.
 *
 * Flushing denormals is decided for the calling thread by the *first* session of a process
 * (onnxruntime sets it once), and by each session for its own further threads.
 */
export function onnxRuntimeAccelerator(
  id: ProviderId,
  { allowFallback = false }: { readonly allowFallback?: boolean | undefined } = {},
): Accelerator {
  return {
    id,
    /**
     * @throws {InvalidFileError} when the bytes are not a model that can run at all.
     * @throws {UnsupportedModelError} when this provider lacks an operator of it; placement.ts names which.
     * @throws {InfeasibleModelError} when its weights do not fit the device's memory.
     * @throws {AcceleratorUnavailableError} when the provider itself does not start.
     */
    async open(model, options) {
      const runtime = await loadRuntime();
      try {
        return wrap(runtime, id, await create(runtime, id, model, { allowFallback, ...options }));
      } catch (error) {
        throw await explain(runtime, id, model, error);
      }
    },
  };
}

// Configuration entries of the runtime are text.
const flag = (value: boolean): string => (value ? '1' : '0');

function create(
  runtime: Runtime,
  id: ProviderId,
  model: Uint8Array,
  options: SessionOptions,
): Promise<InferenceSession> {
  return runtime.InferenceSession.create(model, {
    executionProviders: [id],
    executionMode: 'sequential',
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: options.optimization ?? 'all',
    // Training graphs nearly halve their peak memory without it, for 1–5 % of speed.
    enableMemPattern: options.optimization !== 'disabled',
    // Errors are thrown and quoted; warnings would land between a user's progress lines.
    logSeverityLevel: 4,
    ...(options.profilePrefix === undefined ? {} : { enableProfiling: true, profileFilePrefix: options.profilePrefix }),
    extra: {
      session: {
        set_denormal_as_zero: flag(options.flushDenormals ?? true),
        'intra_op.allow_spinning': flag(options.spinning ?? true),
        // The CPU refuses its own nodes with this flag.
        ...(id === 'cpu' || options.allowFallback ? {} : { disable_cpu_ep_fallback: '1' }),
      },
    },
  });
}

function wrap(runtime: Runtime, id: ProviderId, session: InferenceSession): Session {
  return {
    inputs: session.inputMetadata.map((input) => ({
      name: input.name,
      dtype: input.isTensor ? input.type : 'not a tensor',
      dims: input.isTensor ? input.shape : [],
    })),
    outputs: session.outputNames,
    async run(feeds) {
      const tensors: Record<string, Tensor> = {};
      for (const name in feeds) tensors[name] = toTensor(runtime, feeds[name] as TensorValue);
      const results = await session.run(tensors).catch((error: unknown) => {
        throw explainRun(id, error);
      });
      const outputs: Record<string, TensorValue> = {};
      for (const name in results) outputs[name] = fromTensor(results[name] as Tensor);
      return outputs;
    },
    close: () => session.release(),
  };
}

// Both wrap the same memory: nothing is copied here.
function toTensor(runtime: Runtime, value: TensorValue): Tensor {
  return new runtime.Tensor(value.dtype as 'float32', value.data as Float32Array, value.dims);
}

function fromTensor({ type, dims, data }: Tensor): TensorValue {
  return { dtype: type as TensorValue['dtype'], dims, data: data as TensorValue['data'] };
}

/** Whose fault a session that does not open is: the CPU provider is the referee of the file. */
async function explain(runtime: Runtime, id: ProviderId, model: Uint8Array, cause: unknown): Promise<RidgepointError> {
  const message = textOf(cause);
  const known = environmental(id, message, cause);
  if (known) return known;
  const said = firstLine(message);
  // The last is WebGPU's word on fp16 where the adapter lacks `shader-f16`.
  if (
    /could not find an implementation|fallback to CPU EP|not implemented|but the device does not support it/i.test(
      message,
    )
  )
    return new UnsupportedModelError(`${id}: expected operators it runs, got a model with others: ${said}`, { cause });
  const invalid = id === 'cpu' ? said : await refusal(runtime, model);
  if (invalid) {
    const size = `${model.byteLength} bytes`;
    return new InvalidFileError(`expected an ONNX model, got ${size} that ONNX Runtime refuses: ${invalid}`, { cause });
  }
  return new AcceleratorUnavailableError(`${id}: expected a usable device, got: ${said}`, { cause });
}

async function refusal(runtime: Runtime, model: Uint8Array): Promise<string | undefined> {
  try {
    await (await create(runtime, 'cpu', model, { threads: 1, optimization: 'disabled' })).release();
    return undefined;
  } catch (error) {
    return firstLine(textOf(error));
  }
}

/** Whose fault a run that fails is. What the CPU cannot run no provider can: the file's; what another cannot, the pair's. */
export function explainRun(id: string, cause: unknown): RidgepointError {
  const message = textOf(cause);
  const known = environmental(id, message, cause);
  if (known) return known;
  const node = /returned while running (\S+) node\. Name:'([^']*)'/.exec(message);
  const where = node ? `node '${node[2]}' (${node[1]}): ` : '';
  const said = `${where}${firstLine(message.replace(/^[\s\S]*?Status Message: /, ''))}`;
  if (id === 'cpu') return new InvalidFileError(`expected a model that runs, got one that fails: ${said}`, { cause });
  return new UnsupportedModelError(`${id}: expected a model it runs, got: ${said}`, { cause });
}

// Texts of onnxruntime, CUDA, DirectX, Vulkan and Dawn; the binding passes no codes on.
const deviceLost =
  /device (?:is |was |has been )?(?:lost|removed|reset|hung)|DEVICE_LOST|DEVICE_(?:REMOVED|HUNG|RESET)|CUDA (?:failure|error) (?:700|719|999)|cudaErrorDevicesUnavailable|CUDA_ERROR_(?:ILLEGAL_ADDRESS|LAUNCH_FAILED|DEVICE_UNAVAILABLE)|uncorrectable ECC|fallen off the bus/i;
// Dawn says only on stderr why a buffer could not be made, and refuses to bind it afterwards.
const outOfMemory =
  /Failed to allocate memory|bad_alloc|out of memory|OUT_OF_(?:DEVICE_|HOST_)?MEMORY|E_OUTOFMEMORY|ALLOC_FAILED|\[Invalid Buffer/i;

/** Failures that look alike opening and running; undefined where the message is of none. */
function environmental(id: string, message: string, cause: unknown): RidgepointError | undefined {
  // First: a device that is lost may say that it could not allocate.
  if (deviceLost.test(message))
    return new DeviceLostError(`${id}: expected the device to stay, but it was lost: ${firstLine(message)}`, { cause });
  if (!outOfMemory.test(message)) return undefined;
  const asked = /buffer of size (\d+)/.exec(message)?.[1];
  const wanted = asked === undefined ? firstLine(message) : `a request of ${asked} bytes that it could not fill`;
  return new InfeasibleModelError(`${id}: expected a model that fits its memory, got ${wanted}`, {
    reason: 'out-of-memory',
    cause,
    ...(asked === undefined ? {} : { observed: Number(asked) }),
  });
}

function textOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim();
}

/** Without the source position of native errors, which helps nobody. */
function firstLine(message: string): string {
  return (message.split('\n')[0] ?? '').replace(/^\/\S+:\d+ (?:.* was false\.|.*?\) )\s*/, '');
}
