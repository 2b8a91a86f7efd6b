import { emulated } from '../accelerators/software-driver.ts';
import type { Latency } from '../latency/latency.ts';
import type { Offline, Server, ServerPoint } from '../latency/scenario.ts';
import type { Verified } from '../latency/verify.ts';

// What was measured, as people read it.

function ms(value: number): string {
  return `${value.toPrecision(3)} ms`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** Whose clock took the time, and what is in it. */
function clockText({ clock, includesIo }: Pick<Latency, 'clock' | 'includesIo'>): string {
  const whose = clock === undefined ? 'nobody said whose clock' : `${clock}'s clock`;
  return `${whose}, copies in and out ${includesIo ? '' : 'not '}included`;
}

/** A latency in three lines. */
export function describeLatency(latency: Latency): string {
  const { accelerator, batch, threads, p50Ms, p90Ms, p99Ms, intervalMs, sessions, samples, stable, reported } = latency;
  const interval = `(${100 * intervalMs.level} % interval ${ms(intervalMs.lo)} to ${ms(intervalMs.hi)})`;
  const with50 = (percentile: number, text: string): string =>
    intervalMs.percentile === percentile ? `${text} ${interval}` : text;
  const p99 = p99Ms === null ? (reported ? 'not reported' : 'not given below 300 samples') : ms(p99Ms);
  return [
    `${accelerator}, batch ${batch}, ${threads} thread${threads === 1 ? '' : 's'}: ${with50(50, `p50 ${ms(p50Ms)}`)}, ${with50(90, `p90 ${ms(p90Ms)}`)}, ${with50(99, `p99 ${p99}`)}`,
    `  ${stable ? 'stable' : 'UNSTABLE: do not rely on it'}; ${reported ? 'percentiles as the program reported them, unchecked' : `${samples} runs`} in ${sessions} sessions, ${disturbanceText(latency)}; ${clockText(latency)}`,
    `  on ${latency.fingerprint?.cpu ?? 'unknown'}, ${latency.fingerprint?.runtime ?? ''} (${latency.fingerprint?.provider ?? ''})`,
    ...caveats(latency),
  ].join('\n');
}

/** What makes the number another one than it seems. */
function caveats({ accelerator, placement = {}, fingerprint }: Latency): string[] {
  const isMixed = Object.keys(placement).some((provider) => provider !== accelerator);
  const shares = Object.entries(placement).map(([provider, nodes]) => `${nodes} on ${provider}`);
  return [
    ...(isMixed ? [`  NOT ${accelerator} ALONE: of the nodes ran ${shares.join(', ')}`] : []),
    ...(fingerprint?.software === undefined ? [] : [`  NO GPU: ${accelerator} ran ${emulated(fingerprint.software)}`]),
  ];
}

function disturbanceText({
  rejectedBlocks,
  drift,
  otherLoad,
}: Pick<Latency, 'rejectedBlocks' | 'drift' | 'otherLoad'>): string {
  const others = otherLoad === undefined ? '' : `, other processes used ${percent(otherLoad)} of the host`;
  return `${rejectedBlocks} blocks rejected, reference drift ${percent(drift)}${others}`;
}

/** Throughput, and the latency of a batch. */
export function describeOffline({ examplesPerS, intervalPerS, latency, stable }: Offline): string {
  const { level, lo, hi } = intervalPerS;
  return [
    `offline, batch ${latency.batch}: ${examplesPerS.toPrecision(3)} examples/s (${100 * level} % interval ${lo.toPrecision(3)} to ${hi.toPrecision(3)}), ${stable ? 'stable' : 'UNSTABLE: do not rely on it'}`,
    `  one batch: ${describeLatency(latency)}`,
  ].join('\n');
}

/** Response times by rate. */
export function describeServer({ service, points, limit, highestRatePerS, seed }: Server): string {
  const asked = limit ? `p${limit.percentile} < ${limit.ms} ms` : '';
  const answer = !limit
    ? []
    : highestRatePerS === null
      ? [
          points.at(-1)?.intervalMs.hi === null && !points.at(-1)?.saturated
            ? `  whether ${asked} holds is not known: too few requests arrive in the time there is`
            : `  no rate that was tried surely meets ${asked}`,
        ]
      : [`  ${asked} holds at ${highestRatePerS.toPrecision(3)} requests/s`];
  return [
    `server, Poisson arrivals (seed ${seed}); one request alone: ${describeLatency(service)}`,
    ...points.map(pointText),
    ...answer,
  ].join('\n');
}

function pointText(point: ServerPoint): string {
  const { ratePerS, arrivals, p50Ms, p90Ms, p99Ms, intervalMs, meanWaitMs, utilisation, saturated, stable } = point;
  const { percentile, level, lo, hi } = intervalMs;
  const percentilesText = `p50 ${ms(p50Ms)}, p90 ${ms(p90Ms)}, p99 ${p99Ms === null ? 'not given below 300 arrivals' : ms(p99Ms)}`;
  const interval = `${100 * level} % interval of the p${percentile} ${ms(lo)} to ${hi === null ? 'unbounded, too few arrivals' : ms(hi)}`;
  const times = saturated ? 'the queue grows without end' : `response ${percentilesText} (${interval})`;
  return `  ${ratePerS.toPrecision(3)} requests/s: ${times}; mean wait ${ms(meanWaitMs)}, busy ${percent(utilisation)}, ${arrivals} arrivals, ${stable ? 'stable' : 'UNSTABLE'}; ${disturbanceText(point)}`;
}

/** An entry of a ledger, then and now. */
export function describeVerified(verified: Verified): string {
  const { entry } = verified;
  const { accelerator, batch, threads, percentile, model } = entry.identity;
  const what = `${model.slice(7, 19)} on ${accelerator}, batch ${batch}, ${threads} thread${threads === 1 ? '' : 's'}, ${entry.at.slice(0, 10)}`;
  if (verified.verdict === 'impossible') return `cannot be verified  ${what}: ${verified.because}`;
  const range = ({ intervalMs: { lo, hi }, p50Ms }: Latency): string =>
    `p50 ${ms(p50Ms)} (p${percentile} ${lo.toPrecision(3)} to ${hi.toPrecision(3)})`;
  const text = { agrees: 'agrees', disagrees: 'DISAGREES', unstable: 'unstable now' }[verified.verdict];
  return `${text.padEnd(18)}  ${what}: ${range(entry.latency)}, now ${range(verified.latency)}`;
}
