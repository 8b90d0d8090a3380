"""Recipes on slices of their data, tuned by Lathe and by TRL on the same rows and scored by `lathe eval`.

    python benches/against_trl.py LATHE PEERS_PYTHON MODEL.gguf OUT_FOLDER NAME RECIPE DATA [KEY=VALUE ...]

NAME is what the lines are printed under, DATA what both are scored on, MODEL.gguf the recipe's base as a file. The
recipe says rank, rate, epochs and batch; the slice is `max_samples`. Prints the metrics of Lathe's adapter with the
difference to TRL's on the same records (paired bootstrap).
"""

import json
import pathlib
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
# Files that say how an adapter answers, beside its own.
READ = ["choices.json", "chat_template.jinja"]


def run(*command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout


def value(recipe, keys, name, default=None):
    given = [key.split("=", 1)[1] for key in keys if key.startswith(f"{name}=")]
    lines = [line.split(":", 1)[1] for line in recipe.read_text(encoding="utf-8").splitlines() if line.startswith(f"{name}:")]
    found = (given + lines)[:1] or [default]
    return found[0].strip() if isinstance(found[0], str) else found[0]


def main():
    lathe, python, model, out, name, recipe, data, *keys = sys.argv[1:]
    out, recipe = pathlib.Path(out), pathlib.Path(recipe)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    keys = [*keys, "weight_decay=0", "save_steps=100000"]
    number = lambda key, default=None: float(value(recipe, keys, key, default))
    samples = int(number("max_samples"))

    ours = out / "lathe"
    start = time.perf_counter()
    run(lathe, "tune", recipe, f"output_dir={ours}", *keys, "--json")
    seconds = time.perf_counter() - start

    rows = out / "rows.jsonl"
    rows.write_text(run(lathe, "data", "preview", recipe, *keys, f"output_dir={ours}", "--records", samples, "--json"))
    options = {
        "rank": int(number("lora_rank")), "alpha": number("lora_alpha"), "rate": number("learning_rate"),
        "epochs": number("num_train_epochs"), "batch": int(number("per_device_train_batch_size")),
        "warmup": number("warmup_ratio", "0"), "seed": int(number("seed", "1")),
    }
    theirs = out / "trl"
    report = json.loads(run(python, HERE / "peers" / "trl_slice.py", model, rows, theirs, json.dumps(options)).splitlines()[-1])
    config = json.loads((theirs / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = json.loads((ours / "adapter_config.json").read_text())["base_model_name_or_path"]
    (theirs / "adapter_config.json").write_text(json.dumps(config))
    for file in READ:
        if (ours / file).exists():
            shutil.copy(ours / file, theirs / file)
    if value(recipe, keys, "eval_file"):
        # Thresholds are each adapter's own: one step that changes nothing sets them.
        read = out / "trl-read"
        run(lathe, "tune", recipe, *keys, f"output_dir={read}", f"adapter_name_or_path={theirs}", "max_steps=1",
            "learning_rate=1e-12", "--json")
        theirs = read

    scored = run(lathe, "eval", ours, "--recipe", recipe, "--data", data, "--against", theirs, "--json", *keys)
    print(json.dumps({
        "name": name, "records": samples, "lathe_seconds": round(seconds, 1), "trl_seconds": round(report["seconds"], 1),
        **options, "metrics": json.loads(scored.splitlines()[-1]),
    }))


if __name__ == "__main__":
    main()
