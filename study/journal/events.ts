import { z } from 'zod';
import { choicesSchema, fidelitySchema, outcomeSchema } from '../../core/trial.ts';
import { latencySchema } from '../../latency/latency.ts';
import { networkSpecSchema } from '../../models/spec.ts';

/** Parts of the job, in order. */
export const phaseNames = ['search', 'scale', 'allocate', 'train', 'deliver'] as const;
export type PhaseName = (typeof phaseNames)[number];

/** Why a trial exists, for `ridgepoint explain`. */
const originSchema = z.strictObject({
  by: z.string().describe('controller, scaling optimizer or rule that proposed it'),
  because: z.string(),
  /** Target and size it was proposed for, in scaling and training. */
  target: z.string().optional(),
  size: z.string().optional(),
});

const payloads = {
  /** The study as first started: its resolved configuration and what it ran on. */
  study: z.strictObject({
    type: z.literal('study'),
    id: z.string(),
    action: z.enum(['created', 'opened', 'closed']),
    config: z.unknown().optional(),
    environment: z.unknown().optional(),
  }),
  /** A trial exists: a network to evaluate at a fidelity. Written before anything is spent on it. */
  issued: z.strictObject({
    type: z.literal('issued'),
    id: z.string(),
    phase: z.enum(phaseNames),
    choices: choicesSchema,
    spec: networkSpecSchema,
    specDigest: z.string(),
    fidelity: fidelitySchema,
    origin: originSchema,
    /** Another phase refused the same work, under limits that may not hold in this one. */
    again: z.literal(true).optional(),
  }),
  /** Latency of a network (or of a file, at delivery) on a target. `id` is the memo key. */
  measured: z.strictObject({
    type: z.literal('measured'),
    id: z.string(),
    target: z.string(),
    latency: latencySchema,
    /** Wall time of the measurement, the wait for a quiet host included. */
    seconds: z.number().nonnegative(),
  }),
  /** Answer of a trial. A `failed` one with `retry` may be followed by another attempt. */
  outcome: z.strictObject({
    type: z.literal('outcome'),
    id: z.string(),
    attempt: z.int().positive(),
    outcome: outcomeSchema,
  }),
  /** Something was decided, with the reason people read. */
  decision: z.strictObject({ type: z.literal('decision'), id: z.string(), value: z.unknown(), because: z.string() }),
  phase: z.strictObject({ type: z.literal('phase'), id: z.enum(phaseNames), action: z.enum(['started', 'finished']) }),
  /** A file exists: its digest, and its path below the study's folder. */
  /** Somebody asked for something: `id` is a trial, or the study itself. */
  request: z.strictObject({
    type: z.literal('request'),
    id: z.string(),
    action: z.enum(['cancel', 'retry']),
    by: z.string(),
  }),
  artefact: z.strictObject({
    type: z.literal('artefact'),
    id: z.string(),
    kind: z.string(),
    digest: z.string(),
    path: z.string(),
  }),
} as const;

const header = { schema: z.literal(1), seq: z.int().nonnegative(), tMs: z.number() };

/** One line of a journal. Events are facts: appended, never changed. */
export const journalEventSchema = z.discriminatedUnion('type', [
  payloads.study.extend(header),
  payloads.issued.extend(header),
  payloads.measured.extend(header),
  payloads.outcome.extend(header),
  payloads.decision.extend(header),
  payloads.phase.extend(header),
  payloads.artefact.extend(header),
  payloads.request.extend(header),
]);
export type JournalEvent = z.infer<typeof journalEventSchema>;
export type EventType = JournalEvent['type'];
export type EventOf<Type extends EventType> = Extract<JournalEvent, { type: Type }>;
/** An event before the journal stamps it. */
export type EventPayload = { [Type in EventType]: Omit<EventOf<Type>, 'schema' | 'seq' | 'tMs'> }[EventType];
