import { defineCommand } from 'citty';
import { basename } from 'node:path';
import { precisions } from '../accelerators/device-profile.ts';
import { ConfigError, InfeasibleModelError, InterruptedError } from '../core/errors.ts';
import type { Latency } from '../latency/latency.ts';
import { protocolPresets } from '../latency/protocol.ts';
import { axes, type Elasticity, fitElasticity } from '../scaling/elasticity.ts';
import { type DesignPoint, latencyDesign } from '../scaling/latency-design.ts';
import { loadNetwork } from '../scaling/built-in-networks.ts';
import { sourceText } from '../report/source.ts';
import { openLatencyMeter } from '../study/evaluation/meter.ts';
import { openProfiles } from '../study/evaluation/profiles.ts';
import { resolveStudy } from '../study/resolve-study.ts';
import type { TargetConfig } from '../study/study-file.ts';
import { listArgument, numberArgument, oneOf, positiveArgument } from './arguments.ts';
import { interruptible, openReporter } from './progress.ts';

/** Fewest and most scalings that are measured. */
const [fewest, most] = [8, 200] as const;

/** `ridgepoint elasticity efficientnet-b0 --on cpu`: how the latency of a network answers to depth, width and resolution. */
export const command = defineCommand({
  args: {
    network: { type: 'positional', description: 'network spec (YAML) or built-in network', required: true },
    on: {
      type: 'string',
      description: 'accelerators to measure on, or device profiles (.yaml files too) to predict by; repeatable',
      default: 'cpu',
    },
    batch: { type: 'string', description: 'examples in one run', default: '1' },
    threads: { type: 'string', description: 'threads inside one run', default: '1' },
    precision: {
      type: 'string',
      description: `${precisions.join(', ')}; on a provider fp32 or fp16, the others by profiles only`,
      default: 'fp32',
    },
    points: { type: 'string', description: `scalings to measure, ${fewest} to ${most}`, default: '24' },
    reach: {
      type: 'string',
      description: 'about how many times the latency of the network the largest scaling has',
      default: '4',
    },
    resolution: { type: 'string', description: 'largest input side in pixels (default: 4 times the network’s own)' },
    protocol: { type: 'string', description: protocolPresets.join(' or '), default: 'quick' },
    strict: { type: 'boolean', description: 'exit with 3 when a latency is unstable' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args, rawArgs }) {
    const base = loadNetwork(args.network);
    const points = numberArgument('--points', args.points, fewest);
    if (points > most) throw new ConfigError(`--points: expected at most ${most}, got ${points}`);
    const own = base.input.resolution;
    const maxResolution =
      args.resolution === undefined ? 4 * own : numberArgument('--resolution', args.resolution, own);
    const devices = listArgument(rawArgs, 'on', args.on);
    const precision = oneOf('--precision', precisions, args.precision);
    const protocol = oneOf('--protocol', protocolPresets, args.protocol);
    const setting = {
      batch: numberArgument('--batch', args.batch, 1),
      threads: numberArgument('--threads', args.threads, 1),
      precision,
    };
    // Its targets and its meter are a study's: one way to say what is measured where.
    const targets: Record<string, object> = {};
    for (const device of devices) {
      const name = basename(device).replaceAll(/[^\w.-]/g, '-');
      targets[name in targets ? `${name}-${Object.keys(targets).length}` : name] = { device, ...setting };
    }
    const config = resolveStudy({ study: 'elasticity', targets, latency: protocol }, 'command line');
    await openProfiles(config);
    const design = latencyDesign(base, { maxResolution }, positiveArgument('--reach', args.reach), points);
    const reporter = openReporter({ json: args.json ?? false });
    const signal = interruptible(reporter, 'nothing was kept');
    const meter = openLatencyMeter(config, signal);
    const results: Result[] = [];
    try {
      for (const target of Object.values(config.targets)) {
        const measure = (point: DesignPoint, index: number) => {
          if (signal.aborted) throw new InterruptedError('interrupted; nothing was kept');
          reporter.progress({ phase: 'measure', text: `${target.device}: ${index + 1}/${design.length} scalings` });
          return meter.measureSpec(point.spec, target);
        };
        results.push({ target, ...(await measureAll(design, measure, `${args.network} on ${target.device}`)) });
      }
    } finally {
      reporter.finish();
      await meter.close();
    }
    if (args.json) console.log(JSON.stringify({ schema: 1, network: args.network, elasticities: results.map(record) }));
    else console.log(results.map((result) => describe(args.network, result)).join('\n\n'));
    if (args.strict && results.some(({ measured }) => measured.some(({ latency }) => !latency.stable)))
      process.exitCode = 3;
  },
});

