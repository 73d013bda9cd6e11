// Campaigns for tests: the example model on generated reviews, whose jobs take seconds, so that a test can reach into the
// middle of one; and toy models, whose jobs take as little as a job can.
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { projectRoot } from '../../shared/project-root.ts';
import { generateReviews } from './example-run.ts';
import { toyRows, writeRows } from './toy-data.ts';
import { writeToyModel } from './toy-model.ts';

/** One job of the example model, pruned to one half by the published method; generates its data on the first call. @returns the campaign file. */
export async function writeExampleCampaign(folder: string, name: string, settings: object = {}): Promise<string> {
  await mkdir(folder, { recursive: true });
  const data = path.join(folder, 'reviews.jsonl');
  const dev = path.join(folder, 'reviews-dev.jsonl');
  if (!existsSync(dev)) {
    await generateReviews(data, 800, 1);
    await generateReviews(dev, 200, 2);
  }
  const job = {
    model: path.join(projectRoot(), 'examples/mini-sst2'),
    data,
    eval: dev,
    budgets: ['0.5'],
    samples: 512,
    method: 'paper',
  };
  return writeCampaign(folder, { name, jobs: [{ name: 'one', ...job, ...settings }] });
}

/** Jobs of one toy model each, by the published method, of as many models as `models` says. @returns the campaign file. */
export async function writeToyCampaign(
  folder: string,
  name: string,
  { jobs, models = 1, settings = {} }: { jobs: number; models?: number; settings?: object },
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const data = path.join(folder, 'toy.jsonl');
  if (!existsSync(data)) await writeRows(data, toyRows('sentence', { count: 32 }));
  for (let i = 0; i < models; i += 1) {
    const model = path.join(folder, `model-${i}`);
    if (!existsSync(model)) await writeToyModel(model, { seed: i + 1 });
  }
  return writeCampaign(folder, {
    name,
    defaults: { data, budgets: ['0.5'], samples: 32, 'fisher-group': 8, method: 'paper', ...settings },
    jobs: Array.from({ length: jobs }, (_, i) => ({
      name: `job-${i}`,
      model: path.join(folder, `model-${i % models}`),
    })),
  });
}

/** JSON is YAML, too. */
export async function writeCampaign(
  folder: string,
  campaign: { readonly name: string } & Readonly<Record<string, unknown>>,
): Promise<string> {
  const file = path.join(folder, `${campaign.name}.yaml`);
  await writeFile(file, JSON.stringify(campaign, null, 2));
  return file;
}
