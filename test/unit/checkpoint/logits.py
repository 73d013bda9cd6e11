"""Runs the loader of a model folder: JSON lines [inputs, dtype] in, JSON lines of logits out. For the tests."""

import json
import sys

folder = sys.argv[1]
sys.path.insert(0, sys.argv[2])
import espalier_model  # noqa: E402
import torch  # noqa: E402

for line in sys.stdin:
    inputs, dtype = json.loads(line)
    model = espalier_model.load(folder, getattr(torch, dtype))
    assert isinstance(model, torch.nn.Module) and len(list(model.parameters())) > 0
    with torch.no_grad():
        outputs = model(**{name: torch.tensor(values) for name, values in inputs.items()})
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    print(json.dumps([output.double().tolist() for output in outputs]))
