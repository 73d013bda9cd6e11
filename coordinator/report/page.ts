// A page as one file that asks for nothing: no script, no font, no image from elsewhere, which its policy holds the browser to.
import { createHash } from 'node:crypto';
import { espalierVersion } from '../../shared/rpc/version.ts';
import { Html, html } from './html.ts';
import { PAGE_MARK } from './page-mark.ts';
import { STYLE } from './page-style.ts';

export interface Section {
  /** Of the link to it. */
  readonly id: string;
  readonly title: string;
  readonly content: Html;
}

export interface Page {
  readonly title: string;
  readonly lead: Html;
  readonly sections: readonly Section[];
}

/** The page's text; the same for the same content, whenever and wherever it is made. */
export function renderPage({ title, lead, sections }: Page): string {
  const style = new Html(STYLE);
  const digest = createHash('sha256').update(STYLE).digest('base64');
  const policy = `default-src 'none'; style-src 'sha256-${digest}'; base-uri 'none'; form-action 'none'`;
  const head = html`<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="espalier ${espalierVersion()}">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<style>${style}</style>
</head>`;
  const body = html`<body>
<a class="skip" href="#main">Skip to the results</a>
<header>
<p class="brand">Espalier</p>
<h1>${title}</h1>
${lead}
</header>
<nav aria-label="Sections"><ul>${sections.map(({ id, title: name }) => html`<li><a href="#${id}">${name}</a></li>`)}</ul></nav>
<main id="main" tabindex="-1">
${sections.map(renderSection)}</main>
<footer><p>Made by Espalier ${espalierVersion()} from the report.json of each budget.</p></footer>
</body>`;
  return `${PAGE_MARK}${head.text}\n${body.text}\n</html>\n`;
}

function renderSection({ id, title, content }: Section): Html {
  return html`<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
${content}
</section>
`;
}
