import { selectFamily } from '../../scaling/family-selection.ts';
import { bandFloor, proposeScalings } from '../../scaling/optimizer.ts';
import { familyLine, isBase, type Scaling, type SizedScalings, type SizeTarget, spareFinalists } from './scalings.ts';
import type { TargetScalings } from './target-scalings.ts';

/** Times a size is asked for proposals in one round while all of them measure above it. */
const proposalAttempts = 3;

/**
 * Each size its own multipliers: proposals for every size are measured, those that fit are trained, and what was learned goes
 * into the next round. The likely finalists are trained with other seeds before they are chosen.
 */
export async function scalePerSize(scalings: TargetScalings, sizes: readonly SizeTarget[]): Promise<SizedScalings[]> {
  const notes = await trainProposals(
    scalings,
    sizes.filter((size) => !isBase(size)),
  );
  return sizes.some(({ size }) => size.among !== undefined)
    ? spreadFamily(scalings, sizes)
    : bestOfSizes(scalings, sizes, notes);
}

/** Rounds of proposals until every size has its trials, the time is up, or nothing is left. @returns what each size's last proposals were. */
async function trainProposals(
  scalings: TargetScalings,
  grown: readonly SizeTarget[],
): Promise<ReadonlyMap<string, string>> {
  const { scale, seed } = scalings.context.config;
  const tried = new Map(grown.map(({ size }) => [size.name, new Set<string>()]));
  const notes = new Map<string, string>();
  // A proposal that measures above its target costs no training, so it does not count; rounds are bounded instead.
  for (let round = 0; round < 3 * scale.trials; round++) {
    const open = grown.filter(
      ({ size }) => (tried.get(size.name)?.size ?? 0) < scale.trials && notes.get(size.name) !== 'exhausted',
    );
    if (open.length === 0 || !(await scalings.timeLeft(round))) break;
    const fitting = await fittingProposals(scalings, open, { seed: seed + round, notes });
    for (const { scaling, name } of fitting) tried.get(name)?.add(scaling.digest);
    await scalings.train(fitting.map(({ scaling }) => scaling));
  }
  return notes;
}

/**
 * Proposals that measure within their size. A size whose proposals all came out above it is asked again, with
 * what they taught, before anything is trained: measuring is cheap beside training.
 */
async function fittingProposals(
  scalings: TargetScalings,
  open: readonly SizeTarget[],
  { seed, notes }: { readonly seed: number; readonly notes: Map<string, string> },
): Promise<{ scaling: Scaling; name: string }[]> {
  const fitting: { scaling: Scaling; name: string }[] = [];
  let unserved = open;
  for (let attempt = 0; attempt < proposalAttempts && unserved.length > 0; attempt++) {
    const { round: count } = scalings.context.config.scale;
    for (const { size, proposals, status } of proposeScalings({ ...scalings.problem(unserved), count, seed })) {
      notes.set(size.name, status);
      for (const proposal of proposals) {
        const scaling = await scalings.measure(proposal);
        if (scalings.fits(scaling, size.targetMs)) fitting.push({ scaling, name: size.name });
      }
    }
    unserved = unserved.filter(
      ({ size }) => notes.get(size.name) !== 'exhausted' && fitting.every(({ name }) => name !== size.name),
    );
  }
  return fitting;
}

async function bestOfSizes(
  scalings: TargetScalings,
  sizes: readonly SizeTarget[],
  notes: ReadonlyMap<string, string>,
): Promise<SizedScalings[]> {
  const { finalists } = scalings.context.config.scale;
  const shortlists = sizes.map((size) =>
    isBase(size) ? [] : rankedWithin(scalings, size.targetMs).slice(0, finalists + spareFinalists),
  );
  const contested = shortlists.filter(({ length }) => length > finalists);
  await scalings.trainAgain(contested.flat());
  const results: SizedScalings[] = [];
  for (const [index, size] of sizes.entries()) {
    const shortlist = shortlists[index] ?? [];
    const ranked = [...byAccuracy(scalings, shortlist), ...without(rankedWithin(scalings, size.targetMs), shortlist)];
    const found = isBase(size) ? [] : await scalings.confirmed(ranked, finalists);
    const because = isBase(size)
      ? 'the base'
      : `best of ${scalings.trained.length} trained scalings (${notes.get(size.size.name)})`;
    results.push(scalings.sized(size, familyLine, found, because));
  }
  return results;
}

