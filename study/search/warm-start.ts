import { existsSync, readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { z } from 'zod';
import { canonicalJson, digestBytes } from '../../core/digest.ts';
import { ConfigError } from '../../core/errors.ts';
import { choicesSchema, metricsSchema } from '../../core/trial.ts';
import { type NetworkSpec, specDigest } from '../../models/spec.ts';
import type { EarlierStudy, EarlierTrial } from '../../search/earlier-study.ts';
import { decode, type SpaceNode } from '../../search/space.ts';
import type { FolderArtefacts } from '../artefacts.ts';
import type { JournalEvent } from '../journal/events.ts';
import { journalPath, readJournal } from '../journal/journal.ts';
import { StudyRecord, type Trial } from '../journal/record.ts';
import type { StudyConfig } from '../study-file.ts';

/** What one earlier study brings, and what of it does not fit this study's space. */
const fittedStudySchema = z.strictObject({
  name: z.string(),
  /** Digest of the journal it was read from. */
  journal: z.string(),
  /** Training examples of the trials that were taken: those of the fidelity with most results. */
  examples: z.int(),
  /** Keys in which it differs, so that its figures are not this study's: `data`, `targets`, `search.examples`, `trainer`. */
  differs: z.array(z.string()),
  trials: z.array(z.strictObject({ choices: choicesSchema, metrics: metricsSchema })),
  refused: z.array(z.strictObject({ count: z.int(), because: z.string() })),
});
export type FittedStudy = z.output<typeof fittedStudySchema>;

const fileSchema = z.strictObject({ schema: z.literal(1), studies: z.array(fittedStudySchema) });

/** Names the artefact and the decision. */
const id = 'warm-start';

/**
 * The earlier studies that a study starts from (`search.warmStart`). Their journals are read once: what of them fits is an artefact of
 * this study, named by its digest in its journal, so that resuming needs no earlier folder.
 * @throws {ConfigError} naming a folder without a journal, or when nothing at all fits, with the reasons.
 */
export async function earlierStudies(
  { config, record, artefacts }: { config: StudyConfig; record: StudyRecord; artefacts: FolderArtefacts },
  space: SpaceNode,
): Promise<readonly EarlierStudy[]> {
  const { warmStart = [] } = config.search;
  if (warmStart.length === 0) return [];
  const { artefact } = await record.decideOnce(id, async () => {
    const studies = warmStart.map((path, index) => fitStudy(path, `search.warmStart[${index}]`, config, space));
    if (studies.every(({ trials }) => trials.length === 0))
      throw new ConfigError(
        `search.warmStart: expected trials that fit this study's space, got none\n${studies.map(describe).join('\n')}`,
      );
    const digest = await artefacts.put(Buffer.from(canonicalJson({ schema: 1, studies })));
    record.append({ type: 'artefact', id, kind: id, digest, path: `artefacts/${basename(artefacts.path(digest))}` });
    const journals = studies.map(({ name, journal, trials }) => ({ name, journal, trials: trials.length }));
    return { value: { artefact: digest, studies: journals }, because: studies.map(describe).join('; ') };
  });
  const bytes = await artefacts.read(artefact);
  return fileSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8'))).studies;
}

function describe({ name, trials, differs, refused }: FittedStudy): string {
  const others = refused.map(({ count, because }) => `${count} refused: ${because}`);
  const difference = differs.length > 0 ? ` (other ${differs.join(', ')})` : '';
  return [`${name}${difference}: ${trials.length} trials fit`, ...others].join(', ');
}

function fitStudy(path: string, place: string, config: StudyConfig, space: SpaceNode): FittedStudy {
  const file = journalPath(resolve(config.baseDirectory, path));
  if (!existsSync(file)) throw new ConfigError(`${place}: expected the folder of a study, got no journal in ${path}`);
  const { events } = readJournal(file);
  const fitted = fitTrials(events, space);
  if (fitted.trials.length + fitted.refused.length === 0)
    throw new ConfigError(`${place}: expected a study that searched, got no finished trial of a search in ${path}`);
  const created = events.find((event) => event.type === 'study' && event.action === 'created');
  return {
    name: created?.id ?? basename(path),
    journal: digestBytes(readFileSync(file)),
    differs: differences(created?.type === 'study' ? created.config : undefined, config),
    ...fitted,
  };
}

/**
 * Trials of a journal's search whose choices build the same network in a space, but for the number of classes and of input channels, which
 * are the data's. Of several fidelities the one of most results, of equals the longest: accuracies compare within one only.
 */
export function fitTrials(
  events: readonly JournalEvent[],
  space: SpaceNode,
): Pick<FittedStudy, 'trials' | 'refused' | 'examples'> {
  const record = StudyRecord.replay(events);
  const known = record.trials.flatMap((trial) => {
    const outcome = trial.phase === 'search' ? record.outcome(trial.id) : undefined;
    const metrics = outcome?.status === 'failed' ? undefined : outcome?.metrics;
    return metrics === undefined ? [] : [{ trial, metrics, isOk: outcome?.status === 'ok' }];
  });
  const groups = new Map<string, typeof known>();
  for (const item of known) {
    const key = canonicalJson(item.trial.fidelity);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  const results = (group: typeof known): number => group.filter(({ isOk }) => isOk).length;
  const examplesOf = (group: typeof known): number => group[0]?.trial.fidelity.examples ?? 0;
  const [taken = []] = [...groups.values()].sort((a, b) => results(b) - results(a) || examplesOf(b) - examplesOf(a));
  const trials: EarlierTrial[] = [];
  const reasons = new Map<string, number>();
  for (const { trial, metrics } of taken) {
    const because = refusal(space, trial);
    if (because === undefined) trials.push({ choices: trial.choices, metrics });
    else reasons.set(because, (reasons.get(because) ?? 0) + 1);
  }
  const refused = [...reasons].map(([because, count]) => ({ count, because })).sort((a, b) => b.count - a.count);
  return { examples: examplesOf(taken), trials, refused };
}

/** Why a trial is none of a space; undefined where it is one. */
function refusal(space: SpaceNode, { choices, spec }: Trial): string | undefined {
  let here: NetworkSpec;
  try {
    here = decode(space, choices);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  const there = { ...spec, classes: here.classes, input: { ...spec.input, channels: here.input.channels } };
  return specDigest(there) === specDigest(here) ? undefined : 'its choices build another network in this space';
}

/** What stands at a path such as `search.examples`; undefined where nothing does. */
function at(config: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((node, key) => (isMapping(node) ? node[key] : undefined), config);
}

/** Keys that decide what a figure means and in which two studies differ. */
function differences(before: unknown, now: StudyConfig): string[] {
  const keys = ['data', 'targets', 'search.examples', 'trainer', 'trainerCommand'];
  return keys.filter((key) => canonicalJson([at(before, key) ?? null]) !== canonicalJson([at(now, key) ?? null]));
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
