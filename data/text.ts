import { z } from 'zod';
import { digestBytes, digestJson } from '../core/digest.ts';
import { ConfigError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import { existingPath, unpackFile } from './files.ts';
import { Grammar } from './grammar.ts';

const seedSchema = z.int().nonnegative().default(0);

/** Where text comes from: an endless generated one of known entropy, or the bytes of files. */
export const textSourceSchema = z.union([
  z.literal('grammar').transform(() => ({ format: 'grammar' as const, symbols: 64, seed: 0, scored: 512 })),
  z.strictObject({
    format: z.literal('grammar'),
    symbols: z.int().min(2).max(256).default(64),
    seed: seedSchema,
    /** Sequences that are scored. */
    scored: z.int().min(1).max(1_000_000).default(512),
  }),
  z.strictObject({
    format: z.literal('text'),
    /** A file, plain or gzip; its bytes are the tokens. */
    path: z.string(),
    /** Share at the end that is scored and never trained on. */
    holdout: z.number().gt(0).max(0.5).default(0.1),
    /** Sequences of it that are scored at most. */
    scored: z.int().min(1).max(1_000_000).default(512),
  }),
]);
export type TextSource = z.output<typeof textSourceSchema>;

/** Text as tokens, cut into sequences of one token more than the context, so that each has a successor. */
export interface Text {
  readonly name: string;
  /** Names the tokens and how they are divided. */
  readonly digest: string;
  /** Tokens are below it. */
  readonly vocabulary: number;
  /** Sequences to train on, without end; those of files in another order and from another first byte every epoch. @param first place to start from. */
  trainingSequences(seed: number, context: number, first: number): Iterator<Tokens, never>;
  /** Sequences that are scored, in order. */
  scoredSequences(context: number): Iterable<Tokens>;
  /** Least mean loss in nats that any model can reach on sequences of `context`; undefined where nobody knows. */
  irreducibleNats(context: number): number | undefined;
}
/** One sequence. */
export type Tokens = Uint8Array | Uint16Array;

/**
 * Opens a source of text. Memory: the bytes of a file.
 * @throws {ConfigError} when a file is not there; asking for sequences longer than it throws one, too.
 */
export async function loadText(source: TextSource, baseDirectory: string): Promise<Text> {
  return source.format === 'grammar' ? grammarText(source) : bytesText(source, baseDirectory);
}

function grammarText(source: Extract<TextSource, { format: 'grammar' }>): Text {
  const grammar = new Grammar(source);
  const { symbols, scored, seed: own } = source;
  return {
    name: `grammar of ${symbols} symbols`,
    digest: digestJson({ ...source }),
    vocabulary: symbols,
    *trainingSequences(seed, context, first) {
      const random = new Random(seed).child('training text');
      for (let index = first; ; index++) yield grammar.text(random.child(index), context + 1);
    },
    *scoredSequences(context) {
      const random = new Random(own).child('scored text');
      for (let index = 0; index < scored; index++) yield grammar.text(random.child(index), context + 1);
    },
    irreducibleNats: (context) => grammar.irreducibleNats(context),
  };
}

async function bytesText(
  { path, holdout, scored }: Extract<TextSource, { format: 'text' }>,
  baseDirectory: string,
): Promise<Text> {
  const pieces: Uint8Array[] = [];
  for await (const piece of unpackFile(existingPath(path, baseDirectory))) pieces.push(piece);
  const bytes = new Uint8Array(Buffer.concat(pieces));
  const split = Math.floor(bytes.length * (1 - holdout));
  /** How many sequences a part has. */
  const countOf = (part: Uint8Array, context: number, purpose: string): number => {
    const count = Math.floor((part.length - 1) / context);
    if (count >= 1) return count;
    throw new ConfigError(
      `${path}: expected at least ${context + 1} bytes to ${purpose}, one more than the context, got ${part.length}`,
    );
  };
  return {
    name: path,
    digest: digestJson({ bytes: digestBytes(bytes), holdout, scored }),
    vocabulary: 256,
    *trainingSequences(seed, context, first) {
      const part = bytes.subarray(0, split);
      const count = countOf(part, context, 'train on');
      const slack = part.length - 1 - count * context;
      const random = new Random(seed).child('training text');
      for (let epoch = Math.floor(first / count), place = first % count; ; epoch++, place = 0) {
        const order = random.child('order', epoch).permutation(count);
        const offset = random.child('offset', epoch).integer(slack + 1);
        for (; place < count; place++) {
          const start = offset + (order[place] as number) * context;
          yield part.subarray(start, start + context + 1);
        }
      }
    },
    *scoredSequences(context) {
      const part = bytes.subarray(split);
      const count = Math.min(scored, countOf(part, context, 'score'));
      for (let index = 0; index < count; index++) yield part.subarray(index * context, (index + 1) * context + 1);
    },
    irreducibleNats: () => undefined,
  };
}
