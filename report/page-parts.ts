import type { OverSeeds } from '../study/deliver/summary.ts';
import { percentNumber, plural } from './format.ts';
import { element, type Content, type Markup } from './markup.ts';

// What the report's sections are made of.

/** A part of a page under its title. */
export function section(title: string, ...body: readonly Content[]): Markup {
  return element('section', {}, element('h2', {}, title), body);
}

/** A table's row of headings. */
export function tableHead(columns: readonly string[]): Markup {
  const names = columns.map((name) => element('th', { scope: 'col' }, name));
  return element('thead', {}, element('tr', {}, names));
}

/**
 * A table of text; the first cell of a row names it.
 * @param wrapping whether cells of words may take several lines, where they would not fit beside each other.
 */
export function table(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  { wrapping = false }: { readonly wrapping?: boolean } = {},
): Markup {
  const body = rows.map(([first, ...rest]) =>
    element(
      'tr',
      {},
      element('th', { scope: 'row' }, first),
      rest.map((text) => cell(text)),
    ),
  );
  const attributes = { class: wrapping ? 'wrapping' : null };
  return element(
    'div',
    { class: 'scroll' },
    element('table', attributes, tableHead(columns), element('tbody', {}, body)),
  );
}

/** What a person should know of the result, under an anchor of its own; nothing where there is nothing. */
export function warningSection(warnings: readonly string[]): Content {
  if (warnings.length === 0) return null;
  return element(
    'section',
    { id: 'warnings' },
    element('h2', {}, 'Warnings'),
    element(
      'ul',
      {},
      warnings.map((warning) => element('li', {}, warning)),
    ),
  );
}

/** Names with their values. */
export function definitions(entries: readonly (readonly [string, string])[]): Markup {
  return element(
    'dl',
    {},
    entries.map(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]),
  );
}

/** A remark in small print. */
export function note(text: string): Markup {
  return element('p', { class: 'note' }, text);
}

/** A table's cell, with what it shows when pointed at. */
export function cell(text: string, title?: string): Markup {
  return element('td', { title }, text);
}

/** Relative to the report; each part is encoded, so that no name can be taken for a scheme or an anchor. */
export function fileLink(path: string): Markup {
  const href = `./${path.split('/').map(encodeURIComponent).join('/')}`;
  return element('a', { href, title: path }, path.split('.').at(-1) ?? path);
}

/** An accuracy in per cent, with its spread over seeds. */
export function accuracyText({ mean, sd }: OverSeeds): string {
  return sd === null ? percentNumber(mean) : `${percentNumber(mean)} ± ${percentNumber(sd)}`;
}

/** Each seed's accuracy. */
export function seedsTitle({ values }: OverSeeds): string {
  return `${plural(values.length, 'seed')}: ${values.map((value) => percentNumber(value, 2)).join(', ')}`;
}
