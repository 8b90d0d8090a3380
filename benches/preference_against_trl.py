"""The preference task's pairs, tuned by Lathe and by TRL's DPOTrainer from one adapter and scored by `lathe eval`.

    python benches/preference_against_trl.py LATHE PEERS_PYTHON MODEL.gguf TASK SFT OUT_FOLDER PAIRS

TASK is the folder that `preference_task.py` wrote, SFT the adapter that learnt its demonstrations, PAIRS how many of
its pairs both learn from, once. Prints the replies' and the classes' accuracy of Lathe's adapter with the
difference to TRL's on the same records (paired bootstrap).
"""

import json
import pathlib
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
RECIPES = HERE.parent / "recipes"
# As recipes/dpo.yaml has them.
OPTIONS = {"rate": 5e-5, "epochs": 1, "batch": 8, "warmup": 0.1, "beta": 0.1, "anchor": 1.0, "seed": 1}


def run(*command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout


def rendered(lathe, model, out, pairs, side):
    """Prompt and one answer of every pair as rows of tokens, as `lathe data preview` renders conversations."""
    pairs = [json.loads(pair) for pair in pairs]
    lines = [json.dumps({"messages": [*pair["prompt"], *pair[side]]}, ensure_ascii=False) + "\n" for pair in pairs]
    file = out / f"{side}.jsonl"
    file.write_text("".join(lines), encoding="utf-8")
    printed = run(lathe, "data", "preview", file, "--model", model, "--records", len(pairs), "--json")
    return printed.splitlines(keepends=True)


def main():
    lathe, python, model, task, sft, out, count = sys.argv[1:]
    task, sft, out, count = pathlib.Path(task), pathlib.Path(sft).resolve(), pathlib.Path(out).resolve(), int(count)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    pairs = (task / "pairs.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:count]
    (out / "pairs.jsonl").write_text("".join(pairs), encoding="utf-8")
    ours, theirs, recipe = out / "lathe", out / "trl", RECIPES / "dpo.yaml"
    keys = [
        f"model_name_or_path={model}", f"dataset_dir={out}", "train_file=pairs.jsonl", "val_size=0",
        f"adapter_name_or_path={sft}", f"output_dir={ours}", "weight_decay=0", "save_steps=100000",
    ]
    start = time.perf_counter()
    run(lathe, "tune", recipe, *keys, "--json")
    seconds = time.perf_counter() - start

    rows = [rendered(lathe, model, out, pairs, side) for side in ["chosen", "rejected"]]
    both = out / "rows.jsonl"
    both.write_text("".join(chosen + rejected for chosen, rejected in zip(*rows, strict=True)), encoding="utf-8")
    slice_of = HERE / "peers" / "trl_dpo_slice.py"
    report = json.loads(run(python, slice_of, model, sft, both, theirs, json.dumps(OPTIONS)).splitlines()[-1])
    for file in ["adapter_config.json", "chat_template.jinja"]:
        if (ours / file).exists():
            shutil.copy(ours / file, theirs / file)

    metrics = {}
    for name in ["replies", "classes"]:
        scored = run(
            lathe, "eval", ours, "--recipe", RECIPES / "sft.yaml", "--data", task / f"{name}.jsonl", "--answers",
            "--against", theirs, "--json", f"model_name_or_path={model}",
        )
        metrics[name] = json.loads(scored.splitlines()[-1])
    print(json.dumps({
        "pairs": count, "lathe_seconds": round(seconds, 1), "trl_seconds": round(report["seconds"], 1),
        "trl_losses": [report["first_loss"], report["last_loss"]], **OPTIONS, "metrics": metrics,
    }))


if __name__ == "__main__":
    main()
