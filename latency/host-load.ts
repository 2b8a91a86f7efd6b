import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** What other processes take of this host, as its operating system counts it. */
export interface HostLoad {
  /** Logical processors. */
  readonly cores: number;
  /** The count moves in steps of this size on each core, in milliseconds. */
  readonly stepMs: number;
  /** CPU time of everybody but this process since some moment, summed over cores, in milliseconds. */
  otherCpuMs(): number;
}

/**
 * This host's. On Linux from /proc/stat, time that a hypervisor gave to other machines included; elsewhere what
 * Node knows of each core. A container sees its whole host, which is what disturbs it. Undefined where the system's
 * count does not even hold this process's own time: some sandboxes show zeros.
 */
export function hostLoad(): HostLoad | undefined {
  const countedMs = process.platform === 'linux' ? linuxBusyMs : portableBusyMs;
  const otherCpuMs = (): number => {
    const { user, system } = process.cpuUsage();
    return countedMs() - (user + system) / 1e3;
  };
  // Not availableParallelism: that is this process's share, and others run on all.
  return otherCpuMs() < -stepMs ? undefined : { cores: Math.max(1, cpus().length), stepMs, otherCpuMs };
}

/** Linux counts in hundredths of a second (USER_HZ); others are no finer. */
const stepMs = 10;

function linuxBusyMs(): number {
  try {
    return busyMs(readFileSync('/proc/stat', 'utf8'));
  } catch {
    return 0;
  }
}

/**
 * Time in milliseconds that all cores together were not idle, of the text of /proc/stat.
 * @see proc(5): user, nice, system, idle, iowait, irq, softirq, steal; guests are in user and nice already.
 */
export function busyMs(stat: string): number {
  const fields = /^cpu +(.*)$/m.exec(stat)?.[1] ?? '';
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0, steal = 0] = fields.split(' ').map(Number);
  return stepMs * (user + nice + system + irq + softIrq + steal);
}

function portableBusyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}
