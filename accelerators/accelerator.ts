/**
 * Somewhere a model can run. An accelerator opens sessions; a session owns one loaded model and is
 * used by one caller at a time. Runs block the calling thread: use it from a child process.
 */
export interface Accelerator {
  /** What `--on` and study files call it, e.g. `cpu`, `webgpu`. */
  readonly id: string;
  open(model: Uint8Array, options: SessionOptions): Promise<Session>;
}

export interface SessionOptions {
  /** Threads inside one operator. */
  readonly threads: number;
  /** Treat denormal floats as zero, as deployments do; latency is meaningless otherwise. True by default. */
  readonly flushDenormals?: boolean;
  /** Set for weights that change between runs (training): leaves graph optimisation cheap. */
  readonly optimization?: 'all' | 'disabled';
  /** Idle threads spin for some milliseconds awaiting work: faster, but they disturb their neighbours. True by default. */
  readonly spinning?: boolean;
  /** Writes the runtime's own profile, one event an operator, to a file of this prefix when the session closes. */
  readonly profilePrefix?: string;
  /** Nodes that the provider lacks run on the CPU instead of being refused. False by default. */
  readonly allowFallback?: boolean;
}

/** Row-major values with their extents. */
export interface TensorValue {
  readonly dtype: 'float32' | 'int64' | 'bool' | 'float16' | 'int32' | 'uint8';
  readonly dims: readonly number[];
  /** `bool` and `uint8` are bytes; `float16` is its bits. */
  readonly data: Float32Array | BigInt64Array | Uint8Array | Uint16Array | Int32Array;
}

export interface Session {
  /** Declared inputs; an extent is a number or the name of a symbolic axis. */
  readonly inputs: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly dims: readonly (number | string)[];
  }[];
  readonly outputs: readonly string[];
  /**
   * One run; outputs are the caller's to keep.
   * @throws {InfeasibleModelError} when the device has too little memory for it, or refuses a node as it is run.
   * @throws {DeviceLostError} when the device went away; no session on it runs again in this process.
   * @throws {InvalidFileError} when the feeds fit but the file computes nothing from them.
   */
  run(feeds: Readonly<Record<string, TensorValue>>): Promise<Readonly<Record<string, TensorValue>>>;
  close(): Promise<void>;
}

/** An accelerator this host offers, or why it does not. */
export interface Detected {
  readonly id: string;
  readonly available: boolean;
  /** Of an available one: the software driver that computes on the CPU in the device's place; see `softwareDriver`. */
  readonly software?: string;
  /** Why not, and what would fix it. */
  readonly reason?: string;
  readonly fix?: string;
}
