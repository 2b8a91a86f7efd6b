import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { modelCard } from '../../report/card.ts';
import { renderReport } from '../../report/html.ts';
import type { DeliveredVariant } from '../../report/variants.ts';
import { familyCsv, paretoCsv, sharedCsv, trialsCsv } from '../../report/tables.ts';
import type { DataDescription } from '../context.ts';
import { preprocessingOf } from '../preprocessing.ts';
import { memberFolder } from './deliver-phase.ts';
import type { JournalEvent } from '../journal/events.ts';
import { readStudyEvents } from '../journal/journal.ts';
import { ResultFiles } from './result-files.ts';
import { resolveRecipe } from '../evaluation/recipe.ts';
import { sharedFolder } from './shared-family.ts';
import type { StudyConfig } from '../study-file.ts';
import { summarise } from './summarise.ts';
import type { MemberSummary, SharedMemberSummary, StudySummary, TargetSummary, VariantSummary } from './summary.ts';
import { variantId } from './variants.ts';

/** Everything a study's folder shows, again, from its journal. */
export async function rebuildResults(folder: string): Promise<StudySummary> {
  const events = readStudyEvents(folder);
  const summary = summarise(events);
  const created = events.find((event) => event.type === 'study' && event.action === 'created');
  await writeResults(folder, (created?.type === 'study' ? created.config : undefined) as StudyConfig, events, summary);
  return summary;
}

/**
 * Writes tables, cards, metrics, the report and last the manifest, each beside and renamed. Delivered
 * ONNX files are already in place; the manifest holds the digest of everything a user may take away.
 */
export async function writeResults(
  folder: string,
  config: StudyConfig,
  events: readonly JournalEvent[],
  summary: StudySummary,
): Promise<void> {
  const files = new ResultFiles(folder);
  files.write('trials.csv', trialsCsv(summary));
  files.write('pareto.csv', paretoCsv(summary));
  files.write('family.csv', familyCsv(summary));
  const data = events.flatMap((event) =>
    event.type === 'decision' && event.id === 'data' ? [event.value as DataDescription] : [],
  )[0];
  for (const target of summary.targets)
    for (const member of target.lines.find(({ kind }) => kind === 'family')?.members ?? []) {
      const path = memberFolder({ target: target.name, size: member.size });
      const artefact = events.find(
        (event) => event.type === 'artefact' && event.id === `delivered ${target.name} ${member.size}`,
      );
      if (!data || artefact?.type !== 'artefact') continue;
      const { count, latency, testAccuracy, holdoutAccuracy, limitMet, multipliers, delivered } = member;
      const variants = member.variants.map((variant) => deliveredVariant(folder, events, { target, member, variant }));
      const metrics = {
        schema: 1,
        target: target.name,
        size: member.size,
        digest: artefact.digest,
        delivered,
        testAccuracy,
        holdoutAccuracy,
        latency,
        limitMet,
        multipliers,
        count,
        ...(variants.length > 0 ? { variants } : {}),
      };
      files.write(join(path, 'metrics.json'), `${JSON.stringify(metrics, null, 2)}\n`);
      files.write(
        join(path, 'card.md'),
        modelCard({
          summary,
          target,
          member,
          preprocessing: preprocessingOf(data),
          digest: artefact.digest,
          variants,
          ...(config.trainerCommand ? {} : { recipe: resolveRecipe(config.trainer).recipe }),
          trainingExamples: member.trainingExamples,
          ...(existsSync(join(folder, path, 'model.onnx'))
            ? { bytes: statSync(join(folder, path, 'model.onnx')).size }
            : {}),
        }),
      );
      files.add(join(path, 'model.onnx'), artefact.digest);
      for (const variant of variants) if ('file' in variant) files.add(variant.file, variant.digest);
      files.add(join(path, 'spec.yaml'));
    }
  if (summary.acrossTargets) {
    const { shared, ...across } = summary.acrossTargets;
    files.write(
      'across-targets.json',
      `${JSON.stringify({ schema: 1, ...across, shared: shared.map(withoutSpec) }, null, 2)}\n`,
    );
    if (shared.length > 0) files.write('shared.csv', sharedCsv(summary.acrossTargets));
    for (const member of shared) {
      const artefacts = events.flatMap((event) =>
        event.type === 'artefact' && member.files.includes(event.path) ? [event] : [],
      );
      const path = sharedFolder(member.name);
      const digests = Object.fromEntries(artefacts.map((artefact) => [artefact.path, artefact.digest]));
      const metrics = { schema: 1, digests, ...withoutSpec(member) };
      files.write(join(path, 'metrics.json'), `${JSON.stringify(metrics, null, 2)}\n`);
      for (const artefact of artefacts) files.add(artefact.path, artefact.digest);
      files.add(join(path, 'spec.yaml'));
    }
  }
  files.write('report.html', renderReport(summary));
  files.add('resolved.yaml');
  files.add('journal.jsonl');
  files.writeManifest({ ...summary, study: summary.name, seed: config.seed });
}

/** A variant with what is known of its file beside it; where there is none, as it is. */
function deliveredVariant(
  folder: string,
  events: readonly JournalEvent[],
  {
    target,
    member,
    variant,
  }: { readonly target: TargetSummary; readonly member: MemberSummary; readonly variant: VariantSummary },
): DeliveredVariant {
  if ('refusal' in variant) return variant;
  const id = variantId(target.name, member.size, variant.precision);
  const artefact = events.find((event) => event.type === 'artefact' && event.id === id);
  const path = join(folder, variant.file);
  return {
    ...variant,
    ...(artefact?.type === 'artefact' ? { digest: artefact.digest } : {}),
    ...(existsSync(path) ? { bytes: statSync(path).size } : {}),
  };
}

/** The spec lies beside, in a file of its own. */
function withoutSpec({ spec: _spec, ...member }: SharedMemberSummary): Omit<SharedMemberSummary, 'spec'> {
  return member;
}
