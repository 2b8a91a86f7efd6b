import { availableParallelism } from 'node:os';
import { expect, it } from 'vitest';
import { busyMs, hostLoad } from '../../latency/host-load.ts';

const stat = `cpu  100 20 30 4000 500 6 7 8 90 0
cpu0 50 10 15 2000 250 3 3 4 45 0
cpu1 50 10 15 2000 250 3 4 4 45 0
intr 835074 0 0
`;

it('of a host is all that is neither idle nor waiting for a disk, time stolen by a hypervisor included, guests once', () => {
  expect(busyMs(stat)).toBe(10 * (100 + 20 + 30 + 6 + 7 + 8));
});

it('is nothing where the system does not count', () => {
  expect(busyMs('cpu  0 0 0 0 0 0 0 0 0 0\n')).toBe(0);
  expect(busyMs('')).toBe(0);
});

it('of this host knows its cores, and never runs backwards by more than its step', () => {
  const load = hostLoad();
  if (!load) return;
  expect(load.cores).toBeGreaterThanOrEqual(availableParallelism());
  const before = load.otherCpuMs();
  for (let work = 0; work < 1e6; work++) Math.sqrt(work);
  expect(load.otherCpuMs()).toBeGreaterThanOrEqual(before - load.cores * load.stepMs);
});
