// Calibration sentences of the example's model, made up by its generator.
import path from 'node:path';
import { projectRoot } from '../../shared/project-root.ts';

const [COUNT, SEED] = [4096, 1];

interface ReviewGenerator {
  generateReviews(options: { count: number; seed: number }): unknown[];
  writeReviews(file: string, reviews: unknown[]): void;
}

/** Writes them as JSON lines, the same each time. */
export async function writeBenchReviews(file: string): Promise<void> {
  const program = path.join(projectRoot(), 'examples/generate-reviews.mjs');
  const { generateReviews, writeReviews } = (await import(program)) as ReviewGenerator;
  writeReviews(file, generateReviews({ count: COUNT, seed: SEED }));
}
