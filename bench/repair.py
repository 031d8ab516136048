"""What a mistake in one domain's data costs: that specialist trained again, or the one dense model.

    python bench/repair.py --set corpus.root=../shared/data [--out out/specialists-quality] [--domain talk]
        [--power-w 65] [--jpy-per-kwh 31] [--plan-size gpt3-2.7b] [--plan-device h100x8]

After `specialists_quality.py` in the same folder. The mistake: with a new delivery of one domain's texts the
characters of every document are shuffled; its specialist branches from the seed on that and takes the place
of the right one. It is noticed by its bits on held-out text, as the gate at admission notices it. Repaired,
it is trained again from the seed on right texts.

The dense model, had it read that delivery, would be trained again too. Two ways, of which the first has no
part in what was shuffled, and the second is cheaper:

    again      from nothing, on everything, until it is as good on that domain as the repaired specialist; it
               is the bench's own dense model, of which checkpoints are kept
    gone on    the dense model goes on, on the domain's right texts alone, for as many steps as a branch has:
               what that does to the other domains is shown beside it

Hours are those of the runs' own clocks. kWh are hours times --power-w (a two-core share of a server is
guessed; the ratio does not depend on it), yen those times --jpy-per-kwh; then the same share of a training
that `tsuzuri plan` reckons, by the power in the lab's table. Of every other specialist the sum of
the weights and the greedy answers to three prompts are compared, before and after. At last the wrong one is
served beside the generalist by `specialists up`, and replaced by the repaired one while clients ask.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from _report import Comparison, emit, machine
from _specialists import DENSE, Passage, passages, read_passages
from _swap import in_words, swap
from tsuzuri.chain.domains import domain_names
from tsuzuri.chain.gather import texts_path
from tsuzuri.chain.specialize import Folders, branch_train
from tsuzuri.chain.stages import make_run, watch_of
from tsuzuri.core.files import read_json_lines, sha256_file, write_json, write_text
from tsuzuri.core.manifest import make_box, read_manifest
from tsuzuri.data.box import PIECES, SPLITS, TokenBox, shard_stem
from tsuzuri.data.pack import count_documents, table_path, write_table
from tsuzuri.data.shards import shard_writer
from tsuzuri.generation.language_model import LanguageModel
from tsuzuri.lab.config import PlanConfig
from tsuzuri.lab.plan import make_plan
from tsuzuri.model.hf import WEIGHTS
from tsuzuri.recipe import Recipe, load_recipe
from tsuzuri.specialists.recipe import GENERALIST
from tsuzuri.tokenizer.codec import Tokenizer
from tsuzuri.training.branch import branch_of
from tsuzuri.training.config import BranchConfig
from tsuzuri.training.milestone import make_milestone

PROMPTS = ("このコマンドは、", "昔々、ある村に", "今日の天気は")


def shuffle(domains: Path, domain: str, tokenizer: Tokenizer, box: Path) -> None:
    """Make the tokens box that is like another, but that each training document of a domain has its
    characters in random order."""

    def work() -> Mapping[str, Any]:
        whole, draw = TokenBox.open(domains), np.random.default_rng(0)
        for split in SPLITS:
            for source in whole.sources:
                stem, shard = shard_stem(box, split, source), whole.shard(split, source)
                lengths = []
                with shard_writer(stem, shard.tokens.dtype) as add:
                    for document in shard:
                        ids = document[:-1].tolist()
                        if split == "train" and source == domain:
                            ids = _shuffled(ids, tokenizer, draw)
                        lengths.append(len(ids) + 1)
                        add(np.array([*ids, whole.eos_id]), np.array(lengths[-1:]))
                table = pq.read_table(table_path(shard_stem(domains, split, source)))
                place = table.schema.get_field_index("tokens")
                write_table(stem, table.set_column(place, "tokens", pa.array(lengths, pa.int64())))
        write_text(box / PIECES, (domains / PIECES).read_text(encoding="utf-8"))
        facts = {"tokenizer_sha256": whole.tokenizer_sha256, "vocab_size": whole.vocab_size}
        return {"sources": count_documents(box), **facts}

    make_box(box, kind="tokens", config={"shuffled": domain}, inputs={"tokens": domains}, work=work)


def _shuffled(ids: Sequence[int], tokenizer: Tokenizer, draw: np.random.Generator) -> list[int]:
    characters = list(tokenizer.decode(list(ids)))
    return tokenizer.encode("".join(characters[place] for place in draw.permutation(len(characters))))


def branch(recipe: Recipe, out: Path, domain: str, tokens: Path, seed: Path, box: Path) -> Path:
    """The weights of a specialist of a domain, by the tokens of a box, from a seed's last checkpoint."""
    names = domain_names(recipe)
    steps = int(read_manifest(Folders(out).boxes(domain)["run"], "run").counts["steps"])
    changed = recipe.model_copy(update={"train": branch_train(recipe, steps, domain, names)})
    begins = branch_of(seed, BranchConfig(states=recipe.specialists.states))
    tokenizer = Folders(out).data["tokenizer"]
    make_run(changed, tokens, tokenizer, box, (), watch_of(lambda: box, 0), begins)
    return box / "model"


