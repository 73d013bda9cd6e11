// `npm run watching:generate`: writes what is made from the alert rules and the dashboard's sources.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../shared/project-root.ts';
import { watchingFiles } from './watching-files.ts';

const root = projectRoot();
for (const [file, text] of watchingFiles(root)) {
  const path = join(root, file);
  const isCurrent = existsSync(path) && readFileSync(path, 'utf8') === text;
  if (!isCurrent) writeFileSync(path, text);
  console.log(`${file}: ${isCurrent ? 'current' : 'written'}`);
}