interface Measured {
  readonly point: DesignPoint;
  readonly latency: Latency;
}

interface Result {
  readonly target: TargetConfig;
  readonly measured: readonly Measured[];
  /** Why scalings could not run there. */
  readonly left: readonly string[];
  readonly elasticity: Elasticity;
}

async function measureAll(
  design: readonly DesignPoint[],
  measure: (point: DesignPoint, index: number) => Promise<Latency>,
  where: string,
): Promise<Omit<Result, 'target'>> {
  const measured: Measured[] = [];
  const left: string[] = [];
  for (const [index, point] of design.entries())
    try {
      measured.push({ point, latency: await measure(point, index) });
    } catch (error) {
      // The largest may not fit; the others tell all the same.
      if (!(error instanceof InfeasibleModelError)) throw error;
      left.push(error.message);
    }
  if (measured.length < fewest)
    throw new ConfigError(
      `${where}: expected at least ${fewest} different scalings that can run, got ${measured.length}` +
        (left[0] === undefined ? '; a larger --reach or --resolution makes more' : `: ${left[0]}`),
    );
  const observations = measured.map(({ point, latency }) => ({
    multipliers: point.realised,
    latencyMs: latency.p50Ms,
  }));
  return { measured, left, elasticity: fitElasticity(observations) };
}

function record({ target, measured, left, elasticity: { predict: _predict, ...elasticity } }: Result) {
  const { device, batch, threads, precision } = target;
  const first = measured[0]?.latency;
  return {
    on: device,
    batch,
    threads,
    precision,
    source: first?.source,
    calibrated: first?.calibrated,
    ...elasticity,
    infeasible: left,
    points: measured.map(({ point: { realised }, latency: { p50Ms, intervalMs, stable } }) => ({
      ...realised,
      p50Ms,
      intervalMs,
      stable,
    })),
  };
}

function spread(ms: readonly number[]): string {
  return `${Math.min(...ms).toPrecision(3)} to ${Math.max(...ms).toPrecision(3)} ms`;
}

function describe(network: string, { target, measured, left, elasticity }: Result): string {
  const { exponents, determined, rSquared, residualSd, curvature, overhead, atBase, leaveOneOutError } = elasticity;
  const latencies = measured.map(({ latency }) => latency);
  const base = latencies[0];
  const unstable = latencies.filter(({ stable }) => !stable).length;
  const bends = axes.flatMap((axis) => {
    const curve = curvature[axis];
    if (!curve?.bends) return [];
    const { from, to } = curve;
    return [
      `  bends: the exponent of ${axis} goes from ${from.exponent.toFixed(2)} at ${from.multiplier.toFixed(2)}x to ${to.exponent.toFixed(2)} at ${to.multiplier.toFixed(2)}x`,
    ];
  });
  return [
    `${network} on ${target.device}, batch ${target.batch}, ${target.precision}: ${measured.length} scalings, ${spread(latencies.map(({ p50Ms }) => p50Ms))}, ${base ? sourceText(base) : ''}`,
    `  latency ∝ ${axes.map((axis) => `${axis}^${exponents[axis].value.toFixed(2)}`).join(' · ')}`,
    ...axes.map(
      (axis) =>
        `    ${axis.padEnd(11)}${exponents[axis].value.toFixed(3).padStart(7)}  (95 % interval ${exponents[axis].lo.toFixed(3)} to ${exponents[axis].hi.toFixed(3)})`,
    ),
    `  R² ${rSquared.toFixed(4)}, residual spread ${(100 * residualSd).toFixed(1)} %, left-out error of predictions ${(100 * leaveOneOutError).toFixed(1)} %`,
    ...bends,
    ...(bends.length === 0 ? ['  no bend shows within these scalings'] : []),
    overhead.ms === 0
      ? '  no fixed time shows'
      : `  ${overhead.ms.toPrecision(3)} ms of the base does not grow with width and resolution${overhead.grows === 'with-depth' ? ', but with depth' : ''}; at the base itself ${axes.map((axis) => `${axis}^${atBase[axis].toFixed(2)}`).join(' · ')}`,
    ...(determined ? [] : ['  the scalings do not tell the exponents apart: priors of 1, 1.5 and 1.8 are in them']),
    ...(unstable > 0
      ? [
          `  ${unstable} of ${measured.length} latencies are UNSTABLE: measure again on a calm machine before relying on these exponents`,
        ]
      : []),
    ...(left.length > 0 ? [`  ${left.length} more could not run: ${left[0]}`] : []),
  ].join('\n');
}
