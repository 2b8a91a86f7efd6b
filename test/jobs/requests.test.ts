import { describe, expect, it } from 'vitest';
import { theOneCalled } from '../../jobs/requests.ts';

const found = (...keys: string[]): string => theOneCalled('retail-0a1b', new Set(keys), 1000);

describe('the study that a name means', () => {
  it('is the only one that has it', () => {
    expect(found('retail-0a1b-77ff')).toBe('retail-0a1b-77ff');
  });

  it('is the one whose key it is, though it is the name of others', () => {
    expect(found('retail-0a1b-77ff', 'retail-0a1b')).toBe('retail-0a1b');
  });

  it('is none of several, whose keys are told', () => {
    expect(() => found('retail-0a1b-ff', 'retail-0a1b-77')).toThrow(
      'expected one study called retail-0a1b at this Redis, got 2; say which by its key: retail-0a1b-77, retail-0a1b-ff',
    );
  });

  it('is none where nobody answers', () => {
    expect(() => found()).toThrow(/runs the study retail-0a1b at this Redis, but none answered within 1 s/);
  });
});
