// The dependency rule of ARCHITECTURE.md, read from the sources: imports point one way, and every package has one home.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, it } from 'node:test';
import { projectRoot } from '../../../shared/project-root.ts';

/** What each folder may import beside itself: whole folders, or single files of one. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  cli: ['coordinator', 'checkpoint', 'worker/main.ts', 'shared'],
  coordinator: ['pruning', 'checkpoint', 'dataset', 'shared'],
  worker: ['pruning', 'checkpoint', 'dataset', 'shared'],
  dataset: ['checkpoint/model-config.ts', 'shared'],
  checkpoint: ['pruning/masks.ts', 'pruning/patch.ts', 'shared'],
  pruning: ['shared'],
  shared: [],
  deploy: ['shared'],
};

/** Where each package may be imported: a folder or one file. */
const PACKAGE_HOMES: Readonly<Record<string, readonly string[]>> = {
  '@tensorflow/tfjs-node-gpu': ['worker/engine/binding.ts'],
  '@huggingface/tokenizers': ['dataset/library-tokenizer.ts'],
  'csv-parse': ['dataset/read-rows.ts'],
  commander: ['cli'],
  '@grpc/grpc-js': ['shared/rpc', 'worker/service', 'coordinator/workers', 'coordinator/api', 'cli/client'],
  // The generated types of ONNX's messages name one of its types.
  '@grpc/proto-loader': ['shared/rpc', 'checkpoint/onnx/generated'],
  protobufjs: ['checkpoint/onnx/schema.ts'],
  'onnxruntime-node': ['checkpoint/onnx/onnx-session.ts'],
  '@grpc/reflection': ['coordinator/api'],
  'grpc-health-check': ['shared/rpc', 'worker/service', 'coordinator/api'],
  nats: ['shared/bus/nats-connection.ts', 'shared/bus/nats-link.ts'],
  ajv: ['coordinator/campaign', 'coordinator/report/read-report.ts'],
  yaml: ['coordinator/campaign', 'coordinator/report/card-metadata.ts', 'deploy'],
  '@observablehq/plot': ['coordinator/report'],
  linkedom: ['coordinator/report/svg.ts'],
  'prom-client': ['shared/telemetry'],
  '@opentelemetry/api': ['shared/telemetry'],
  '@opentelemetry/sdk-trace-base': ['shared/telemetry'],
  '@opentelemetry/exporter-trace-otlp-http': ['shared/telemetry'],
};

/** Of packages that only building and checking need: no process that runs jobs has them. */
const DEVELOPMENT_HOMES: Readonly<Record<string, readonly string[]>> = {
  '@grafana/grafana-foundation-sdk': ['deploy/grafana'],
};

interface Import {
  readonly from: string;
  /** Path from the root of the project, or the name of a package or of a module of Node. */
  readonly to: string;
}

const IMPORT = /\bfrom\s+'([^']+)'|^import\s+'([^']+)'|\b(?:import|require)\(\s*['"]([^'"]+)['"]/gm;
const root = projectRoot();
const folders = Object.keys(MAY_IMPORT);
const imports = folders.flatMap((folder) => sourcesIn(folder).flatMap(importsOf));

function sourcesIn(folder: string): string[] {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('.ts')).map((name) => join(folder, name));
}

function importsOf(from: string): Import[] {
  const text = readFileSync(join(root, from), 'utf8');
  return [...text.matchAll(IMPORT)].map(([, ...names]) => {
    const name = names.find((found) => found !== undefined)!;
    return { from, to: name.startsWith('.') ? relative(root, join(root, dirname(from), name)) : name };
  });
}

const topOf = (path: string) => path.split('/')[0]!;
const isIn = (path: string, place: string) => path === place || path.startsWith(`${place}/`);
const isLocal = ({ to }: Import) => folders.includes(topOf(to));
const packageOf = (name: string) =>
  name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');

describe('imports', () => {
  it('are found at all', () => {
    const has = (from: string, to: string) => imports.some((found) => found.from === from && found.to === to);
    assert.ok(has('cli/jobs.ts', 'coordinator/prune-job.ts'), 'a dynamic import');
    assert.ok(has('coordinator/prune-job.ts', 'shared/errors.ts'), 'a static import');
    assert.ok(has('worker/engine/binding.ts', '@tensorflow/tfjs-node-gpu/lib/napi-v8/tfjs_binding.node'), 'a require');
  });

  it('stay in the folders of the table, which has every folder with sources', () => {
    const strays = imports.filter(({ to }) => to.includes('/') && to.endsWith('.ts') && !folders.includes(topOf(to)));
    assert.deepEqual(strays, []);
  });

  it('point one way', () => {
    const wrong = imports.filter(isLocal).filter(({ from, to }) => {
      const allowed = MAY_IMPORT[topOf(from)]!;
      return topOf(from) !== topOf(to) && !allowed.some((place) => isIn(to, place));
    });
    assert.deepEqual(wrong, []);
  });

  it('make no circle of folders', () => {
    const targets = (folder: string) =>
      new Set(
        imports
          .filter((found) => isLocal(found) && topOf(found.from) === folder)
          .map(({ to }) => topOf(to))
          .filter((to) => to !== folder),
      );
    // Folders that import none of the others left are taken away until none is left.
    let left = [...folders];
    while (left.length > 0) {
      const ends = left.filter((folder) => ![...targets(folder)].some((to) => left.includes(to)));
      assert.notEqual(ends.length, 0, `a circle among ${left.join(', ')}`);
      left = left.filter((folder) => !ends.includes(folder));
    }
  });

  it('take only types from where only a shape is needed', () => {
    // What dataset needs of a model is what its config says; the reading of it is none of its business.
    for (const from of sourcesIn('dataset')) {
      const text = readFileSync(join(root, from), 'utf8');
      assert.doesNotMatch(text, /^import (?!type ).*from '\.\.\/checkpoint\//m, from);
    }
  });

  it('take each package from its home alone', () => {
    const wrong = imports.filter(({ from, to }) => {
      if (to.startsWith('node:') || to.endsWith('.ts')) return false;
      return !(PACKAGE_HOMES[packageOf(to)] ?? DEVELOPMENT_HOMES[packageOf(to)] ?? []).some((home) => isIn(from, home));
    });
    assert.deepEqual(wrong, []);
  });

  it('name a home for every dependency of package.json', () => {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    assert.deepEqual(Object.keys(manifest.dependencies).sort(), Object.keys(PACKAGE_HOMES).sort());
  });

  it('leave pruning without files, network, clock and processes', () => {
    const modules = imports.filter(({ from, to }) => topOf(from) === 'pruning' && to.startsWith('node:'));
    assert.deepEqual(modules, []);
    for (const file of sourcesIn('pruning'))
      assert.doesNotMatch(
        readFileSync(join(root, file), 'utf8'),
        /\bDate\.|performance\.|Math\.random|process\./,
        file,
      );
  });
});
