import { readFileSync } from 'node:fs';

/** A process that takes turns with others. */
interface TurnTaker {
  readonly pid: number;
}

/** Cores busy with something else than the contender at its turn, on average. */
export interface Load {
  /** Other processes of the machine. */
  readonly others: number;
  /** Contenders outside their turns, e.g. by threads that spin. */
  readonly waiting: number;
}

/** CPU times so far, in milliseconds, of every process that {@link Load} tells apart. */
interface CpuTimes {
  readonly atMs: number;
  readonly machine: number;
  readonly turn: number;
  readonly waiting: number;
}

/**
 * Starts counting as one contender's turn begins; calling the result tells the load since.
 * Undefined where there is no /proc.
 */
export function meterLoad(turn: TurnTaker, contenders: readonly TurnTaker[]): () => Load | undefined {
  const waiting = contenders.filter((contender) => contender !== turn);
  const read = (): CpuTimes | undefined => {
    const machine = machineCpuMs();
    if (machine === undefined) return undefined;
    const waited = waiting.reduce((sum, { pid }) => sum + processCpuMs(pid), 0);
    return { atMs: performance.now(), machine, turn: processCpuMs(turn.pid), waiting: waited };
  };
  const start = read();
  return () => {
    const end = read();
    if (!start || !end) return undefined;
    const cores = (key: keyof CpuTimes): number => (end[key] - start[key]) / (end.atMs - start.atMs);
    return { others: cores('machine') - cores('turn') - cores('waiting'), waiting: cores('waiting') };
  };
}

/** Mean of several. */
export function meanLoad(loads: readonly Load[]): Load | undefined {
  if (loads.length === 0) return undefined;
  const mean = (key: keyof Load): number => loads.reduce((sum, load) => sum + load[key], 0) / loads.length;
  return { others: mean('others'), waiting: mean('waiting') };
}

/** Linux counts CPU time in hundredths of a second (USER_HZ). */
const tickMs = 10;

/** User and system time of a process and its threads so far; 0 where there is no /proc. */
export function processCpuMs(pid: number): number {
  // The name, in parentheses, may hold spaces; fields 14 and 15 of proc(5) follow it.
  const fields =
    readProc(`${pid}/stat`)
      ?.replace(/^.*\) /s, '')
      .split(' ') ?? [];
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * tickMs;
}

/** Resident set of a process in bytes: now, or its peak. Undefined where there is no /proc. */
export function residentBytes(pid: number, which: 'now' | 'peak'): number | undefined {
  const field = { now: 'VmRSS', peak: 'VmHWM' }[which];
  const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readProc(`${pid}/status`) ?? '');
  return found ? Number(found[1]) * 1024 : undefined;
}

/** CPU time of all processes so far, summed over cores: proc(5), `stat`, without idle and iowait. */
function machineCpuMs(): number | undefined {
  const fields = /^cpu +(.*)$/m
    .exec(readProc('stat') ?? '')?.[1]
    ?.split(' ')
    .map(Number);
  if (!fields) return undefined;
  const [user = 0, nice = 0, system = 0, , , interrupts = 0, softInterrupts = 0] = fields;
  return (user + nice + system + interrupts + softInterrupts) * tickMs;
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, 'utf8');
  } catch {
    return undefined;
  }
}
