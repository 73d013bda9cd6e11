"""Opens folders with transformers alone, by the class that each config names: JSON lines of a folder and inputs in, JSON
lines of what the opening told and the logits of each input out. For the tests."""

import json
import sys

import torch
import transformers

AUTO_CLASSES = {
    "SequenceClassification": transformers.AutoModelForSequenceClassification,
    "TokenClassification": transformers.AutoModelForTokenClassification,
    "QuestionAnswering": transformers.AutoModelForQuestionAnswering,
}

for line in sys.stdin:
    request = json.loads(line)
    config = transformers.AutoConfig.from_pretrained(request["folder"])
    auto = AUTO_CLASSES[config.architectures[0].split("For")[1]]
    model, told = auto.from_pretrained(request["folder"], output_loading_info=True)
    model.eval()
    logits = []
    for inputs in request["inputs"]:
        with torch.no_grad():
            output = model(**{name: torch.tensor([ids]) for name, ids in inputs.items()})
        if "start_logits" in output:
            found = torch.stack([output["start_logits"], output["end_logits"]], -1)  # [1, tokens, 2]
        else:
            found = output["logits"]
        logits.append(found.double().flatten().tolist())
    answer = {
        "class": type(model).__name__,
        "problems": [f"{kind}: {key}" for kind in told for key in told[kind]],
        "neurons": [module.out_features for name, module in model.named_modules() if name.endswith(("intermediate.dense", "ffn.lin1"))],
        "logits": logits,
    }
    print(json.dumps(answer))
