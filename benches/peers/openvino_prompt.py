"""Reads a prompt with OpenVINO GenAI from a GGUF file; prints one JSON object.

tokens/s is the prompt's length by the time to the first token, median of five prompts that begin
differently, so that no cache can help.

usage: openvino_prompt.py MODEL.gguf TOKENS THREADS
"""
import json
import statistics
import sys

import numpy as np
import openvino as ov
import openvino_genai as genai


def main():
    model, tokens, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    pipeline = genai.LLMPipeline(model, "CPU", **settings)
    config = genai.GenerationConfig(max_new_tokens=1, ignore_eos=True, do_sample=False, apply_chat_template=False)
    rates = []
    for turn in range(6):
        ids = np.array([[50 + (at * 7919 + (turn + 1) * 104729 + 17) % 40000 for at in range(tokens)]], dtype=np.int64)
        inputs = genai.TokenizedInputs(ov.Tensor(ids), ov.Tensor(np.ones_like(ids)))
        result = pipeline.generate(inputs, config)
        rates.append(1000.0 * tokens / result.perf_metrics.get_ttft().mean)
    print(json.dumps({"tokens_per_s": statistics.median(rates[1:]), "version": genai.__version__, "threads": threads}))


if __name__ == "__main__":
    main()