def hours(run: Path, to_step: int | None = None) -> float:
    """Of a run's steps, up to one of them, by its own clock."""
    lines = [line for line in read_json_lines(run / "timings.jsonl") if "tokens_per_s" in line]
    own = [line for line in lines if "step" in line and line["step"] <= (to_step or line["step"])]
    return sum(float(line["elapsed_s"]) for line in own) / 3600


def bits(paths: Mapping[str, Path], texts: Sequence[Passage]) -> dict[str, dict[str, float]]:
    """model → domain → bits per character of what comes after the beginning of held-out passages."""
    reads = read_passages(list(paths.values()), texts)
    domains = sorted({text.domain for text in texts})
    found = {}
    for number, name in enumerate(paths):
        of = {domain: [0.0, 0.0] for domain in domains}
        for text, read in zip(texts, reads, strict=True):
            of[text.domain][0] -= float(read.rest[number].sum() / np.log(2))
            of[text.domain][1] += len(text.rest)
        found[name] = {domain: spent / size for domain, (spent, size) in of.items()}
    return found


def fingerprints(paths: Mapping[str, Path]) -> dict[str, list[str]]:
    """model → the sum of its weights, and its greedy answers."""
    found = {}
    for name, path in paths.items():
        model = LanguageModel.load(path)
        answers = [model.generate(prompt, temperature=0, max_new_tokens=24) for prompt in PROMPTS]
        found[name] = [sha256_file(path / WEIGHTS), *map(str, answers)]
    return found


def reached(dense: Path, target: float, domain: str, texts: Sequence[Passage]) -> tuple[int, float]:
    """After how many steps the dense model is as good on a domain, and its bits there; its last step and
    bits where it never is. The checkpoints that it keeps are looked at, and its end."""
    steps = [int(step) for step in read_manifest(dense, "run").counts["milestones"]]
    last = int(read_manifest(dense, "run").counts["steps"])
    for step in steps:
        box = dense.parent / "dense-milestones" / str(step)
        make_milestone(dense, step, box)
        if (found := bits({"dense": box / "model"}, texts)["dense"][domain]) <= target:
            return step, found
    return last, bits({"dense": dense / "model"}, texts)["dense"][domain]


def projected(options: argparse.Namespace, *, hours: float) -> str:
    """What the same share of the hours is of a training as large as a plan's: 20 tokens a parameter."""
    plan = make_plan(PlanConfig(size=options.plan_size, device=options.plan_device))
    kwh = plan.kwh or 0.0
    yen = options.jpy_per_kwh
    return (
        f"by the plan of {options.plan_size} on {options.plan_device}: dense again {plan.days:.1f} days, "
        f"{kwh:,.0f} kWh, ¥{kwh * yen:,.0f}; one specialist of that shape {plan.days * hours:.2f} days, "
        f"{kwh * hours:,.0f} kWh, ¥{kwh * hours * yen:,.0f}"
    )


