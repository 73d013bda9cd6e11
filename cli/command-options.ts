// How flags are declared to commander: values are only collected here, as text; parse-*.ts judges them.
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { RawFlags } from './flag-reader.ts';

/** Adds a flag that takes a value. Every value given is kept, so that a flag given twice can be refused. A value that
 * looks like a flag is one: `--data --budget 0.5` forgot the file. */
export function addValue(command: Command, flags: string, description: string): void {
  const collect = (value: string, earlier: readonly string[] = []) => {
    if (value.startsWith('--')) throw new InvalidArgumentError('expected a value');
    return [...earlier, value];
  };
  command.addOption(new Option(flags, description).argParser(collect));
}

/** Adds a flag that takes a value or none; without one it is switched on. */
export function addOptionalValue(command: Command, flags: string, description: string): void {
  const collect = (value: string, earlier: readonly string[] | boolean = []) => [
    ...(Array.isArray(earlier) ? earlier : []),
    value,
  ];
  command.addOption(new Option(flags, description).argParser(collect));
}

/** Flags of every command that reads samples. */
export function addDataOptions(command: Command): void {
  addValue(command, '--metric <name>', "metric to report first (default: the task's usual one)");
  addValue(command, '--max-length <tokens>', 'longest input (default: 384 for question answering, else 128)');
  addValue(command, '--stride <tokens>', 'overlap of question answering windows (default: 128)');
  const guessed = '(default: guessed from the usual names)';
  addValue(command, '--text-column <name>', `column of the text ${guessed}`);
  addValue(command, '--text-pair-column <name>', 'column of the second text, for pairs');
  addValue(command, '--label-column <name>', 'column of the label');
  addValue(command, '--question-column <name>', 'column of the question');
  addValue(command, '--context-column <name>', 'column of the context that holds the answer');
  addValue(command, '--answers-column <name>', 'column of the answers');
}

/** Flags of every command that measures speed. @param several whether shapes may be lists. */
export function addTimingOptions(command: Command, several: boolean): void {
  const list = several ? '; 8,1 for several' : '';
  addValue(command, '--batch-size <n>', `samples of a batch that speed is measured with${list} (default: 8)`);
  const usual = several ? 'mean of the drawn samples' : '128';
  addValue(
    command,
    '--length <tokens>',
    `tokens of each of them${several ? '; 128,32 for several' : ''} (default: ${usual})`,
  );
  addValue(command, '--threads <n>', 'threads of ONNX Runtime (default: one a core)');
  const means = several ? 'what a budget of time means' : 'what is timed';
  addValue(command, '--runtime <name>', `${means}: onnxruntime or engine (default: onnxruntime)`);
}

/** Flags of every command that computes. */
export function addWorkerOptions(command: Command): void {
  addValue(command, '--workers <n>', 'worker processes on this machine (default: one a core, 0 with --worker)');
  addValue(command, '--worker <host:port>', 'worker that already runs; repeat it for more');
  const variable = (name: string) => `(default: ESPALIER_TLS_${name})`;
  addValue(command, '--tls-ca <file>', `authority of the certificates of --worker addresses ${variable('CA')}`);
  addValue(command, '--tls-certificate <file>', `certificate of this command ${variable('CERTIFICATE')}`);
  addValue(command, '--tls-key <file>', `its private key ${variable('KEY')}`);
  command.option('--insecure', 'reach --worker addresses on other machines without TLS');
  addValue(command, '--device <kind>', 'auto, cpu or gpu (default: auto)');
  addValue(command, '--kernels <kind>', 'auto, fused or plain (default: ESPALIER_KERNELS, else auto)');
}

/** Flags of every command that speaks to a cluster. */
export function addClusterOptions(command: Command): void {
  const variable = (name: string) => `(default: ESPALIER_${name})`;
  addValue(
    command,
    '--coordinator <host:port>',
    'coordinator; a,b or repeat it for others to turn to (default: ESPALIER_COORDINATOR, else localhost:7070)',
  );
  addValue(command, '--tls-ca <file>', `authority of the cluster's certificates ${variable('TLS_CA')}`);
  addValue(command, '--tls-certificate <file>', `your certificate ${variable('TLS_CERTIFICATE')}`);
  addValue(command, '--tls-key <file>', `its private key ${variable('TLS_KEY')}`);
  command.option('--insecure', 'reach coordinators on other machines without TLS');
  command.option('--json', 'print JSON and no table');
}

export function addOutputOptions(command: Command): void {
  command.option('--json', 'print one JSON object and no table');
  command.option('--quiet', 'print no progress');
}

/** The flags that were given, by name without dashes. */
export function rawFlags(command: Command): RawFlags {
  const values: Record<string, unknown> = command.opts();
  return Object.fromEntries(
    command.options.map((option) => [option.name(), values[option.attributeName()] as RawFlags[string]]),
  );
}
