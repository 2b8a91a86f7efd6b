import type { Clock } from '../core/clock.ts';
import { InterruptedError } from '../core/errors.ts';
import type { HostLoad } from './host-load.ts';
import type { Protocol } from './protocol.ts';
import type { Reference } from './reference.ts';
import { median } from '../core/quantile.ts';

/** What tells whether the machine was left alone. */
export interface Witnesses {
  readonly reference: Reference;
  /** The reference's time in earlier quiet measurements on this host, in milliseconds, where a ledger knows it. */
  readonly quietReferenceMs?: number;
  /** Absent where nothing counts what other processes do. */
  readonly load?: HostLoad;
  /** Its `now` must be monotonic and finer than a microsecond. */
  readonly clock: Clock;
  readonly signal?: AbortSignal;
  /** Hears of each block that is to be repeated. */
  readonly onRejected?: () => void;
}

/** How quiet the machine was while blocks were taken. */
export interface Quietness {
  /** Largest relative departure of the reference over accepted blocks. */
  readonly drift: number;
  readonly rejectedBlocks: number;
  /** Median of the reference over accepted blocks, in milliseconds. */
  readonly referenceMs: number;
  /** Share of the host's cores that other processes used during accepted blocks; absent where nothing counts it. */
  readonly otherLoad?: number;
  /** Whether all of it is within the protocol's tolerances. */
  readonly undisturbed: boolean;
}

/** One look at every witness. */
interface Observation {
  readonly atMs: number;
  readonly otherCpuMs: number;
}

/**
 * Work between observations of what should never change: the time of a reference kernel, and how little other
 * processes do. A block beside a disturbance is rejected and done again, up to a cap; then blocks count as they
 * are, and `undisturbed` is false. Neither witness sees all: a neighbour's arithmetic leaves a kernel that lives
 * in its core's cache alone while a larger network slows down, and a slower clock shows in no process table.
 */
export class Blocks {
  readonly #protocol: Protocol;
  readonly #witnesses: Witnesses;
  readonly #settleMs: number;
  readonly #overtime: () => boolean;
  readonly #departures: number[] = [];
  readonly #referenceMs: number[] = [];
  #rejected = 0;
  #otherCpuMs = 0;
  #wallMs = 0;

  /** @param overtime once true, nothing is rejected any more. */
  constructor(protocol: Protocol, witnesses: Witnesses, threads: number, overtime: () => boolean) {
    this.#protocol = protocol;
    this.#witnesses = witnesses;
    this.#settleMs = threads > 1 ? protocol.reference.settleMs : 0;
    this.#overtime = overtime;
  }

  get accepted(): number {
    return this.#departures.length;
  }

  get rejected(): number {
    return this.#rejected;
  }

  /** What one accepted block gave. */
  async take<T>(block: () => Promise<T>): Promise<T> {
    const { load, clock } = this.#witnesses;
    const { tolerance, maxRejected } = this.#protocol.reference;
    const look = (): Observation => ({ atMs: clock.now(), otherCpuMs: load?.otherCpuMs() ?? 0 });
    for (;;) {
      const start = look();
      const before = await this.#observe();
      const result = await block();
      const after = await this.#observe();
      const end = look();
      const departure = Math.max(this.#departure(before), this.#departure(after));
      const wallMs = end.atMs - start.atMs;
      const otherCpuMs = Math.max(0, end.otherCpuMs - start.otherCpuMs);
      const calm = departure <= tolerance && this.#isLeftAlone(otherCpuMs, wallMs);
      if (calm || this.#rejected >= maxRejected || this.#overtime()) {
        this.#departures.push(departure);
        this.#referenceMs.push(before, after);
        this.#otherCpuMs += otherCpuMs;
        this.#wallMs += wallMs;
        return result;
      }
      this.#rejected++;
      this.#witnesses.onRejected?.();
      // What disturbed it may pass.
      await pause(this.#witnesses, this.#protocol.sessions.gapMs);
    }
  }

  get quietness(): Quietness {
    const { tolerance, otherLoad: most } = this.#protocol.reference;
    const { load } = this.#witnesses;
    const drift = Math.max(...this.#departures);
    const otherLoad = load ? this.#otherCpuMs / (load.cores * this.#wallMs) : undefined;
    return {
      drift,
      rejectedBlocks: this.#rejected,
      referenceMs: median(this.#referenceMs),
      ...(otherLoad === undefined ? {} : { otherLoad }),
      undisturbed: drift <= tolerance && (otherLoad ?? 0) <= most,
    };
  }

  /** A block is short beside the steps of the count, so it gets the benefit of the doubt; the sum over blocks does not. */
  #isLeftAlone(otherCpuMs: number, wallMs: number): boolean {
    const { load } = this.#witnesses;
    if (!load) return true;
    const doubtMs = load.stepMs * Math.min(load.cores, 2);
    return otherCpuMs - doubtMs <= this.#protocol.reference.otherLoad * load.cores * wallMs;
  }

  #departure(observedMs: number): number {
    const { reference, quietReferenceMs } = this.#witnesses;
    // Only slower is a disturbance there: a host that became faster was mended.
    const sinceQuiet = quietReferenceMs === undefined ? 0 : observedMs / quietReferenceMs - 1;
    return Math.max(reference.departure(observedMs), sinceQuiet);
  }

  async #observe(): Promise<number> {
    await pause(this.#witnesses, this.#settleMs);
    return this.#witnesses.reference.observe(this.#protocol.reference.runs);
  }
}

/** Sleeps, unless aborted. @throws {InterruptedError} when aborted before or meanwhile. */
export async function pause({ clock, signal }: Pick<Witnesses, 'clock' | 'signal'>, ms: number): Promise<void> {
  // An abort ends the sleep; what is thrown is ours.
  if (ms > 0 && !signal?.aborted) await clock.sleep(ms, signal).catch(() => {});
  if (signal?.aborted) throw new InterruptedError('measuring latency: interrupted');
}
