"""The command line: one table from command to function, and no logic.

A function is named by `module:name` and imported only when its command is called, so `tsuzuri --help` starts
without torch. It receives the arguments by keyword; what it returns is printed (an iterator's items one by
one). The rows of who runs a server stand in `commands/`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from tsuzuri.commands.arguments import (
    LICENSES,
    SET,
    SUPPORTERS,
    Command,
    argument,
    fields_of,
    folder,
    some_count,
    some_path,
)
from tsuzuri.commands.operating import OPERATING
from tsuzuri.core.errors import Stopped, TsuzuriError
from tsuzuri.core.manifest import code_version
from tsuzuri.core.ranks import is_first
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.lab.config import PlanConfig

RECIPE = argument("recipe", type=some_path, metavar="RECIPE.yaml", help="the recipe")
OUT = folder("out", "the folder to make, or to go on with")
AMEND = argument(
    "--amend",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="change a begun run on purpose from here on",
)
PROFILE = argument(
    "--profile",
    type=some_count,
    default=0,
    metavar="STEPS",
    help="trace so many steps of the training, after a few, and name the operations that take longest",
)
DOCUMENTS = folder("documents", "the folder of documents")
TOKENIZER = folder("tokenizer", "the folder of the tokenizer")
TOKENS = folder("tokens", "the folder of token shards")
MODEL = argument(
    "path", type=some_path, metavar="MODEL", help="a release, a run, a build or a Hugging Face folder"
)
RELEASE = argument("release", type=some_path, metavar="RELEASE", help="the folder of a release")
TEXT = argument("source", metavar="FILE", help="a text file, one text a line; - is standard input")
DEVICE = argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")


COMMANDS = (
    Command(
        "build",
        "the whole chain from sources to release and report; run again to resume",
        "tsuzuri.chain.build:build",
        (
            *(RECIPE, OUT, SET, *LICENSES, AMEND),
            argument(
                "--boxes-from",
                type=some_path,
                metavar="DIR",
                help="use the documents, tokenizer and tokens of another build of the same corpus",
            ),
            argument("--dry-run", action="store_true", help="say what it would do"),
            PROFILE,
        ),
    ),
    Command(
        "corpus build", "sources → documents", "tsuzuri.chain.stages:corpus", (RECIPE, OUT, SET, *LICENSES)
    ),
    Command(
        "corpus withdraw",
        "take documents out, remember that, and name what learnt from them",
        "tsuzuri.corpus.commands:withdraw",
        (
            DOCUMENTS,
            *(
                argument(f"--{name}", dest=f"{name}s", action="append", default=[], metavar="TEXT", help=help)
                for name, help in (
                    ("id", "of a document"),
                    ("url", "of a page"),
                    ("host", "with all its subdomains"),
                )
            ),
            argument(
                "--list",
                dest="refused",
                type=some_path,
                default=Path("withdrawn.jsonl"),
                metavar="FILE",
                help="where refusals are remembered, beside the folder of documents too "
                "(a recipe's corpus.withdrawn)",
            ),
            argument(
                "--search",
                nargs="+",
                type=some_path,
                default=[Path()],
                metavar="DIR",
                help="where to look for what learnt from them, beside the folder of documents too",
            ),
        ),
    ),
    Command(
        "tokenizer train",
        "documents → tokenizer",
        "tsuzuri.chain.stages:train_tokenizer",
        (RECIPE, DOCUMENTS, OUT, SET),
    ),
    Command(
        "tokenizer compare",
        "how tokenizers pack and how fast they encode the same text",
        "tsuzuri.tokenizer.compare:compare",
        (
            argument(
                "tokenizers", nargs="+", type=some_path, metavar="TOKENIZER", help="a folder, .json or .model"
            ),
            argument(
                "--text", nargs="+", type=some_path, required=True, metavar="FILE", help="text files in UTF-8"
            ),
        ),
    ),
    Command(
        "pack",
        "documents → token shards",
        "tsuzuri.chain.stages:pack",
        (RECIPE, DOCUMENTS, TOKENIZER, OUT, SET),
    ),
    Command(
        "mix", "how much of each source a recipe reads", "tsuzuri.chain.stages:mix", (RECIPE, TOKENS, SET)
    ),
    Command(
        "train",
        "token shards → weights",
        "tsuzuri.chain.stages:train",
        (RECIPE, TOKENS, TOKENIZER, OUT, SET, AMEND, PROFILE),
    ),
    Command(
        "watch",
        "how a run that is under way stands",
        "tsuzuri.training.watch:watch",
        (argument("run", type=some_path, metavar="RUN", help="the folder of a run or of its build"),),
    ),
    Command(
        "evaluate",
        "a model → held-out bits, repetition, samples",
        "tsuzuri.chain.stages:evaluate",
        (
            MODEL,
            TOKENS,
            OUT,
            argument("--recipe", type=some_path, metavar="RECIPE.yaml", help="whose `evaluate` to use"),
            SET,
        ),
    ),
    Command(
        "generate",
        "text that goes on from a prompt",
        "tsuzuri.generation.commands:generate",
        (
            MODEL,
            argument("--prompt", metavar="TEXT", help="what to go on from"),
            argument("--prompts-file", metavar="FILE", help="a prompt a line; - is standard input"),
            DEVICE,
            *fields_of(SamplingConfig),
        ),
    ),
    Command(
        "score",
        "how likely texts are",
        "tsuzuri.generation.commands:score_lines",
        (
            MODEL,
            TEXT,
            argument("--tokens", action="store_true", help="a line for each token too"),
            argument("--include-end", action="store_true", help="count the end of the text"),
            DEVICE,
        ),
    ),
    Command(
        "embed",
        "texts → vectors in a NumPy file",
        "tsuzuri.generation.commands:embed_lines",
        (
            MODEL,
            TEXT,
            argument("--out", type=some_path, required=True, metavar="FILE.npy", help="the file to write"),
            argument("--layer", type=int, default=-1, help="0 is the embedding, -1 the last layer"),
            argument("--pool", default="last", choices=("last", "mean"), help="the last token or their mean"),
            DEVICE,
        ),
    ),
    Command(
        "release build",
        "the folders of a build → a release",
        "tsuzuri.chain.publish:release",
        (
            RECIPE,
            folder("build", "the folder that `tsuzuri build` wrote into"),
            SET,
            argument(
                "--milestone",
                dest="milestones",
                action="append",
                default=[],
                metavar="STEP",
                help="of the weights after this step instead, or of `all` milestones; may be given again",
            ),
        ),
    ),
    Command(
        "release verify",
        "check sums; load in Transformers; compare logits, ids and text",
        "tsuzuri.release.verify:verify",
        (RELEASE,),
    ),
    Command(
        "release convert",
        "a release → one file for llama.cpp, read back and compared",
        "tsuzuri.release.convert:convert",
        (
            RELEASE,
            argument("--to", default="gguf", choices=("gguf",), help="default: gguf"),
            argument(
                "--dtype",
                default="f32",
                choices=("f32", "f16", "bf16", "q8_0"),
                help="of matrices; default: f32",
            ),
            argument("--out", type=some_path, metavar="FILE", help="default: beside the release"),
        ),
    ),
    Command(
        "release push",
        "releases → a repository on a Hugging Face hub; run again to resume",
        "tsuzuri.release.push:push",
        (
            argument(
                "releases",
                nargs="+",
                type=some_path,
                metavar="RELEASE",
                help="the folder of a release; a milestone's goes to a revision of its own",
            ),
            argument("--repo", required=True, metavar="NAME", help="owner/name; made where it is not there"),
            argument("--revision", metavar="BRANCH", help="default: main, or step-… of a milestone"),
            argument("--endpoint", metavar="URL", help="of another hub; default: $HF_ENDPOINT"),
            argument("--public", action="store_true", help="make a new repository public, not private"),
        ),
    ),
    Command(
        "thanks",
        "supporters.yaml → special_thanks.txt of the repository and of releases",
        "tsuzuri.release.thanks:thanks",
        (
            *SUPPORTERS,
            argument("--repository", type=some_path, metavar="DIR", help="the folder of the repository"),
            argument(
                "--release",
                dest="releases",
                nargs="+",
                type=some_path,
                default=[],
                metavar="DIR",
                help="folders of releases",
            ),
        ),
    ),
    Command(
        "specialists train",
        "one corpus → a seed model → a release for each domain, and a generalist's; run again to resume",
        "tsuzuri.chain.specialize:train_specialists",
        (
            *(RECIPE, OUT, SET, *LICENSES),
            argument("--only", metavar="NAME", help="one model: seed, generalist or a domain's"),
            argument(
                "--seed-from",
                type=some_path,
                metavar="DIR",
                help="branch from the seed of another such folder, on texts that were put right, say",
            ),
            argument("--dry-run", action="store_true", help="say what it would do, and how long that takes"),
        ),
    ),
    *OPERATING,
    Command(
        "report",
        "one HTML page about a build, finished or not",
        "tsuzuri.chain.stages:report",
        (
            argument(
                "build", type=some_path, metavar="DIR", help="the folder that `tsuzuri build` writes into"
            ),
        ),
    ),
    Command(
        "plan",
        "before a run: what fits, how long it takes and what it costs",
        "tsuzuri.chain.planning:plan_run",
        (
            argument("recipe", nargs="?", type=some_path, metavar="RECIPE.yaml", help="plan for this recipe"),
            argument("--project", type=some_path, metavar="FILE.yaml", help="plan stages end to end"),
            argument("--measure", action="store_true", help="run three real steps and correct the plan"),
            argument(
                "--aot",
                metavar="TOPOLOGY",
                help="compile the step for TPUs without having one: v3:2x2, v4:2x2x1, v5e:2x4, v5p:2x2x1, …",
            ),
            argument(
                "--aot-python",
                type=some_path,
                metavar="PYTHON",
                help="the Python of the environment that has tsuzuri[tpu]; default: this one",
            ),
            *fields_of(PlanConfig),
        ),
    ),
    Command(
        "lineage",
        "from a folder back to its sources",
        "tsuzuri.core.lineage:describe",
        (argument("box", type=some_path, metavar="DIR", help="any folder that tsuzuri made"),),
    ),
)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole table."""
    top = argparse.ArgumentParser(
        prog="tsuzuri", description="綴り: from Japanese text to a model that writes Japanese"
    )
    top.add_argument("--version", action="version", version=f"tsuzuri {code_version()}")
    groups = {"": top.add_subparsers(dest="command", required=True, metavar="COMMAND")}
    for command in COMMANDS:
        group, _, name = command.name.rpartition(" ")
        if group not in groups:
            inner = [item.name.split()[1] for item in COMMANDS if item.name.startswith(f"{group} ")]
            of_group = groups[""].add_parser(group, help=f"{' or '.join(inner)}; see tsuzuri {group} --help")
            groups[group] = of_group.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
        own = groups[group].add_parser(name, help=command.help, description=command.help)
        own.set_defaults(function=command.function)
        for item in command.arguments:
            own.add_argument(*item.flags, **item.options)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 2 for a mistake its user can mend, 128 + signal when stopped."""
    values = vars(parser().parse_args(arguments))
    module, _, name = values.pop("function").partition(":")
    values = {key: value for key, value in values.items() if key not in ("command", "subcommand")}
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        _print(getattr(import_module(module), name)(**values))
    except Stopped as stop:
        if not stop.is_repeated:
            print(stop, file=sys.stderr)
        return 128 + stop.by
    except TsuzuriError as error:
        if not error.is_repeated:
            print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output went away: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:  # the system's own answer about a path or a port
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"error: {what}\n  → give another path, or put this one right", file=sys.stderr)
        return 2
    return 0


def _print(result: object) -> None:
    lines = result if isinstance(result, Iterator) else [result]
    for line in lines:
        if line is not None and is_first():
            print(line, flush=True)
