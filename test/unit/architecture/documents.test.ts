// What the documents point at is there: files that they link to, sections of them, and scripts that they tell to run.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { projectRoot } from '../../../shared/project-root.ts';

const root = projectRoot();
const documents = [
  'README.md',
  'ARCHITECTURE.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];

const read = (path: string) => readFileSync(join(root, path), 'utf8');

/** Text outside of code blocks: what stands in those is an example, not a link. */
const prose = (text: string) => text.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, '');

/** Names of a document's headings in links, as GitHub makes them. */
function anchorsOf(text: string): string[] {
  const headings = text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.*)$/gm);
  return [...headings].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe('documents', () => {
  for (const path of documents) {
    it(`${path} links to what is there`, () => {
      for (const [, target = ''] of prose(read(path)).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        const [file = '', anchor] = target.split('#');
        const linked = file === '' ? path : join(dirname(path), file);
        assert.ok(existsSync(join(root, linked)), `${path}: ${target}: no such file`);
        if (anchor !== undefined)
          assert.ok(anchorsOf(read(linked)).includes(anchor), `${path}: ${target}: no such section`);
      }
    });

    it(`${path} names scripts that package.json has`, () => {
      const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
      const named = [...read(path).matchAll(/\bnpm (?:run )?([a-z][a-z0-9-]*(?::[a-z0-9-]+)*)/g)].flatMap(
        ([whole, name = '']) => (whole.startsWith('npm run ') || name === 'test' ? [name] : []),
      );
      for (const name of named) assert.ok(Object.hasOwn(scripts, name), `${path}: npm run ${name}: no such script`);
    });
  }

  it('are what comments in the sources point at', () => {
    const folders = ['cli', 'coordinator', 'worker', 'pruning', 'checkpoint', 'dataset', 'shared', 'setup'];
    for (const folder of folders)
      for (const name of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
        if (!/\.(ts|mjs)$/.test(name)) continue;
        const text = read(join(folder, name));
        for (const [target] of text.matchAll(/(?<![\w./-])docs\/[\w./-]+\.md/g))
          assert.ok(existsSync(join(root, target)), `${folder}/${name}: ${target}: no such file`);
        for (const [, heading = ''] of text.matchAll(/docs\/method\.md, "([^"]+)"/g))
          assert.match(read('docs/method.md'), new RegExp(`^#+ (\\d+\\. )?${heading}`, 'm'), `${folder}/${name}`);
      }
  });

  it('keep the decisions in one form, numbered without gaps', () => {
    const names = readdirSync(join(root, 'docs/adr')).sort();
    assert.deepEqual(
      names.map((name) => name.slice(0, 5)),
      names.map((_, i) => `${String(i + 1).padStart(4, '0')}-`),
    );
    for (const name of names)
      for (const heading of ['Context', 'Choice', 'Rejected'])
        assert.match(read(join('docs/adr', name)), new RegExp(`^## ${heading}$`, 'm'), name);
  });
});