def main() -> None:
    """Break, notice, repair, compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    recipes = Path(__file__).parents[1] / "recipes"
    parser.add_argument("--recipe", type=Path, default=recipes / "specialists-general.yaml")
    parser.add_argument("--out", type=Path, default=Path("out/specialists-quality"))
    parser.add_argument("--domain", default="talk", help="whose texts are shuffled")
    parser.add_argument("--steps", type=int, default=600, help="those of specialists_quality.py")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--passages", type=int, default=60, help="of each domain")
    parser.add_argument("--no-swap", action="store_true", help="leave out the swap under load")
    parser.add_argument("--power-w", type=float, default=65.0)
    parser.add_argument("--jpy-per-kwh", type=float, default=31.0)
    parser.add_argument("--plan-size", default="gpt3-2.7b", help="a row of the ladder, for a projection")
    parser.add_argument("--plan-device", default="h100x8", help="a row of devices, for a projection")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe, [f"train.steps={options.steps}", *options.overrides])
    out, domain, folders = options.out, options.domain, Folders(options.out)
    names, work = domain_names(recipe), options.out / f"repair-{options.domain}"
    codec = Tokenizer.load(folders.data["tokenizer"])
    box = TokenBox.open(folders.domains, verify=False)
    texts = passages(box, codec, before=128, rest=256, most=options.passages, half=0)
    print(machine(("torch", "numpy", "tsuzuri")), flush=True)

    right = {name: folders.boxes(name)["run"] / "model" for name in (*names, GENERALIST)}
    others = {name: path for name, path in right.items() if name != domain}
    before = fingerprints(others)
    shuffle(folders.domains, domain, codec, work / "shuffled")
    wrong = branch(recipe, out, domain, work / "shuffled", folders.seed, work / "wrong")
    repaired = branch(recipe, out, domain, folders.domains, folders.seed, work / "repaired")
    gone_on = branch(recipe, out, domain, folders.domains, out / DENSE, work / "dense-gone-on")
    dense = {DENSE: out / DENSE / "model", "gone on": gone_on}
    found = bits({**right, "wrong": wrong, "repaired": repaired, **dense}, texts)
    for name, own in found.items():
        print(f"{name:14} " + "  ".join(f"{key} {value:.3f}" for key, value in own.items()), flush=True)
    is_noticed = found["wrong"][domain] > 0.98 * found[GENERALIST][domain]
    print(f"noticed by the gate: {is_noticed}")
    is_same = sha256_file(repaired / WEIGHTS) == sha256_file(right[domain] / WEIGHTS)
    print(f"repaired, the weights are those from before the mistake, to the byte: {is_same}")
    print(f"weights and greedy answers of all others unchanged: {fingerprints(others) == before}")
    if options.no_swap:
        print("the swap itself, under load: not measured")
    else:
        pool = {GENERALIST: right[GENERALIST], domain: wrong}
        print(in_words(swap(work / "swap", pool, GENERALIST, domain, repaired, texts_path(out, domain))))

    step, quality = reached(out / DENSE, found["repaired"][domain], domain, texts)
    costs = {
        "specialist": hours(work / "repaired"),
        "dense again": hours(out / DENSE, step),
        "dense gone on": hours(work / "dense-gone-on"),
    }
    for name, spent in costs.items():
        kwh = spent * options.power_w / 1000
        print(f"{name:14} {spent:.3f} h  {kwh:.4f} kWh  ¥{kwh * options.jpy_per_kwh:.2f}")
    target = found["repaired"][domain]
    print(f"dense again: {step} steps, {quality:.3f} bits on {domain}; the repaired specialist: {target:.3f}")
    print(projected(options, hours=costs["specialist"] / costs["dense again"]), flush=True)
    worse = {key: found["gone on"][key] / found[DENSE][key] - 1 for key in names if key != domain}
    print("dense gone on, bits on others:", ", ".join(f"{key} {value:+.1%}" for key, value in worse.items()))
    write_json(work / "repair.json", {"bits": found, "hours": costs, "noticed": is_noticed, "same": is_same})
    cheap = costs["specialist"]
    emit(
        Comparison(f"repair of {domain}, against {name}", spent / cheap, cheap, spent, "h")
        for name, spent in costs.items()
        if name != "specialist"
    )


if __name__ == "__main__":
    main()
