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
 * Node knows of each core. A container sees its whole host, which is what disturbs it.
 */
export function hostLoad(): HostLoad {
  const busyMs = process.platform === 'linux' ? linuxBusyMs : portableBusyMs;
  return {
    // Not availableParallelism: that is this process's share, and others run on all.
    cores: Math.max(1, cpus().length),
    stepMs: 10,
    otherCpuMs() {
      const { user, system } = process.cpuUsage();
      return busyMs() - (user + system) / 1e3;
    },
  };
}

/** proc(5), `stat`: user, nice, system, idle, iowait, irq, softirq, steal, in hundredths of a second (USER_HZ). */
function linuxBusyMs(): number {
  const line = /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? '';
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0, steal = 0] = line.split(' ').map(Number);
  return 10 * (user + nice + system + irq + softIrq + steal);
}

function portableBusyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}
