import { defineCommand } from 'citty';
import { basename, extname } from 'node:path';
import { type Command, commandNameOf, readCommand } from '../commands/declaration.ts';
import { commandProtocols } from '../commands/sampling.ts';
import { openCommandTarget } from '../commands/target.ts';
import { digestBytes } from '../core/digest.ts';
import { ConfigError, InterruptedError, InvalidFileError, RidgepointError } from '../core/errors.ts';
import { type Meter, type MeterRequest, openMeter } from '../latency/isolate.ts';
import { type Fingerprint, type Latency, latencySchema, type Percentile, percentiles } from '../latency/latency.ts';
import { Ledger, type LedgerIdentity, ledgerName, type ModelOrigin } from '../latency/ledger.ts';
import type { MeasureProgress } from '../latency/measure.ts';
import { candidateModel, modelBytes } from '../latency/model-file.ts';
import { type ProtocolPreset, protocolPresets, protocols } from '../latency/protocol.ts';
import { type Offline, type ScenarioName, scenarioNames, type Server } from '../latency/scenario.ts';
import { keepsLimit, type LimitMet, limitDoubt } from '../latency/setting.ts';
import { verifiable, verifyEntry, type Verified } from '../latency/verify.ts';
import type { ModelSpec } from '../models/transformer.ts';
import { type Limit, limitSchema } from '../study/sizes.ts';
import { listArgument, numberArgument, oneOf, positiveArgument } from './arguments.ts';
import {
  expectUnscaled,
  namesNetwork,
  networkArgument,
  type ScalingArguments,
  scalingFlags,
} from './network-argument.ts';
import { describeLatency, describeOffline, describeServer, describeVerified } from './measured-text.ts';
import { interruptible, openReporter, type Reporter } from './progress.ts';

const precisions = latencySchema.shape.precision.options;

/** The user's own program that an `--on` names; undefined where it names a provider. @throws {ConfigError} when it is not declared. */
function commandOf(on: string, file: string): Command | undefined {
  const name = commandNameOf(on);
  if (name !== undefined) return readCommand(file, name);
  return /\.ya?ml$/.test(on) ? readCommand(on, basename(on, extname(on))) : undefined;
}

