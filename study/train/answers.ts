import { appendFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { ConfigError } from '../../core/errors.ts';

const answerSchema = z.strictObject({ id: z.string(), value: z.json() });
const headerSchema = z.strictObject({ schema: z.literal(1), of: z.string() });

/** Answers to what was asked once, line by line in a file, so that work that was interrupted asks only for the rest. */
export class Answers {
  readonly #path: string;
  readonly #known = new Map<string, unknown>();

  /**
   * Opens the file, or begins it. A last line that was cut off is dropped.
   * @param of names the work: answers of other work are no answers.
   * @throws {ConfigError} when the file is of other work, or holds anything else.
   */
  constructor(path: string, of: string) {
    this.#path = path;
    if (!existsSync(path)) writeFileSync(path, `${JSON.stringify({ schema: 1, of })}\n`);
    const text = readFileSync(path, 'utf8');
    const end = text.lastIndexOf('\n') + 1;
    if (end < text.length) truncateSync(path, Buffer.byteLength(text.slice(0, end)));
    const [header = '', ...lines] = text.slice(0, end).split('\n').slice(0, -1);
    const found = this.#parsed(headerSchema, header, 1);
    if (found.of !== of)
      throw new ConfigError(`${path}: expected answers for this search, got those of another; delete it to start over`);
    for (const [index, line] of lines.entries()) {
      const { id, value } = this.#parsed(answerSchema, line, index + 2);
      this.#known.set(id, value);
    }
  }

  /** The answer by id, asked for only when the file does not have it. */
  async once<Value extends z.core.util.JSONType>(id: string, ask: () => Promise<Value>): Promise<Value> {
    if (this.#known.has(id)) return this.#known.get(id) as Value;
    const value = await ask();
    appendFileSync(this.#path, `${JSON.stringify({ id, value })}\n`);
    this.#known.set(id, value);
    return value;
  }

  #parsed<Schema extends z.ZodType>(schema: Schema, line: string, number: number): z.output<Schema> {
    try {
      return schema.parse(JSON.parse(line));
    } catch (cause) {
      throw new ConfigError(`${this.#path}: line ${number}: expected an answer of a search for schedules`, { cause });
    }
  }
}
