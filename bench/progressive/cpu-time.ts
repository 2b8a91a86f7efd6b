import { readFileSync } from 'node:fs';

/** Ticks a second in `/proc`, on every Linux that Node runs on. */
const ticksPerS = 100;

/** Processor seconds of all child processes that have ended: what a loaded machine does not change. NaN elsewhere than on Linux. */
export function childrenCpuS(): number {
  try {
    // After the name, which may hold spaces: fields 16 and 17 of proc(5), user and system time of ended children.
    const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return (Number(fields[13]) + Number(fields[14])) / ticksPerS;
  } catch {
    return Number.NaN;
  }
}
