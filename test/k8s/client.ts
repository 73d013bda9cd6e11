// The command line as a user of the cluster has it: with the certificate for submitting, by the coordinators' name in the
// cluster.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../shared/project-root.ts';
import type { KubeApi } from './kube-api.ts';
import type { Answer } from './lab.ts';
import { NAMESPACE } from './names.ts';
import { secretText } from './pod-env.ts';

const COMMAND_MS = 120_000;
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const CERTIFICATE_FILES = { ca: 'ca.crt', certificate: 'tls.crt', key: 'tls.key' };

export interface JobLine {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  /** How often it was claimed. */
  readonly attempt: number;
  readonly error: unknown;
}

export interface JobStatus extends JobLine {
  readonly results: readonly {
    readonly budget: string;
    readonly files: readonly { readonly name: string; readonly digest: string }[];
  }[];
}

export class Client {
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(folder: string) {
    this.#folder = folder;
    const variables = Object.entries(CERTIFICATE_FILES).map(([name, file]) => [
      `ESPALIER_TLS_${name.toUpperCase()}`,
      path.join(folder, file),
    ]);
    this.#env = {
      ...process.env,
      ...Object.fromEntries(variables),
      NODE_OPTIONS: '',
      XDG_CACHE_HOME: folder,
      ESPALIER_COORDINATOR: `coordinator.${NAMESPACE}.svc:7070`,
    };
  }

  /** @param folder is made, and gets the certificate. */
  static async open(api: KubeApi, folder: string): Promise<Client> {
    mkdirSync(folder, { recursive: true });
    const secret = await secretText(api, 'submit-tls');
    for (const file of Object.values(CERTIFICATE_FILES)) writeFileSync(path.join(folder, file), secret[file]);
    return new Client(folder);
  }

  /** Queues the jobs of a campaign. @returns their ids by name. */
  async submit(campaign: object): Promise<Readonly<Record<string, string>>> {
    const file = path.join(this.#folder, 'campaign.yaml');
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(campaign));
    const { jobs } = JSON.parse(await this.run('submit', file, '--json')) as { jobs: readonly JobLine[] };
    return Object.fromEntries(jobs.map(({ name, id }) => [name, id]));
  }

  async list(): Promise<readonly JobLine[]> {
    return (JSON.parse(await this.run('list', '--json')) as { jobs: readonly JobLine[] }).jobs;
  }

  async status(id: string): Promise<JobStatus> {
    return JSON.parse(await this.run('status', id, '--json')) as JobStatus;
  }

  /** SHA-256 of each file that a job has made, by its path, without those that hold measured times. */
  async digests(id: string): Promise<Readonly<Record<string, string>>> {
    const { results } = await this.status(id);
    const files = results.flatMap(({ budget, files }) =>
      files.filter(({ name }) => isComparable(name)).map(({ name, digest }) => [`${budget}/${name}`, digest] as const),
    );
    return Object.fromEntries(files.sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** Makes the models of a job on this machine, without a cluster. @returns as `digests`. */
  async pruneLocally(flags: readonly string[], name: string): Promise<Readonly<Record<string, string>>> {
    const out = path.join(this.#folder, 'local', name);
    mkdirSync(path.dirname(out), { recursive: true });
    await this.run('prune', ...flags, '--out', out);
    return digestsIn(out);
  }

  /** @returns what a command printed. @throws when it fails. */
  async run(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#run(args);
    if (code !== 0) throw new Error(`espalier ${args.join(' ')} ended with ${code}: ${stderr || stdout}`);
    return stdout;
  }

  #run(args: readonly string[]): Promise<Answer> {
    const program = path.join(projectRoot(), 'cli/espalier.mjs');
    const settings = { cwd: this.#folder, env: this.#env, timeout: COMMAND_MS, maxBuffer: MAX_OUTPUT_BYTES };
    return new Promise((resolve) => {
      execFile(
        process.execPath,
        [program, ...args],
        { ...settings, killSignal: 'SIGKILL' },
        (error, stdout, stderr) => {
          const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
          resolve({ code, stdout, stderr: error?.killed ? `${stderr}(not done after ${COMMAND_MS} ms)` : stderr });
        },
      );
    });
  }
}

function isComparable(name: string): boolean {
  return !/^(report|README)/.test(name);
}

function digestsIn(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && isComparable(entry.name))
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();
  return Object.fromEntries(
    names.map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(path.join(folder, name)))
        .digest('hex'),
    ]),
  );
}
