/** What a parameter of a run may be. */
export type RunParameter = string | number | boolean;

/** A run begins. */
export interface RunStart {
  /** Parts between slashes: `trained`, `my-study/t0007`. */
  readonly name: string;
  /** What it was trained with. */
  readonly parameters: Readonly<Record<string, RunParameter>>;
  readonly startedMs: number;
}

/** Values at one moment of a run. */
export interface RunPoint {
  /** Training examples seen. */
  readonly step: number;
  readonly atMs: number;
  /** By name, e.g. `train/loss`. */
  readonly values: Readonly<Record<string, number>>;
}

/** How a run ended; `killed` is one that may go on. */
export interface RunEnd {
  readonly status: 'finished' | 'failed' | 'killed';
  readonly endedMs: number;
}

/** A run that is told as it goes. */
export interface OpenRun {
  point(point: RunPoint): Promise<void>;
  end(end: RunEnd): Promise<void>;
}

/** A run that is told afterwards. */
export interface WholeRun extends RunStart, RunEnd {
  readonly points: readonly RunPoint[];
}

/** Where an experiment tracker looks for runs. Calls reject when it cannot be told. */
export interface RunLog {
  /** @param goesOn the last run of that name instead of a new one, as a training does that was interrupted. */
  open(start: RunStart, goesOn: boolean): Promise<OpenRun>;
  /** Does nothing when a run of that name is there already. */
  add(run: WholeRun): Promise<void>;
}

/** Tells a {@link RunLog} in order, without ever failing or delaying what is told of. */
export class RunReporter {
  readonly #log: RunLog;
  readonly #onNotice: (text: string) => void;
  #queue: Promise<void> = Promise.resolve();
  #hasFailed = false;

  /** @param onNotice hears once why nothing more is recorded. */
  constructor(log: RunLog, onNotice: (text: string) => void) {
    this.#log = log;
    this.#onNotice = onNotice;
  }

  /** @param goesOn see {@link RunLog.open}. */
  open(start: RunStart, goesOn: boolean): { point(point: RunPoint): void; end(end: RunEnd): void } {
    let run: OpenRun | undefined;
    this.#tell(async () => {
      run = await this.#log.open(start, goesOn);
    });
    return {
      point: (point) => this.#tell(async () => run?.point(point)),
      end: (end) => this.#tell(async () => run?.end(end)),
    };
  }

  add(run: WholeRun): void {
    this.#tell(() => this.#log.add(run));
  }

  /** When all that was told is recorded, or nothing will be. */
  async settled(): Promise<void> {
    await this.#queue;
  }

  #tell(what: () => Promise<void>): void {
    this.#queue = this.#after(this.#queue, what);
  }

  async #after(before: Promise<void>, what: () => Promise<void>): Promise<void> {
    await before;
    if (this.#hasFailed) return;
    try {
      await what();
    } catch (error) {
      this.#hasFailed = true;
      this.#onNotice(`--log: ${(error as Error).message}; nothing more is recorded there`);
    }
  }
}
