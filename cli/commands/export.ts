// espalier export: a checkpoint as an ONNX file.
import type { Command } from 'commander';
import type { ExportReport, ExportSettings } from '../../coordinator/export-job.ts';
import { formatBytes, formatCount } from '../../shared/quantities.ts';
import { addValue, rawFlags } from '../command-options.ts';
import type { CliContext } from '../context.ts';
import { FlagReader, type RawFlags } from '../flag-reader.ts';
import { readFolder } from '../parse-common.ts';
import { alignColumns, emphasisFor } from '../tables.ts';

const EXAMPLES = `
Examples:
  espalier export ./pruned/0.5 --out pruned.onnx
  espalier export ./bert-sst2 --out dense.onnx --dtype float16
`;

const DTYPES = { float32: 'F32', float16: 'F16' } as const;

export function addExportCommand(program: Command, context: CliContext): void {
  const command = program
    .command('export')
    .summary('write a checkpoint as ONNX')
    .description('Writes a checkpoint, dense or pruned, as an ONNX file, for ONNX Runtime and others.')
    .usage('MODEL --out FILE.onnx [options]')
    .argument('[MODEL]', 'folder with config.json and model.safetensors');
  addValue(command, '--out <file>', 'file to write, .onnx');
  command.option('--force', 'replace the file if it is there');
  addValue(command, '--dtype <type>', 'of the stored matrices: float32 or float16 (default: float32)');
  command.option('--external-data', 'matrices in FILE.onnx.data (default: only those of a model above 2 GB)');
  command.option('--json', 'print one JSON object and no table');
  command.addHelpText('after', EXAMPLES);
  command.action((model: string | undefined) => runExport(model, command, context));
}

async function runExport(model: string | undefined, command: Command, context: CliContext): Promise<void> {
  const flags = rawFlags(command);
  const settings = readExport(model, flags);
  const report = await context.jobs.export(settings, context.signal);
  context.stdout.write(
    flags.json === true
      ? `${JSON.stringify(report, null, 2)}\n`
      : renderExport(report, settings.out, emphasisFor(context.stdout, context.env)),
  );
}

/** @throws EspalierError "usage" that tells of every problem at once. */
export function readExport(model: string | undefined, raw: RawFlags): ExportSettings {
  const flags = new FlagReader(raw);
  const dtype = flags.choice('dtype', Object.keys(DTYPES) as (keyof typeof DTYPES)[], 'float32');
  const settings: ExportSettings = {
    model: readFolder(flags, model, 'MODEL'),
    out: flags.required('out', 'FILE.onnx'),
    force: flags.switched('force'),
    dtype: DTYPES[dtype],
    externalData: flags.switched('external-data'),
  };
  // --force must not replace a weight file or a data set.
  if (settings.out !== '' && !settings.out.endsWith('.onnx'))
    flags.problem(`--out: got ${settings.out}, expected a name that ends in .onnx`);
  flags.throwProblems('export');
  return settings;
}

function renderExport(report: ExportReport, out: string, emphasis: (text: string) => string): string {
  const bytes = report.files.reduce((sum, file) => sum + file.bytes, 0);
  const rows = [
    ['task', report.task],
    ['parameters', formatCount(report.parameters)],
    ['size', `${formatBytes(bytes)}, matrices as ${report.dtype}`],
    ['opset', String(report.opset)],
    ['inputs', report.inputs.join(', ')],
    ['outputs', report.outputs.join(', ')],
  ];
  return `${alignColumns(rows, (text) => text, 'left')}\nResult: ${emphasis(out)}\n`;
}
