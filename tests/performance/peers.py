"""What others do with the same work, one measurement a process; prints one line of JSON.

    python tests/performance/peers.py harness MODEL --task mmlu_anatomy --limit 25 --batch 8
    python tests/performance/peers.py prefill MODEL --tokens 512,498,530
    python tests/performance/peers.py linear
    python tests/performance/peers.py ceilings
    python tests/performance/peers.py loglik MODEL --tokens 612,498 --batch 16,64 --logits last
    python tests/performance/peers.py generate MODEL --tokens 912,898 --batch 64,132 --new-tokens 256

The last three are for a GPU.

Time is that of the answers alone: libraries and weights are loaded before, tasks and prompts made before.
"""

import argparse
import json
import os
import pathlib
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "reference"))

import torch

# Of Qwen3-0.6B: q|k|v, o, gate|up, down.
PROJECTIONS = {"qkv": (1024, 4096), "o": (2048, 1024), "gate_up": (1024, 6144), "down": (3072, 1024)}
LINEAR_ROWS = (1024, 2048)


def harness(options):
    """Seconds in which lm-evaluation-harness answers a task's first questions, as `lm_eval --model hf` does."""
    import datasets
    import harness_data
    from lm_eval import evaluator
    from lm_eval.api import samplers
    from lm_eval.models.huggingface import HFLM

    datasets.load_dataset = harness_data.load_dataset

    class Timed(HFLM):
        elapsed_s = 0.0

        def timed(self, answer, requests, **settings):
            start = time.monotonic()
            answers = answer(requests, **settings)
            self.elapsed_s += time.monotonic() - start
            return answers

        def loglikelihood(self, requests, **settings):
            return self.timed(super().loglikelihood, requests, **settings)

        def generate_until(self, requests, **settings):
            return self.timed(super().generate_until, requests, **settings)

    start = time.monotonic()
    model = Timed(pretrained=options.model, dtype="bfloat16", device="cpu", batch_size=options.batch, max_length=4096)
    load_s = time.monotonic() - start
    # As the jobs measured have it: the first examples, not five drawn for each question.
    samplers.SAMPLER_REGISTRY["default"] = samplers.SAMPLER_REGISTRY["first_n"]
    evaluator.simple_evaluate(
        model=model, tasks=[options.task], num_fewshot=5, limit=options.limit, bootstrap_iters=0, log_samples=False,
        gen_kwargs=f"max_gen_toks={options.new_tokens}" if options.task == "gsm8k" else None)
    return {"elapsed_s": model.elapsed_s, "load_s": load_s}


def prefill(options):
    """Seconds of transformers for prompts of these lengths, one after the other, with logits of the last position only."""
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.bfloat16).eval()
    generator = torch.Generator().manual_seed(0)
    prompts = [torch.randint(1000, 50000, (1, int(length)), generator=generator) for length in options.tokens.split(",")]
    with torch.inference_mode():
        model(prompts[0], logits_to_keep=1, use_cache=False)
        start = time.monotonic()
        for prompt in prompts:
            model(prompt, logits_to_keep=1, use_cache=False)
        elapsed_s = time.monotonic() - start
    return {"elapsed_s": elapsed_s, "tokens": sum(prompt.shape[1] for prompt in prompts)}


def linear(options):
    """GFLOP/s of at::linear in bfloat16, the best of each shape and number of rows."""
    rates = {}
    with torch.inference_mode():
        for name, (columns, outputs) in PROJECTIONS.items():
            for rows in LINEAR_ROWS:
                # Several weights in turn, as in a model: not the one that is in the cache.
                weights = [torch.randn(outputs, columns, dtype=torch.bfloat16) for _ in range(8)]
                inputs = torch.randn(rows, columns, dtype=torch.bfloat16)
                best_s = float("inf")
                for _ in range(options.rounds):
                    start = time.monotonic()
                    for weight in weights:
                        torch.nn.functional.linear(inputs, weight)
                    best_s = min(best_s, (time.monotonic() - start) / len(weights))
                rates[f"{name} {rows}"] = 2e-9 * rows * columns * outputs / best_s
    return {"gflops": rates, "peak_gflops": max(rates.values())}


