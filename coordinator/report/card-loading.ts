// How a pruned model is loaded in each runtime that can: only what the files beside the card allow.
import { type CardFacts, isOnnx } from './card-metadata.ts';

const AUTO_CLASSES: Readonly<Record<string, string>> = {
  'single-label-classification': 'AutoModelForSequenceClassification',
  'multi-label-classification': 'AutoModelForSequenceClassification',
  regression: 'AutoModelForSequenceClassification',
  'token-classification': 'AutoModelForTokenClassification',
  'question-answering': 'AutoModelForQuestionAnswering',
};
const LOADER = 'espalier_model.py';
const TOKENIZER = 'tokenizer.json';

/** A part a runtime, each with code that names files of the folder. */
export function loadingSections(facts: CardFacts): string {
  const { files, isUniform, report } = facts;
  const parts: string[] = [];
  if (files.includes(LOADER))
    parts.push(`### PyTorch\n\n\`${LOADER}\` needs PyTorch and nothing else.\n\n${pytorch(facts)}`);
  const auto = AUTO_CLASSES[report.task];
  if (isUniform && auto !== undefined) parts.push(`### transformers\n\n${transformers(auto)}`);
  for (const file of files.filter(isOnnx)) parts.push(`### ONNX Runtime\n\n${onnx(facts, file)}`);
  return parts.join('\n\n');
}

function pytorch({ report, files }: CardFacts): string {
  const isPair = report.task === 'question-answering';
  const hasFast = files.includes(TOKENIZER);
  return code([
    'import sys',
    'import torch',
    hasFast ? 'from tokenizers import Tokenizer' : 'from transformers import AutoTokenizer',
    '',
    'folder = "."  # where this file lies',
    'sys.path.insert(0, folder)',
    'import espalier_model',
    '',
    'model = espalier_model.load(folder)  # an ordinary torch.nn.Module in eval mode',
    ...encoding(isPair, hasFast),
    'with torch.no_grad():',
    hasFast
      ? `    ${isPair ? 'start_logits, end_logits' : 'logits'} = model(*(torch.tensor([ids]) for ids in (${
          isPair ? 'encoding.ids, encoding.attention_mask, encoding.type_ids' : 'encoding.ids, encoding.attention_mask'
        })))`
      : `    ${isPair ? 'start_logits, end_logits' : 'logits'} = model(**encoding)`,
  ]);
}

function encoding(isPair: boolean, hasFast: boolean): string[] {
  const texts = isPair ? '"Where does the hedge grow?", "It grows along the wall."' : '"a warm and funny film"';
  return hasFast
    ? [`encoding = Tokenizer.from_file(f"{folder}/${TOKENIZER}").encode(${texts})`]
    : [`encoding = AutoTokenizer.from_pretrained(folder)(${texts}, return_tensors="pt")`];
}

function transformers(auto: string): string {
  return code([
    `from transformers import ${auto}`,
    '',
    'folder = "."  # where this file lies',
    `model = ${auto}.from_pretrained(folder)`,
  ]);
}

function onnx({ report, files }: CardFacts, file: string): string {
  const isPair = report.task === 'question-answering';
  const hasFast = files.includes(TOKENIZER);
  return code([
    'import numpy as np',
    'import onnxruntime',
    hasFast ? 'from tokenizers import Tokenizer' : 'from transformers import AutoTokenizer',
    '',
    'folder = "."  # where this file lies',
    `session = onnxruntime.InferenceSession(f"{folder}/${file}")`,
    ...encoding(isPair, hasFast),
    hasFast
      ? 'inputs = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask, "token_type_ids": encoding.type_ids}'
      : 'inputs = {name: ids[0].tolist() for name, ids in encoding.items()}',
    'wanted = [given.name for given in session.get_inputs()]',
    `${isPair ? 'start_logits, end_logits' : '(logits,)'} = session.run(None, {name: np.array([inputs[name]], np.int64) for name in wanted})`,
  ]);
}

function code(lines: readonly string[]): string {
  return `\`\`\`python\n${lines.join('\n')}\n\`\`\``;
}
