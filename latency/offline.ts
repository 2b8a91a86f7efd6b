import { type Goal, type MeasureContext, type MeasureRequest, sampleSessions, summarise } from './measure.ts';
import type { Offline } from './scenario.ts';
import { geometricInterval, type Interval, relativeHalfWidth } from './statistics.ts';

/**
 * Throughput of batches back to back. A session's is its examples over its time, slow runs included (a mean, where
 * latency is a median); fresh sessions are the units of the interval, as in {@link measure}, and it decides when to stop.
 */
export async function measureOffline(request: MeasureRequest, context: MeasureContext): Promise<Offline> {
  const { protocol, setting } = request;
  const { interval, capMs } = protocol;
  const throughput = (sessions: readonly (readonly number[])[]): Interval =>
    geometricInterval(
      sessions.map((samples) => (1e3 * setting.batch * samples.length) / samples.reduce((sum, ms) => sum + ms, 0)),
      interval.level,
    );
  const goal: Goal = { tolerance: interval.tolerance, capMs, samplesPerSession: 1, intervalOf: throughput };
  const sampled = await sampleSessions(request, context, goal);
  const { centre, lo, hi } = throughput(sampled.sessions);
  return {
    scenario: 'offline',
    latency: summarise(request, context, sampled),
    examplesPerS: centre,
    intervalPerS: { level: interval.level, lo, hi },
    stable: relativeHalfWidth({ centre, lo, hi }) <= interval.tolerance && sampled.quietness.undisturbed,
  };
}
