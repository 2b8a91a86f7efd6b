import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../../core/errors.ts';
import { Answers } from '../../../study/train/answers.ts';
import { fileFolder } from '../../cases/file-folder.ts';

const path = () => join(fileFolder(), 'answers.jsonl');
const never = () => Promise.reject(new Error('expected not to be asked'));

describe('answers', () => {
  it('are asked for once, by this process and the next', async () => {
    const file = path();
    const answers = new Answers(file, 'x');
    expect(await answers.once('a', () => Promise.resolve(1))).toBe(1);
    expect(await answers.once('a', never)).toBe(1);
    expect(await new Answers(file, 'x').once('a', never)).toBe(1);
  });

  it('lose a last line that was cut off, and nothing else', async () => {
    const file = path();
    await new Answers(file, 'x').once('a', () => Promise.resolve('ü'));
    const whole = readFileSync(file, 'utf8');
    appendFileSync(file, '{"id":"b","val');
    const answers = new Answers(file, 'x');
    expect(readFileSync(file, 'utf8')).toBe(whole);
    expect(await answers.once('a', never)).toBe('ü');
    expect(await answers.once('b', () => Promise.resolve(2))).toBe(2);
  });

  it('are not kept where asking failed', async () => {
    const file = path();
    await expect(new Answers(file, 'x').once('a', never)).rejects.toThrow('not to be asked');
    expect(await new Answers(file, 'x').once('a', () => Promise.resolve(3))).toBe(3);
  });

  it('of other work, or in a file of another kind, are refused', () => {
    const file = path();
    const open = (of: string) => () => new Answers(file, of);
    expect(open('x')).not.toThrow();
    expect(open('y')).toThrow(ConfigError);
    expect(open('y')).toThrow(/answers\.jsonl: expected answers for this search, .* delete it/);
    writeFileSync(file, 'something else\n');
    expect(open('x')).toThrow(/answers\.jsonl: line 1: expected an answer/);
  });
});
