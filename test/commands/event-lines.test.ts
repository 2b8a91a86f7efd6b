import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventLines } from '../../commands/event-lines.ts';
import type { CommandEvent } from '../../commands/protocol.ts';

/** What is read of pieces: events, log and the number of malformed events. */
function read(pieces: readonly (string | Buffer)[]) {
  const events: CommandEvent[] = [];
  const log: Buffer[] = [];
  const lines = new EventLines(
    (event) => events.push(event),
    (bytes) => log.push(Buffer.from(bytes)),
  );
  for (const piece of pieces) lines.write(Buffer.from(piece));
  lines.close();
  return { events, log: Buffer.concat(log).toString(), malformed: lines.malformed };
}

const progress = (examples: number) => `@ridgepoint {"t":"progress","examples":${examples}}\n`;

describe('EventLines', () => {
  it('takes only lines that begin with the prefix', () => {
    const text = `a\n${progress(1)}b @ridgepoint {"t":"progress"}\n @ridgepoint {}\n${progress(2)}`;
    expect(read([text])).toEqual({
      events: [
        { t: 'progress', examples: 1 },
        { t: 'progress', examples: 2 },
      ],
      log: 'a\nb @ridgepoint {"t":"progress"}\n @ridgepoint {}\n',
      malformed: 0,
    });
  });

  it('counts what only looks like an event, and logs it', () => {
    const text =
      '@ridgepoint nonsense\n@ridgepoint {"t":"progress","examples":-1}\n@ridgepoint {"t":"progress","x":1}\n';
    expect(read([text])).toEqual({ events: [], log: text, malformed: 3 });
  });

  it('takes a last line without its end', () => {
    expect(read([progress(1).trimEnd()]).events).toEqual([{ t: 'progress', examples: 1 }]);
  });

  it('takes no event from inside a line that is too long for one', () => {
    const long = `@ridgepoint ${'x'.repeat(100_000)}`;
    const { events, log } = read([long, `@ridgepoint {"t":"progress"}\n`, progress(5)]);
    expect(events).toEqual([{ t: 'progress', examples: 5 }]);
    expect(log).toBe(`${long}@ridgepoint {"t":"progress"}\n`);
  });

  it('reads the same however the output is cut', () => {
    const line = fc.oneof(
      fc.integer({ min: 0, max: 99 }).map(progress),
      fc.stringMatching(/^[a-zé@ ]{0,12}$/).map((text) => `${text}\n`),
      fc.constant('@ridgepoint {\n'),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), fc.array(fc.nat(300), { maxLength: 8 }), (lines, cuts) => {
        const whole = Buffer.from(lines.join(''));
        const at = [0, ...cuts.map((cut) => Math.min(cut, whole.length)).toSorted((a, b) => a - b), whole.length];
        const pieces = at.slice(1).map((end, index) => whole.subarray(at[index], end));
        expect(read(pieces)).toEqual(read([whole]));
      }),
    );
  });
});
