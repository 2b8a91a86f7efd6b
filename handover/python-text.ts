// Python as text: just what the generators of source need.

/** A value as Python writes it; a string is code as it stands. */
export type PythonCode = number | boolean | string;

function pythonCode(value: PythonCode): string {
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return String(value);
}

/** A string literal of any text. */
export function pythonString(text: string): string {
  return JSON.stringify(text).replace(/[\u007f-\u{10ffff}]/gu, (character) => {
    const code = character.codePointAt(0) as number;
    return `\\U${code.toString(16).padStart(8, '0')}`;
  });
}

/** A call; named arguments that are undefined are left out. */
export function pythonCall(
  callee: string,
  positional: readonly PythonCode[],
  named: Readonly<Record<string, PythonCode | undefined>> = {},
): string {
  const byName = Object.entries(named).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${pythonCode(value)}`],
  );
  return `${callee}(${[...positional.map(pythonCode), ...byName].join(', ')})`;
}

/** Lines further in; empty lines stay empty. */
export function indented(lines: readonly string[], levels = 1): string[] {
  return lines.map((line) => (line === '' ? '' : '    '.repeat(levels) + line));
}

const lineLength = 120;

/** A line, or where that is too long its call broken at the outer parentheses and, inside, wherever a line is full. */
export function wrapped(line: string): string[] {
  const [, margin, head, inner, tail] = /^( *)([^(]*\()(.*)(\),?)$/.exec(line) ?? [];
  if (line.length <= lineLength || margin === undefined || inner === undefined) return [line];
  const lines: string[] = [];
  for (const part of inner.split(', ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + part.length + 3 <= lineLength) lines.push(`${lines.pop()}, ${part}`);
    else lines.push(...(last === undefined ? [] : [`${lines.pop()},`]), `${margin}    ${part}`);
  }
  return [`${margin}${head}`, ...lines, `${margin}${tail}`];
}

/** A source file of parts, two empty lines between them; parts that are absent are left out. */
export function pythonFile(parts: readonly (string | false | undefined)[]): string {
  return `${parts.filter((part): part is string => typeof part === 'string').join('\n\n\n')}\n`;
}

/** Text of somebody else's in a docstring: it can neither end it nor escape. */
export function inDocstring(text: string): string {
  return text.replace(/\s+/g, ' ').replaceAll('\\', '\\\\').replaceAll('"', "'");
}

/** Those parts that a text uses by name, or that the parts it uses do, in their order. */
export function usedParts(parts: Readonly<Record<string, string>>, text: string): string[] {
  const used: string[] = [];
  for (const [name, part] of Object.entries(parts).toReversed())
    if ([text, ...used].some((user) => new RegExp(`\\b${name}\\b`).test(user))) used.unshift(part);
  return used;
}
