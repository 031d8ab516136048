"""Examinations, one after another, on a thread of their own: what is looked at, and what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tsuzuri.core.errors import TsuzuriError
from tsuzuri.serving import logs
from tsuzuri.specialists.bus.base import Bus, BusDown, BusFull
from tsuzuri.specialists.config import SpecialistsConfig
from tsuzuri.specialists.control.admission import Examiner, Figures, Refused, held_out, with_figures
from tsuzuri.specialists.control.asking import Asker, Unanswered
from tsuzuri.specialists.messages import Descriptor
from tsuzuri.specialists.registry.registry import Key, Registry
from tsuzuri.specialists.topics import Topics

OFF_DOMAIN_TEXTS = 8
"""Of each other domain, on which a revision is measured for the record."""

Decision = tuple[Descriptor | None, Key, str]
"""Of an examination: the revision or nothing, which it was, and why nothing was found out."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What is to be looked at."""

    revision: Descriptor
    texts: Path | None
    generalist: Descriptor | None
    """That it has to beat; none: it need not."""
    old: Descriptor | None
    """That it must not be much worse than."""


class Examinations:
    """Looks at one revision after another, on a thread of its own."""

    def __init__(
        self,
        bus: Bus,
        topics: Topics,
        registry: Registry,
        config: SpecialistsConfig,
        holder: str,
        decide: Callable[[Decision], None],
    ) -> None:
        self._bus, self._topics, self._registry = bus, topics, registry
        self._config, self._holder, self._decide = config, holder, decide
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="examination")

    def begin(self, task: Examination) -> None:
        """Look at a revision when it is its turn."""
        self._pool.submit(self._examine, task)

    def close(self) -> None:
        """Begin none any more, and wait for no answer to one that runs."""
        self._closing.set()
        self._pool.shutdown(cancel_futures=True)

    def _examine(self, task: Examination) -> None:
        key = (task.revision.specialist, task.revision.revision)
        found, problem = None, ""
        try:
            found = self._looked_at(task)
        except (BusDown, BusFull) as error:
            logs.event("examination_waits", specialist=key[0], revision=key[1], problem=error.message)
        except Unanswered as error:
            problem = error.message
        except Exception as error:  # it is ours, and would come again
            logs.failure("examination", error, specialist=key[0], revision=key[1])
            problem = f"{type(error).__name__}: {error}"
        self._decide((found, key, problem))
        if found is not None and found.state == "ready" and task.generalist is not None:
            try:
                self._off_domain(task.revision, task.generalist)
            except TsuzuriError as error:  # it is for the record alone
                logs.event("off_domain", specialist=key[0], revision=key[1], problem=error.message)

    def _looked_at(self, task: Examination) -> Descriptor:
        """The revision, ready or refused; BusDown, BusFull, Unanswered where nothing could be found out."""
        asker = Asker(self._bus, self._topics, self._registry, self._holder, self._closing)
        try:
            return self._judged(Examiner(asker, self._config.gate), task)
        except (Refused, Unanswered) as error:
            if isinstance(error, Unanswered) and not error.is_final:
                raise
            figures = error.figures if isinstance(error, Refused) else None
            refused = with_figures(task.revision, figures)
            return msgspec.structs.replace(refused, state="refused", note=error.message)
        finally:
            asker.close()

    def _judged(self, examiner: Examiner, task: Examination) -> Descriptor:
        """The revision, ready, with its figures; Refused."""
        examiner.golden(task.revision)
        figures: Figures | None = None
        if task.generalist is not None or task.old is not None:
            texts = self._texts(task.texts, task.revision.specialist)
        if task.generalist is not None:
            figures = examiner.against(task.revision, task.generalist, texts)
            examiner.check(figures)
        if task.old is not None:
            self._not_worse(examiner, task.revision, task.old, texts)
        note = f"on its own domain {figures} (the generalist)" if figures else ""
        return msgspec.structs.replace(with_figures(task.revision, figures), state="ready", note=note)

    def _texts(self, path: Path | None, name: str) -> list[str]:
        if path is None:
            raise Refused(f"{name} has no held-out texts on which it could beat the generalist")
        try:
            return held_out(path, self._config.gate.texts)
        except TsuzuriError as error:
            raise Refused(error.message) from error

    def _not_worse(
        self, examiner: Examiner, revision: Descriptor, old: Descriptor, texts: Sequence[str]
    ) -> None:
        figures = examiner.against(revision, old, texts)
        worse = self._config.rollout.worse_bits
        if figures.gain < -worse:
            refusal = Refused(
                f"it is worse than revision {old.revision}: {figures}; allowed are {-worse:+.1%}"
            )
            refusal.figures = figures
            raise refusal

    def _off_domain(self, revision: Descriptor, generalist: Descriptor) -> None:
        """Log what a revision loses on the domains of others; nobody is refused for it."""
        asker = Asker(self._bus, self._topics, self._registry, self._holder, self._closing)
        losses: dict[str, float] = {}
        try:
            examiner = Examiner(asker, self._config.gate)
            for other in self._config.specialists:
                if other.texts is not None and other.name != revision.specialist:
                    texts = held_out(other.texts, OFF_DOMAIN_TEXTS)
                    losses[other.name] = round(-examiner.against(revision, generalist, texts).gain, 4)
        finally:
            asker.close()
        logs.event("off_domain", specialist=revision.specialist, revision=revision.revision, losses=losses)