/** `ridgepoint measure model.onnx --on cpu`: latency of any ONNX file or network on any local provider, or by a program of the user's own. */
export const command = defineCommand({
  args: {
    model: {
      type: 'positional',
      description: 'ONNX file, or network spec (YAML) or built-in network, untrained; none with --verify',
      required: false,
    },
    ...scalingFlags,
    resolution: { type: 'string', description: "input side in pixels, of a spec (default: the spec's)" },
    on: {
      type: 'string',
      description:
        'accelerators, repeatable or comma-separated (ridgepoint accelerators lists them), command:<name>, or the .yaml file of a command',
      default: 'cpu',
    },
    commands: { type: 'string', description: 'file that declares commands by name', default: 'commands.yaml' },
    precision: {
      type: 'string',
      description: `${precisions.join(', ')}; of a command, fp32 by default; a provider runs the file in its own`,
    },
    'allow-fallback': {
      type: 'boolean',
      description:
        'measure a model with operators that the provider lacks; they run on the CPU, and the record says so',
    },
    batch: { type: 'string', description: 'extents of a symbolic batch axis, comma-separated', default: '1' },
    threads: { type: 'string', description: 'threads inside one inference', default: '1' },
    protocol: { type: 'string', description: protocolPresets.join(' or '), default: 'thorough' },
    percentile: {
      type: 'string',
      description: `${percentiles.join(', ')}: whose interval decides when to stop; that of --limit, or 50`,
    },
    scenario: { type: 'string', description: scenarioNames.join(', '), default: 'single-stream' },
    rate: {
      type: 'string',
      description: 'arrivals of the server scenario, e.g. 200/s; the highest within --limit else',
    },
    limit: { type: 'string', description: 'e.g. "p99 < 9ms"; of response times in the server scenario' },
    seed: { type: 'string', description: 'of the arrivals', default: '0' },
    ledger: { type: 'string', description: `file that latencies are added to, e.g. runs/${ledgerName}` },
    verify: { type: 'boolean', description: 'measure what the ledger holds of this host again' },
    entries: { type: 'string', description: 'newest entries that --verify measures', default: '10' },
    strict: { type: 'boolean', description: 'exit with 3 when a latency is unstable or does not verify' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  async run({ args, rawArgs }) {
    const preset = oneOf('--protocol', protocolPresets, args.protocol);
    const precision = args.precision === undefined ? undefined : oneOf('--precision', precisions, args.precision);
    const scenario = oneOf('--scenario', scenarioNames, args.scenario);
    const limit = args.limit === undefined ? undefined : limitArgument(args.limit);
    const percentile = percentileArgument(args.percentile, limit);
    const ratePerS = args.rate === undefined ? undefined : rateArgument(args.rate);
    expectSense({ ...args, ratePerS, limit }, scenario);
    expectVerifyAlone(args.verify, rawArgs);
    const threads = numberArgument('--threads', args.threads, 1);
    const batches = listArgument(rawArgs, 'batch', args.batch).map((text) => numberArgument('--batch', text, 1));
    const seed = numberArgument('--seed', args.seed);
    const entries = numberArgument('--entries', args.entries, 1);
    const ons = listArgument(rawArgs, 'on', args.on);
    const ledger =
      args.ledger === undefined && !args.verify ? undefined : new Ledger(args.ledger ?? `runs/${ledgerName}`);

    const reporter = openReporter({ json: args.json ?? false });
    const signal = interruptible(reporter, 'nothing was kept');
    let meter: Meter | undefined;
    const open = (): Meter => (meter ??= openMeter());
    const results: (Latency | Offline | Server)[] = [];
    const watching = (what: string) => ({ signal, onProgress: tell(reporter, what) });
    try {
      if (args.verify) {
        await verify(ledger as Ledger, { entries, strict: args.strict, json: args.json }, open, watching);
        return;
      }
      const { spec, modelOf } = subjectOf(args.model as string, args);
      for (const on of ons)
        for (const batch of batches) {
          const model = modelOf(batch);
          const call = watching(batches.length > 1 ? `${on}, batch ${batch}` : on);
          const declared = commandOf(on, args.commands);
          if (declared) {
            if (scenario !== 'single-stream')
              throw new ConfigError(`--scenario: expected single-stream on ${on}, got ${scenario}`);
            expectOfProvider(on, args);
            const target = openCommandTarget(declared);
            const request = {
              model,
              ...(spec ? { spec: JSON.stringify(spec) } : {}),
              batch,
              threads,
              precision: precision ?? 'fp32',
              percentile,
              protocol: commandProtocols[preset],
            };
            results.push(await target.measure(request, call).finally(() => target.close()));
            continue;
          }
          const setting = { accelerator: on, batch, threads };
          const host = ledger && (await open().fingerprint(on, call));
          const quietReferenceMs = host && ledger.quietReferenceMs(on, threads, host);
          const quiet = quietReferenceMs === undefined ? {} : { quietReferenceMs };
          const allowFallback = args['allow-fallback'];
          const request: MeterRequest = {
            model,
            setting,
            protocol: protocols[preset],
            percentile,
            ...(precision && { precision }),
            ...(allowFallback && { allowFallback }),
            ...quiet,
          };
          if (scenario === 'offline') results.push(await open().offline(request, call));
          else if (scenario === 'server')
            results.push(
              await open().server(
                request,
                { seed, ...(limit ? { limit } : {}), ...(ratePerS === undefined ? {} : { ratePerS }) },
                call,
              ),
            );
          else {
            const latency = await open().measure(request, call);
            results.push(latency);
            if (ledger)
              await note(
                ledger,
                model,
                spec ? { spec } : { path: args.model as string },
                { ...setting, percentile, preset },
                latency,
              );
          }
        }
    } catch (error) {
      // The runtime sees bytes only; a person wants to know of which file.
      if (!(error instanceof InvalidFileError) || !args.model || error.message.includes(args.model)) throw error;
      throw new InvalidFileError(`${args.model}: ${error.message}`, { cause: error });
    } finally {
      reporter.finish();
      await meter?.close();
    }
    const about = { schema: 1, model: args.model };
    if (args.json)
      console.log(
        JSON.stringify(
          scenario === 'single-stream' ? { ...about, latencies: results } : { ...about, scenario, results },
        ),
      );
    else console.log(results.map((result) => describe(result, limit)).join('\n'));
    const kept = results.map((result) => keeps(result, limit));
    const isUnstable = args.strict && results.some(({ stable }) => !stable);
    // That a limit is missed says more than that something is not known.
    if (isUnstable || kept.includes('unknown')) process.exitCode = 3;
    if (kept.includes(false)) process.exitCode = 4;
  },
});

/** What is measured: a file as it is, or a network with untrained weights, its file made for each batch. */
function subjectOf(
  argument: string,
  scaling: ScalingArguments,
): { readonly spec?: ModelSpec; readonly modelOf: (batch: number) => string | Uint8Array } {
  if (namesNetwork(argument)) {
    const spec = networkArgument(argument, scaling);
    return { spec, modelOf: (batch) => candidateModel(spec, batch) };
  }
  expectUnscaled(argument, scaling);
  if (scaling.resolution !== undefined)
    throw new ConfigError(`${argument}: expected a spec or a built-in network with --resolution, got an ONNX file`);
  return { modelOf: () => argument };
}

/** Refuses what only providers know beside a program of the user's own. */
function expectOfProvider(
  on: string,
  { ledger, 'allow-fallback': allowFallback }: { ledger?: string | undefined; 'allow-fallback'?: boolean | undefined },
): void {
  if (ledger !== undefined)
    throw new ConfigError(`--ledger: expected a provider, got ${on}: nobody here knows what a program measures on`);
  if (allowFallback) throw new ConfigError(`--allow-fallback: expected a provider, got ${on}`);
}

function limitArgument(text: string): Limit {
  const parsed = limitSchema.safeParse(text);
  if (!parsed.success) throw new ConfigError(`--limit: ${parsed.error.issues[0]?.message}`);
  return parsed.data;
}

/** `200/s`, or a bare number of the same meaning. */
function rateArgument(text: string): number {
  return positiveArgument('--rate', text.replace(/\s*\/\s*s$/, ''));
}

function percentileArgument(text: string | undefined, limit: Limit | undefined): Percentile {
  if (text === undefined) return limit?.percentile ?? 50;
  const percentile = percentiles.find((known) => String(known) === text.replace(/^p/, ''));
  if (!percentile) throw new ConfigError(`--percentile: expected ${percentiles.join(', ')}, got ${text}`);
  if (limit && limit.percentile !== percentile)
    throw new ConfigError(`--percentile: expected that of --limit, ${limit.percentile}, got ${percentile}`);
  return percentile;
}

/** Refuses options that would be ignored. */
function expectSense(
  given: {
    readonly model?: string | undefined;
    readonly verify?: boolean | undefined;
    readonly ledger?: string | undefined;
    readonly 'allow-fallback'?: boolean | undefined;
    readonly percentile?: string | undefined;
    readonly ratePerS: number | undefined;
    readonly limit: Limit | undefined;
  },
  scenario: ScenarioName,
): void {
  const { model, verify, ratePerS, limit } = given;
  if (verify && model !== undefined)
    throw new ConfigError(`--verify: expected no model, for the ledger names them, got ${model}`);
  if (!verify && model === undefined)
    throw new ConfigError('expected an ONNX file, a spec or a built-in network to measure, got none');
  if (scenario === 'server' ? ratePerS === undefined && limit === undefined : ratePerS !== undefined)
    throw new ConfigError(
      scenario === 'server'
        ? '--scenario server: expected --rate, --limit or both, got neither'
        : `--rate: expected --scenario server, got ${scenario}`,
    );
  if (scenario === 'offline' && (limit || given.percentile !== undefined))
    throw new ConfigError(
      '--scenario offline: expected no --limit and no --percentile, for it counts examples a second',
    );
  if (given.ledger !== undefined && given['allow-fallback'])
    throw new ConfigError(
      '--ledger: expected no --allow-fallback, for a ledger holds latencies of one accelerator each',
    );
  if (scenario !== 'single-stream' && given.ledger !== undefined)
    throw new ConfigError(`--ledger: expected --scenario single-stream, got ${scenario}: a ledger holds latencies`);
}

/** What a ledger's entry was measured on and how is in the entry. */
function expectVerifyAlone(verify: boolean | undefined, rawArgs: readonly string[]): void {
  const given = rawArgs.flatMap((argument) => /^--([a-z-]+)/.exec(argument)?.[1] ?? []);
  const allowed = ['verify', 'ledger', 'entries', 'strict', 'json'];
  const ignored = given.find((name) => (verify ? !allowed.includes(name) : name === 'entries'));
  if (ignored === undefined) return;
  throw new ConfigError(
    verify
      ? `--verify: expected no --${ignored}, for entries are measured as they were`
      : '--entries: expected --verify beside it, got none',
  );
}

function tell(reporter: Reporter, what: string): (progress: MeasureProgress) => void {
  return ({ session, p50Ms, rejectedBlocks, at }) =>
    reporter.progress({
      phase: 'measure',
      text: `${what}${at ? `, ${at}` : ''}: ${session} sessions${p50Ms === null ? '' : `, p50 ${p50Ms.toPrecision(3)} ms`}, ${rejectedBlocks} blocks rejected`,
    });
}

async function note(
  ledger: Ledger,
  model: string | Uint8Array,
  origin: ModelOrigin,
  {
    preset,
    ...asked
  }: Pick<LedgerIdentity, 'accelerator' | 'batch' | 'threads' | 'percentile'> & {
    readonly preset: ProtocolPreset;
  },
  latency: Latency,
): Promise<void> {
  const identity: LedgerIdentity = {
    ...asked,
    model: digestBytes(await modelBytes(model)),
    precision: latency.precision,
    scenario: 'single-stream',
    protocol: protocols[preset],
  };
  ledger.add(identity, latency, origin, new Date());
}

/** Measures entries of a ledger again and prints how they compare. */
async function verify(
  ledger: Ledger,
  { entries, strict, json }: { readonly entries: number; readonly strict?: boolean; readonly json?: boolean },
  open: () => Meter,
  watching: (what: string) => Parameters<Meter['measure']>[1],
): Promise<void> {
  const known = ledger.entries;
  /** What does not start here is of no host that this is. */
  const hostOf = (accelerator: string): Promise<Fingerprint | undefined> =>
    open()
      .fingerprint(accelerator, watching(accelerator))
      .catch((error: unknown) => {
        if (!(error instanceof RidgepointError) || error instanceof InterruptedError) throw error;
        return undefined;
      });
  const candidates = await verifiable(known, hostOf);
  const verified: Verified[] = [];
  for (const [index, entry] of candidates.slice(0, entries).entries()) {
    const call = watching(`entry ${index + 1} of ${Math.min(entries, candidates.length)}`);
    verified.push(
      await verifyEntry(ledger, entry, async (model, { accelerator, batch, threads, protocol, percentile }) => {
        const setting = { accelerator, batch, threads };
        const host = await open().fingerprint(accelerator, call);
        const quietReferenceMs = ledger.quietReferenceMs(accelerator, threads, host);
        const quiet = quietReferenceMs === undefined ? {} : { quietReferenceMs };
        return open().measure({ model, setting, protocol, percentile: percentile as Percentile, ...quiet }, call);
      }),
    );
  }
  const elsewhere = known.length - candidates.length;
  if (json)
    console.log(
      JSON.stringify({
        schema: 1,
        ledger: ledger.path,
        entries: known.length,
        unreadable: ledger.unreadable,
        verified,
      }),
    );
  else {
    for (const one of verified) console.log(describeVerified(one));
    console.log(
      `${verified.length} of ${candidates.length} latencies of this host measured again; ${elsewhere} other entries are older, unstable or of another host or runtime, ${ledger.unreadable} lines unreadable`,
    );
  }
  if (strict && verified.some(({ verdict }) => verdict === 'disagrees' || verdict === 'unstable')) process.exitCode = 3;
}

function describe(result: Latency | Offline | Server, limit: Limit | undefined): string {
  if (!('scenario' in result)) {
    return describeLatency(result) + (limit ? `\n  ${limitText(result, limit)}` : '');
  }
  return result.scenario === 'offline' ? describeOffline(result) : describeServer(result);
}

function limitText(latency: Latency, limit: Limit): string {
  const asked = `p${limit.percentile} < ${limit.ms} ms`;
  const kept = keepsLimit(latency, limit);
  if (kept === 'unknown') return `NOT KNOWN to be within ${asked}: ${limitDoubt(latency)}`;
  return `${kept ? 'within' : 'ABOVE'} ${asked}`;
}

/** Whether it meets the limit asked of it; where none was, it does. */
function keeps(result: Latency | Offline | Server, limit: Limit | undefined): LimitMet {
  if (!limit) return true;
  if (!('scenario' in result)) return keepsLimit(result, limit);
  return result.scenario !== 'server' || result.highestRatePerS !== null;
}