def median_s(work, rounds=7):
    """Seconds on the device, measured by its own events."""
    for _ in range(2):
        work()
    times_s = []
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        times_s.append(1e-3 * begin.elapsed_time(end))
    return sorted(times_s)[rounds // 2]


def ceilings(_):
    """What this device does at most: a large matrix product of random bfloat16, and a copy (bytes read and written)."""
    a, b, out = (torch.randn(8192, 8192, dtype=torch.bfloat16, device="cuda") for _ in range(3))
    product_s = median_s(lambda: torch.mm(a, b, out=out))
    source = torch.empty(2**31, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    copy_s = median_s(lambda: target.copy_(source))
    return {"tflops": 2e-12 * 8192**3 / product_s, "copy_gb_s": 2e-9 * source.numel() / copy_s, "device": torch.cuda.get_device_name()}


def padded_batches(options, batch):
    """Random prompts of these lengths on the device, longest first as lm-evaluation-harness sorts them, padded on the left."""
    generator = torch.Generator().manual_seed(0)
    lengths = sorted(map(int, options.tokens.split(",")), reverse=True)
    for first in range(0, len(lengths), batch):
        some = lengths[first:first + batch]
        ids = torch.randint(1000, 50000, (len(some), some[0]), generator=generator)
        mask = torch.arange(some[0]) >= some[0] - torch.tensor(some)[:, None]
        yield ids.to(options.device), mask.long().to(options.device)


def on_device(options):
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.bfloat16).eval().to(options.device)


def timed_batches(options, warm_up, answer):
    """Seconds of answers by batch size, each of which ends on the host; none where there is not memory enough."""
    return {"elapsed_s": {batch: seconds_of_batches(list(padded_batches(options, int(batch))), warm_up, answer) for batch in options.batch.split(",")}}


def seconds_of_batches(batches, warm_up, answer):
    try:
        with torch.inference_mode():
            warm_up(*batches[0])  # what is compiled or loaded at the first call
            start = time.monotonic()
            for batch in batches:
                answer(*batch)
            return time.monotonic() - start
    except torch.OutOfMemoryError:
        return None


def loglik(options):
    """Seconds of transformers for the log-probabilities of four answers after every prompt: of the last position alone, or
    of all of them, as lm-evaluation-harness computes them."""
    model = on_device(options)
    answers = torch.tensor([362, 425, 356, 422], device=options.device)

    def answer(ids, mask):
        logits = model(ids, attention_mask=mask, use_cache=False, logits_to_keep=1 if options.logits == "last" else 0).logits
        return torch.log_softmax(logits.float(), -1)[:, -1, answers].cpu()

    return timed_batches(options, answer, answer)


def generate(options):
    """Seconds of transformers' greedy generation."""
    model = on_device(options)

    def generate_tokens(ids, mask, count):
        return model.generate(ids, attention_mask=mask, do_sample=False, min_new_tokens=count, max_new_tokens=count, pad_token_id=0).cpu()

    return timed_batches(
        options, lambda ids, mask: generate_tokens(ids, mask, 2), lambda ids, mask: generate_tokens(ids, mask, options.new_tokens))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("harness")
    command.add_argument("model")
    command.add_argument("--task", required=True)
    command.add_argument("--limit", type=int, required=True)
    command.add_argument("--batch", type=int, required=True)
    command.add_argument("--new-tokens", type=int, default=128)
    command.set_defaults(measure=harness)
    command = commands.add_parser("prefill")
    command.add_argument("model")
    command.add_argument("--tokens", required=True, help="lengths of the prompts")
    command.set_defaults(measure=prefill)
    command = commands.add_parser("ceilings")
    command.set_defaults(measure=ceilings)
    for measure in (loglik, generate):
        command = commands.add_parser(measure.__name__)
        command.add_argument("model")
        command.add_argument("--tokens", required=True, help="lengths of the prompts")
        command.add_argument("--batch", required=True, help="sizes of batches, each measured")
        command.add_argument("--logits", choices=("last", "all"), default="last")
        command.add_argument("--new-tokens", type=int, default=256)
        command.add_argument("--device", default="cuda")
        command.set_defaults(measure=measure)
    command = commands.add_parser("linear")
    command.add_argument("--rounds", type=int, default=12)
    command.set_defaults(measure=linear)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(json.dumps(options.measure(options)))


if __name__ == "__main__":
    main()
