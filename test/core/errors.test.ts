import { describe, expect, it } from 'vitest';
import {
  ConfigError,
  EnvironmentError,
  fromWire,
  InfeasibleModelError,
  InterruptedError,
  InvalidFileError,
  RidgepointError,
  toWire,
  UnreachableLimitError,
} from '../../core/errors.ts';

class LicenceError extends EnvironmentError {
  override readonly code = 'licence';
}

describe('errors between processes', () => {
  it.each([ConfigError, InvalidFileError, UnreachableLimitError, InterruptedError])(
    '%o comes back as itself',
    (Kind) => {
      const error = new Kind('expected X, got Y');
      const wire = JSON.parse(JSON.stringify(toWire(error))) as ReturnType<typeof toWire>;
      const back = fromWire(wire);
      expect(back).toBeInstanceOf(Kind);
      expect(back).toMatchObject({
        name: error.name,
        code: error.code,
        retry: error.retry,
        message: 'expected X, got Y',
      });
    },
  );

  it('an infeasible model keeps why, and by how much', () => {
    const error = new InfeasibleModelError('too large', { reason: 'out-of-memory', observed: 9, limit: 8 });
    const back = fromWire(JSON.parse(JSON.stringify(toWire(error))) as ReturnType<typeof toWire>);
    expect(back).toBeInstanceOf(InfeasibleModelError);
    expect(back).toMatchObject({ reason: 'out-of-memory', observed: 9, limit: 8, message: 'too large', retry: false });
  });

  it('keeps the code and retry of classes it does not know', () => {
    const wire = toWire(new LicenceError('no seat left', { retry: true }));
    expect(wire).toEqual({ name: 'LicenceError', code: 'licence', retry: true, message: 'no seat left' });
    const back = fromWire(wire);
    expect(back).toBeInstanceOf(EnvironmentError);
    expect(back).toMatchObject({ code: 'licence', retry: true });
  });

  it('carries foreign errors with their stack, and any thrown value', () => {
    const wire = toWire(new RangeError('too far'));
    expect(wire).toMatchObject({ code: 'unexpected', retry: false });
    expect(wire.message).toMatch(/^RangeError: too far\n\s+at /);
    expect(toWire('just text')).toMatchObject({ code: 'unexpected', message: 'just text' });
  });

  it('names the class and keeps the cause', () => {
    const cause = new Error('deep');
    const error = new ConfigError('shallow', { cause });
    expect(error).toBeInstanceOf(RidgepointError);
    expect(error.name).toBe('ConfigError');
    expect(error.cause).toBe(cause);
  });
});