/**
 * Trained scalings that use a size's latency, the most accurate first: within its band where any is, else below. One
 * short training with one seed is too noisy to hand a size to a much smaller network.
 */
function rankedWithin(scalings: TargetScalings, targetMs: number): readonly Scaling[] {
  const fitting = byAccuracy(
    scalings,
    scalings.trained.filter((scaling) => scalings.fits(scaling, targetMs)),
  );
  const inBand = fitting.filter(({ latencyMs }) => latencyMs >= bandFloor * targetMs);
  return inBand.length > 0 ? inBand : fitting;
}

function byAccuracy(scalings: TargetScalings, among: readonly Scaling[]): readonly Scaling[] {
  return among.toSorted((a, b) => (scalings.accuracy(b.digest) ?? 0) - (scalings.accuracy(a.digest) ?? 0));
}

function without(all: readonly Scaling[], taken: readonly Scaling[]): readonly Scaling[] {
  return all.filter(({ digest }) => !taken.some((other) => other.digest === digest));
}

/**
 * Members spread over a range of latency, chosen from every trained scaling of the range, whichever size it was
 * proposed for; those chosen first, and what came near them, are trained with other seeds, then the choice is made again.
 */
async function spreadFamily(scalings: TargetScalings, slots: readonly SizeTarget[]): Promise<SizedScalings[]> {
  const { finalists } = scalings.context.config.scale;
  const [fromMs, toMs] = [slots[0]?.targetMs ?? 0, slots.at(-1)?.targetMs ?? 0];
  const inRange = scalings.trained.filter(
    (scaling) => scaling.latencyMs >= bandFloor * fromMs && scalings.fits(scaling, toMs),
  );
  const candidates = await scalings.confirmed(inRange, inRange.length);
  const select = () =>
    cellsOf(scalings, candidates, { members: slots.length, fromMs, toMs }).map((cell) => cell.slice(0, finalists));
  await scalings.trainAgain(select().flat());
  const cells = select();
  // A front of fewer networks than were asked for leaves sizes without a member.
  const because = `${cells.length} of ${slots.length} members wanted, from ${candidates.length} trained scalings of ${fromMs.toPrecision(3)}–${toMs.toPrecision(3)} ms, by the area under accuracy over ln latency`;
  if (cells.length === 0) return [scalings.sized(slots[0] as SizeTarget, familyLine, [], because)];
  return cells.flatMap((found, index) => {
    const slot = slots[index];
    const targetMs = found[0]?.latencyMs ?? toMs;
    return slot ? [scalings.sized({ size: slot.size, targetMs }, familyLine, found, because)] : [];
  });
}

/** For each member selected: itself, then other scalings between the member before it and itself, the most accurate first. */
function cellsOf(
  scalings: TargetScalings,
  candidates: readonly Scaling[],
  range: { readonly members: number; readonly fromMs: number; readonly toMs: number },
): readonly (readonly Scaling[])[] {
  const scored = candidates.flatMap((scaling) => {
    const accuracy = scalings.accuracy(scaling.digest);
    return accuracy === undefined ? [] : [{ scaling, latencyMs: scaling.latencyMs, accuracy }];
  });
  const chosen = selectFamily(scored, range);
  return chosen.map(({ scaling, latencyMs }, index) => {
    const aboveMs = chosen[index - 1]?.latencyMs ?? 0;
    const near = candidates.filter((other) => other.latencyMs > aboveMs && other.latencyMs <= latencyMs);
    return [scaling, ...without(byAccuracy(scalings, near), [scaling])];
  });
}
