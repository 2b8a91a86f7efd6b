import { type Content, element, type Markup } from './markup.ts';
import { page } from './page.ts';
import { tableHead, warningSection } from './page-parts.ts';

/** A table as text. */
export interface PageTable {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A part of a page: a heading, and what stands below it. */
export interface PageSection {
  readonly title: string;
  readonly note?: string;
  readonly table?: PageTable;
  readonly figures?: readonly (Markup | null)[];
}

/** A self-contained HTML page of tables and charts, in the report's style. */
export function tablePage({
  title,
  facts,
  sections,
  warnings,
}: {
  readonly title: string;
  readonly facts: readonly string[];
  readonly sections: readonly PageSection[];
  readonly warnings: readonly string[];
}): string {
  return page(
    `${title}: Ridgepoint`,
    element('header', {}, element('p', { class: 'facts' }, facts.join(' · ')), element('h1', {}, title)),
    warningSection(warnings),
    sections.map(section),
  );
}

function section({ title, note, table, figures = [] }: PageSection): Content {
  const drawn = figures.filter((figure) => figure !== null);
  return element(
    'section',
    {},
    element('h2', {}, title),
    note !== undefined && element('p', { class: 'note' }, note),
    table && element('div', { class: 'scroll' }, tableOf(table)),
    drawn.length > 0 &&
      element(
        'div',
        { class: 'figures' },
        drawn.map((figure) => element('figure', {}, figure)),
      ),
  );
}

function tableOf({ columns, rows }: PageTable): Markup {
  return element(
    'table',
    {},
    tableHead(columns),
    element(
      'tbody',
      {},
      rows.map((row) =>
        element(
          'tr',
          {},
          row.map((cell) => element('td', {}, cell)),
        ),
      ),
    ),
  );
}
